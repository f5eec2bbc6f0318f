"""The report as workflow commands, which GitHub shows at the lines of a pull request."""

from __future__ import annotations

from prefdata.validation.result import ValidationResult

LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def render(result: ValidationResult) -> str:
    """One command for each of the first findings, and one for the totals."""
    names = {total.code: total.name for total in result.totals}
    lines = []
    for example in result.examples:
        finding = example.finding
        title = _property(f"{finding.code} {names[finding.code]}")
        place = f"title={title}"
        if finding.file is not None:
            place = f"file={_property(finding.file)},line={finding.line},{place}"
        hint = f"\nhelp: {finding.hint}" if finding.hint else ""
        lines.append(f"::{LEVELS[finding.severity]} {place}::{_data(finding.message + hint)}")
    totals = ", ".join(f"{total.findings} × {total.code} {total.name}" for total in result.totals)
    counts = result.counts
    receipt = (
        f"{counts.lines} lines = {counts.kept} kept + {counts.quarantined} quarantined + {counts.dropped} dropped "
        f"+ {counts.blank} blank"
    )
    lines.append(f"::notice title=prefdata validate::{_data(receipt + (f'; {totals}' if totals else ''))}")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
