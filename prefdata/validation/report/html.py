"""The report as one HTML page for a colleague: what was kept, what was found, and what the pairs are like."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from prefdata import pages
from prefdata.pages import Counts, Line, bars, forest, histogram, section, table
from prefdata.stats import Estimate
from prefdata.validation.audit import Audit
from prefdata.validation.findings import Example
from prefdata.validation.result import RuleTotal, ValidationResult

FINDINGS_SHOWN = 3
"""Findings of each rule that are shown."""
SOURCES_SHOWN = 20
LABELS = {
    "length": "length of the answer",
    "refusal": "refusal",
    "markdown": "Markdown",
    "lists": "list items",
    "first_shown": "place shown to the judge",
}


def render(result: ValidationResult) -> str:
    """The whole page."""
    counts = result.counts
    form = {"text": "pairs of strings", "chat": "pairs of conversations"}.get(result.form or "", "pairs")
    intro = f"{counts.kept:,} {form} kept of {counts.lines - counts.blank:,} rows in {_files(result)}."
    return pages.page("Preference data", intro, "".join(_sections(result)))


def _files(result: ValidationResult) -> str:
    names = [receipt.path if receipt.path != "-" else "stdin" for receipt in result.inputs]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _sections(result: ValidationResult) -> Iterator[str]:
    ok = "ok" if result.ok else f"not ok: {result.why}"
    yield f'<p class="verdict{"" if result.ok else " no"}">{escape(ok)}</p>'
    yield section(
        "The receipt",
        "Every line of every input is kept, quarantined, dropped or blank.",
        table(
            ["input", "lines", "kept", "quarantined", "dropped", "blank"],
            [
                [one.path, *(f"{n:,}" for n in (one.lines, one.kept, one.quarantined, one.dropped, one.blank))]
                for one in result.inputs
            ],
        ),
    )
    splits = (result.manifest or {}).get("splits", {})
    if len(splits) > 1:
        rows = [(name, int(split["rows"])) for name, split in splits.items()]
        yield section("Splits", "Rows; no prompt stands on both sides.", bars(rows))
    yield from _found(result)
    yield from _shapes(result.statistics)
    if result.audit is not None:
        yield from _audit(result.audit)


def _found(result: ValidationResult) -> Iterator[str]:
    if not result.totals:
        yield section("Findings", "None.", "")
        return
    kinds = {"error": "bad", "warning": "other", "info": "mark"}
    rows = [(f"{total.code} {total.name}", total.findings) for total in result.totals]
    plot = bars(rows, kinds=[kinds[total.severity] for total in result.totals])
    totals = table(
        ["rule", "severity", "what becomes of the row", "findings", "rows"],
        [
            [f"{t.code} {t.name}", t.severity, t.action, f"{t.findings:,}", f"{t.rows:,}" if t.rows else "–"]
            for t in result.totals
        ],
    )
    yield section("Findings", "By rule; red refuses or fails, orange warns.", plot + totals)
    for total in result.totals:
        yield _examples(total, [one for one in result.examples if one.finding.code == total.code])


def _examples(total: RuleTotal, examples: list[Example]) -> str:
    made = [f"<summary>{escape(f'{total.code} {total.name}: {total.findings:,}')}</summary>"]
    places = [f"{count:,} at {place or 'the whole row'}" for place, count in total.places.items()]
    if len(places) > 1:
        made.append(f'<p class="note">{escape(", ".join(places))}</p>')
    for one in examples[:FINDINGS_SHOWN]:
        finding = one.finding
        place = "all rows" if finding.file is None else f"{finding.file}:{finding.line}"
        made.append(f"<p><code>{escape(place)}</code> {escape(finding.message)}</p>")
        if one.parts is not None:
            made.append(f"<pre>{escape(one.parts[0])}\n{escape(one.parts[1])}</pre>")
        elif one.excerpt:
            start, end = one.mark
            marked = f"<mark>{escape(one.excerpt[start:end])}</mark>" if end > start else ""
            made.append(f"<pre>{escape(one.excerpt[:start])}{marked}{escape(one.excerpt[end:])}</pre>")
    if examples and examples[0].finding.hint:
        made.append(f'<p class="note">{escape(examples[0].finding.hint)}</p>')
    return f"<details>{''.join(made)}</details>"


def _shapes(statistics: Any) -> Iterator[str]:
    found = statistics.get("histograms")
    if not found:
        return
    characters = statistics["characters"]
    means = {side: characters[side].get("mean", 0) for side in ("chosen", "rejected")}
    note = (
        f"Characters of each completion; on average {means['chosen']:,.0f} chosen, {means['rejected']:,.0f} rejected."
    )
    sides = [(side, Counts(**found[side])) for side in ("chosen", "rejected")]
    yield section("Lengths", note, histogram(sides, "characters"))
    longer = statistics.get("chosen_is_longer")
    note = "Characters of chosen less those of rejected"
    note += "" if longer is None else f"; chosen is the longer one in {longer:.1%} of the pairs"
    difference = [("pairs", Counts(**found["chosen_minus_rejected"]))]
    yield section("Length difference", note + ".", histogram(difference, "chosen − rejected, characters", zero=True))
    yield section(
        "Prompts", "Characters.", histogram([("pairs", Counts(**found["prompt"]))], "characters of the prompt")
    )
    if "prompt_turns" in found:
        turns = [("pairs", Counts(**found["prompt_turns"]))]
        yield section("Turns", "Messages in the prompt.", histogram(turns, "messages of the prompt"))
    sources = statistics.get("sources")
    if sources:
        rows = sorted(sources.items(), key=lambda item: -item[1])
        shown = [(name or "(none named)", count) for name, count in rows[:SOURCES_SHOWN]]
        rest = sum(count for _, count in rows[SOURCES_SHOWN:])
        yield section("Sources", "Rows.", bars([*shown, *([("all others", rest)] if rest else [])]))


def _audit(audit: Audit) -> Iterator[str]:
    if not audit.shortcuts:
        note = f"{audit.rows:,} rows are too few to say how well something shallow predicts which answer is chosen."
        yield section("Shortcut audit", note, "")
        return
    lines = [Line(LABELS[one.name], one.accuracy) for one in audit.shortcuts]
    rows = [
        [LABELS[one.name], one.guess, f"{one.differs.count:,} of {one.differs.total:,}", _percent(one.accuracy)]
        for one in audit.shortcuts
    ]
    note = (
        "How often chosen is guessed right by one thing alone, ties counted half; bars are 95% bootstrap intervals. "
        f"50% is chance. From {audit.rows:,} of {audit.of:,} rows."
    )
    told = table(["by", "guess", "pairs that differ", "right"], rows)
    yield section("Shortcut audit", note, forest(lines, 0.5, 1, None) + told)
    if audit.groups:
        rows = [
            [
                f"{one.by} {one.name}",
                f"{one.rows:,}",
                LABELS[one.feature],
                _share(one.share.value),
                _share(one.rest.value),
            ]
            for one in audit.groups
        ]
        note = "Share of pairs whose chosen answer has more of it, where each differs most from all others."
        yield section("Sources and annotators", note, table(["who", "pairs", "what", "its share", "others"], rows))
    if audit.shared_openings is not None:
        note = f"{audit.shared_openings:,} rows of eval open as a conversation of train does; no prompt stands in both."
        yield section("Leakage between train and eval", note, "")


def _percent(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "–"
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
