"""Whether a run is good enough, and whether its receipt balances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from prefdata.errors import UsageError
from prefdata.validation.findings import SEVERITIES, Tally
from prefdata.validation.registry import Rule
from prefdata.validation.result import Counts, FailOn, InputReceipt, RuleTotal, ValidationResult
from prefdata.validation.run import Gathered

PLACES_TOLD = 5


def share_of(text: float | str | None) -> float | None:
    """A share of lines from a number or a percentage; raises UsageError where it is none.

    >>> share_of("0.5%"), share_of("0.02"), share_of(None)
    (0.005, 0.02, None)
    """
    if text is None:
        return None
    try:
        whole = str(text).strip()
        share = float(whole.removesuffix("%")) / (100 if whole.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"max-bad is a share of lines, not {text!r}", "for example 0.5% or 0.005")
    return share


def result_of(
    tally: Tally,
    receipts: Sequence[InputReceipt],
    rules: Sequence[Rule],
    fail_on: FailOn,
    max_bad: float | None,
) -> ValidationResult:
    """The outcome of a run whose every finding is counted."""
    sums = {
        name: sum(getattr(receipt, name) for receipt in receipts)
        for name in ("lines", "kept", "quarantined", "dropped", "blank")
    }
    counts = Counts(
        **sums,
        quarantined_by_code=dict(sorted(tally.quarantined.items())),
        dropped_by_code=dict(sorted(tally.dropped.items())),
    )
    totals = tuple(
        RuleTotal(
            rule.code,
            rule.name,
            rule.severity,
            rule.action,
            tally.findings[rule.code],
            tally.rows[rule.code],
            tally.known[rule.code],
            dict(tally.places.get(rule.code, Counter()).most_common(PLACES_TOLD)),
        )
        for rule in rules
        if tally.findings[rule.code]
    )
    order = {receipt.path: index for index, receipt in enumerate(receipts)}
    shown = [example for examples in tally.examples.values() for example in examples]
    shown.sort(
        key=lambda e: (order.get(e.finding.file or "", len(order)), e.finding.file, e.finding.line, e.finding.code)
    )
    graver = SEVERITIES[SEVERITIES.index(fail_on) :] if fail_on != "never" else ()
    bad = sum(tally.worst[severity] for severity in graver)
    whole = sum(tally.whole[severity] for severity in graver)
    why = _why_not(counts, bad, whole, fail_on, max_bad)
    return ValidationResult(
        why is None, None, counts, tuple(receipts), totals, tuple(shown), bad, why, fixable=dict(tally.fixable)
    )


def _why_not(counts: Counts, bad: int, whole: int, fail_on: FailOn, max_bad: float | None) -> str | None:
    rows = counts.lines - counts.blank
    if not counts.kept:
        return "no row is kept"
    if bad <= (max_bad or 0.0) * rows:
        if not whole:
            return None
        findings = "finding" if whole == 1 else "findings"
        return f"{whole} {findings} of severity {fail_on} or worse about the data set as a whole"
    lines = "line has a finding" if bad == 1 else "lines have findings"
    why = f"{bad:,} {lines} of severity {fail_on}{'' if fail_on == 'error' else ' or worse'}"
    if max_bad is not None:
        why += f": {bad / rows:.2%} of {rows:,} rows, more than the {max_bad:.2%} allowed"
    return why


def assert_balanced(found: Gathered, counts: Counts) -> None:
    """The receipt: every line is kept, quarantined, dropped or blank, for each input and by code."""
    if not all(lines.balanced for lines in found.receipts):
        raise AssertionError(f"the receipt does not balance: {found.receipts}")
    for by_code, count in (
        (counts.quarantined_by_code, counts.quarantined),
        (counts.dropped_by_code, counts.dropped),
    ):
        if sum(by_code.values()) != count:
            raise AssertionError(f"{dict(by_code)} does not add up to {count}")
    if len(found.rows) != counts.kept + len(found.gone):
        raise AssertionError("rows kept and keys do not add up")
