"""The report for a person at a terminal: where, what, the place marked, what to do; then exact totals."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator

from prefdata.validation.findings import Example
from prefdata.validation.result import RuleTotal, ValidationResult

COLORS = {"error": "31", "warning": "33", "info": "36", "bold": "1", "help": "36", "dim": "2", "ok": "32"}
INDENT = "    "
MARK_WIDTH = 60
Style = Callable[[str, str], str]


def render(result: ValidationResult, *, width: int = 100, color: bool = False, show: int = 5) -> str:
    """The report in lines of at most ``width`` columns where excerpts are concerned; ``show`` findings of each rule."""

    def style(text: str, name: str) -> str:
        return f"\x1b[{COLORS[name]}m{text}\x1b[0m" if color else text

    lines = [*_findings(result, width, show, style), *_totals(result, style), *_receipt(result, style)]
    return "\n".join(lines)


def _findings(result: ValidationResult, width: int, show: int, style: Style) -> Iterator[str]:
    shown: Counter[str] = Counter()
    said: dict[str, str | None] = {}
    for example in result.examples:
        finding = example.finding
        shown[finding.code] += 1
        if shown[finding.code] > show:
            continue
        place = "all rows" if finding.file is None else f"{finding.file}:{finding.line}"
        yield f"{style(place, 'bold')}: {style(finding.code, finding.severity)} {finding.message}"
        yield from _marked(example, width - len(INDENT), style)
        if finding.json_path and example.columns:
            yield f"{INDENT}{style(f'at {finding.json_path}, column {example.columns[0]:,}', 'dim')}"
        if finding.hint and said.get(finding.code) != finding.hint:
            yield f"{INDENT}{style('help', 'help')}: {finding.hint}"
        if finding.fix is not None:
            how = "--fix" if finding.fix.safe else "--fix --unsafe-fixes"
            yield f"{INDENT}{style('fix', 'help')}: {finding.fix.what} ({how})"
        said[finding.code] = finding.hint
        yield ""
    for total in result.totals if show else ():
        if total.findings - total.known > show:
            kept = "every one that was refused is in quarantine.jsonl" if total.action == "quarantine" else ""
            more = total.findings - total.known - min(show, shown[total.code])
            yield f"{style(total.code, total.severity)}: and {more:,} more{f' ({kept})' if kept else ''}"
    if show and any(total.findings - total.known > show for total in result.totals):
        yield ""


def _marked(example: Example, width: int, style: Style) -> Iterator[str]:
    """The excerpt with the marked place, or the two texts that part."""
    severity = example.finding.severity
    if example.parts is not None:
        for text in example.parts:
            yield INDENT + _cut(text, 0, width)[0]
        if example.parting < width:
            yield INDENT + " " * columns(example.parts[1][: example.parting]) + style("^ they part here", severity)
        return
    start, end = example.mark
    text, at = _cut(example.excerpt, max(0, start - width // 3) if end > width - 2 else 0, width)
    if not text:
        return
    yield INDENT + style(text, "dim") if end == start else INDENT + text
    if end > start:
        marked = text[start - at : end - at]
        count = max(1, min(columns(marked), MARK_WIDTH))
        yield INDENT + " " * columns(text[: start - at]) + style("^" * count, severity)


def _cut(text: str, first: int, width: int) -> tuple[str, int]:
    """``text`` from character ``first`` in at most ``width`` columns, and how far characters moved to the left."""
    lead = "…" if first else ""
    kept: list[str] = []
    used = len(lead)
    for character in text[first:]:
        used += columns(character)
        if used > width:
            while kept and used > width - 1:
                used -= columns(kept.pop())
            kept.append("…")
            break
        kept.append(character)
    return lead + "".join(kept), first - len(lead)


def columns(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _totals(result: ValidationResult, style: Style) -> Iterator[str]:
    if not result.totals:
        return
    names = max(len(total.name) for total in result.totals)
    known = any(total.known for total in result.totals)
    head = f"{'rule':8} {'':{names}}  {'severity':8}  {'action':10}  {'found':>9}  {'rows':>9}"
    yield f"{head}  {'known':>9}" if known else head
    for total in result.totals:
        yield _total(total, names, style) + (f"  {total.known:9,}" if known else "")
        places = [f"{count:,} at {place or 'the whole row'}" for place, count in total.places.items()]
        if len(places) > 1:
            yield style(f"{'':8} {', '.join(places)}", "dim")
    yield ""
    safe, unsafe = (result.fixable.get(kind, 0) for kind in ("safe", "unsafe"))
    if safe or unsafe:
        flags = "--fix" if safe else "--fix --unsafe-fixes"
        more = f" ({unsafe:,} more with --unsafe-fixes)" if safe and unsafe else ""
        yield f"{safe or unsafe:,} can be mended with {flags}{more}; --diff shows how"
        yield ""


def _total(total: RuleTotal, names: int, style: Style) -> str:
    code = style(f"{total.code:8}", total.severity)
    return f"{code} {total.name:{names}}  {total.severity:8}  {total.action:10}  {total.findings:9,}  {total.rows:9,}"


def _splits(result: ValidationResult) -> str:
    splits = (result.manifest or {}).get("splits", {})
    rows = [f"{split['rows']:,} {name}" for name, split in splits.items()]
    return f" ({', '.join(rows)})" if len(rows) > 1 else ""


def _receipt(result: ValidationResult, style: Style) -> Iterator[str]:
    counts = result.counts
    yield (
        f"{counts.lines:,} lines = {counts.kept:,} kept + {counts.quarantined:,} quarantined "
        f"+ {counts.dropped:,} dropped + {counts.blank:,} blank"
    )
    if result.output is not None:
        if counts.kept:
            form = {"text": "strings", "chat": "conversations"}[result.form or "text"]
            pairs = "pair" if counts.kept == 1 else "pairs"
            yield f"{style('wrote', 'bold')} {result.output}: {counts.kept:,} {pairs} of {form}{_splits(result)}"
        else:
            yield f"{style('wrote', 'bold')} {result.output}: no pairs"
        if counts.quarantined:
            yield f"refused lines, to be mended and validated again: {result.output / 'quarantine.jsonl'}"
    if result.why is not None:
        yield f"{style('not ok', 'error')}: {result.why}"
        codes = [total.code for total in result.totals if total.severity == "error"] or [t.code for t in result.totals]
        if codes:
            yield f"{style('help', 'help')}: prefdata explain {codes[0]}"
    elif counts.kept:
        yield style("ok", "ok")
