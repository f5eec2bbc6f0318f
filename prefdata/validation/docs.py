"""``python -m prefdata.validation.docs > docs/rules.md``: the list of rules, generated from the rules themselves."""

from __future__ import annotations

import sys

from prefdata.validation.explain import shown_lines
from prefdata.validation.registry import PREFIXES, Rule, all_rules

TITLE = """# The rules of `prefdata validate`

Generated from the rules (`python -m prefdata.validation.docs > docs/rules.md`); a test checks that it is current.
`prefdata explain CODE` prints one of these pages.

A row that breaks a rule with the action *quarantine* is refused: it goes to `quarantine.jsonl` with its line and
byte, where it can be mended and validated again. *drop* takes it out without a complaint (`dropped.jsonl`), *keep*
only tells. `--select` and `--ignore` take codes, names and prefixes; the rules marked as guards always run, because a
row that breaks them could not be written to a dataset or trained on.
"""


def page() -> str:
    """The Markdown page."""
    parts = [
        TITLE,
        "| code | name | severity | action | guard | what it says |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for rule in all_rules():
        link = f"[{rule.code}](#{rule.code.lower()}-{rule.name})"
        guard = "yes" if rule.guard else ""
        parts.append(f"| {link} | {rule.name} | {rule.severity} | {rule.action} | {guard} | {rule.message} |")
    for prefix, about in PREFIXES.items():
        parts.append(f"\n## {prefix}: {about}")
        parts.extend(_section(rule) for rule in all_rules() if rule.code.startswith(prefix))
    return "\n".join(parts) + "\n"


def _section(rule: Rule) -> str:
    bad, good = ("\n".join(shown_lines(lines)) for lines in (rule.bad, rule.good))
    return (
        f"\n### {rule.code} {rule.name}\n\n{rule.message[0].upper()}{rule.message[1:]}. {rule.why}\n\n"
        f"Help: {rule.hint}\n\nBad:\n\n```text\n{bad}\n```\n\nGood:\n\n```text\n{good}\n```"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
