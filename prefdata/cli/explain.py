"""``prefdata explain``: what a rule means, or where a row of a dataset came from."""

from __future__ import annotations

from typing import Any

import click

from prefdata.cli.common import output_format
from prefdata.cli.output import print_json
from prefdata.errors import UsageError


@click.command(short_help="Explain a rule, or where a pair of a dataset came from.")
@click.argument("what", nargs=-1, metavar="[CODE | DATASET ID]")
@output_format
def command(what: tuple[str, ...], format: str) -> None:
    """Explain what the rule CODE means and how to mend it, or where the row ID of a DATASET came from.

    Without arguments, list all rules. An ID may be cut short where that leaves no doubt.
    """
    from prefdata.validation.explain import provenance, rule_list, rule_page
    from prefdata.validation.registry import all_rules, rule_of

    if len(what) > 2:
        raise UsageError("explain takes a rule, or a dataset and an id", "for example: prefdata explain PRF001")
    if len(what) == 2:
        found = provenance(*what)
        if format == "json":
            print_json({"split": found.split, "row": found.row, "raw": found.raw, "note": found.note})
        else:
            click.echo(_story(found))
        return
    rules = [rule_of(what[0])] if what else list(all_rules())
    if format == "json":
        print_json([{name: getattr(rule, name) for name in _TOLD} for rule in rules])
    else:
        click.echo(rule_page(what[0]) if what else rule_list())


_TOLD = ("code", "name", "severity", "action", "guard", "message", "hint", "why")


def _story(found: Any) -> str:
    row = found.row
    lines = [
        f"id         {row['id']}",
        f"came from  {row['source_file']}:{row['source_line']} (byte {row['source_byte']}), now in {found.split}",
    ]
    if row["margin"] is not None:
        lines.append(f"margin     {row['margin']}")
    if row["judgment_ids"]:
        lines.append(f"judgments  {' '.join(row['judgment_ids'])}")
    lines.extend(
        f"{'metadata' if not index else '':10} {key}: {value}"
        for index, (key, value) in enumerate(row["metadata"].items())
    )
    for side in ("prompt", "chosen", "rejected"):
        lines.append("")
        lines.append(f"--- {side}")
        if isinstance(row[side], str):
            lines.append(row[side])
        else:
            lines.extend(f"{turn['role']}: {turn.get('content') or turn.get('tool_calls')}" for turn in row[side])
    lines.append("")
    if found.raw is not None:
        lines.extend(["--- the line as it stands in the input", found.raw])
    if found.note:
        lines.append(f"note: {found.note}")
    return "\n".join(lines)
