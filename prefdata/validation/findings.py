"""Findings as they are counted and shown: exact totals for each rule, and the first few of each with an excerpt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prefdata.types import Finding, Severity
from prefdata.validation.locate import span_of
from prefdata.validation.registry import Hit, Rule

Found = tuple[Rule, Hit]
Outcome = Literal["kept", "quarantined", "dropped"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
EXCERPT_BEFORE, EXCERPT_AFTER = 80, 240
PART_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row stands, or stood before it was quarantined and taken in again."""

    file: str
    line: int
    byte: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Example:
    """A finding with what is shown of its row."""

    finding: Finding
    excerpt: str
    mark: tuple[int, int]
    """Characters of the excerpt that are marked."""
    parts: tuple[str, str] | None = None
    """Two texts up to and beyond the place where they part, cut to the same start."""
    parting: int = 0
    """Character of both parts at which they differ."""


@dataclass(slots=True)
class Tally:
    """What was found, in memory that does not grow with the input."""

    limit: int
    """Examples kept for each rule."""
    findings: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    """Rows by the first error found in them, so that the numbers add up to the rows quarantined."""
    dropped: Counter[str] = field(default_factory=Counter)
    worst: Counter[str] = field(default_factory=Counter)
    """Lines by the severity of their worst finding."""
    fixable: Counter[str] = field(default_factory=Counter)
    """Findings with a fix: "safe" and "unsafe"."""
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(self, raw: bytes, origin: Origin, found: Sequence[Found], outcome: Outcome) -> list[Finding]:
        """Count the findings of one line, and give them as they are recorded, in the order of the rules."""
        found = sorted(found, key=lambda item: item[0].order)
        findings = [finding_of(rule, hit, origin) for rule, hit in found]
        self.findings.update(finding.code for finding in findings)
        self.fixable.update("safe" if finding.fix.safe else "unsafe" for finding in findings if finding.fix)
        codes = {finding.code for finding in findings}
        self.rows.update(codes)
        self.worst[worst_of(findings)] += 1
        if outcome != "kept":
            by_code = self.quarantined if outcome == "quarantined" else self.dropped
            action = "quarantine" if outcome == "quarantined" else "drop"
            by_code[next(rule.code for rule, _ in found if rule.action == action)] += 1
        for finding, (_, hit) in zip(findings, found, strict=True):
            shown = self.examples.setdefault(finding.code, [])
            if len(shown) < self.limit:
                shown.append(example_of(finding, hit, raw))
        return findings

    def merge(self, other: Tally) -> None:
        """Add what was found in a later part of the input."""
        for name in ("findings", "rows", "quarantined", "dropped", "worst", "fixable"):
            getattr(self, name).update(getattr(other, name))
        for code, examples in other.examples.items():
            shown = self.examples.setdefault(code, [])
            shown.extend(examples[: self.limit - len(shown)])


def finding_of(rule: Rule, hit: Hit, origin: Origin) -> Finding:
    """A hit as it is recorded."""
    return Finding(
        rule.code,
        rule.severity,
        hit.message or rule.message,
        origin.file,
        origin.line,
        origin.byte,
        hit.pointer,
        hit.hint or rule.hint,
        hit.fix,
    )


def worst_of(findings: Iterable[Finding]) -> Severity:
    """The gravest severity among findings, of which there is at least one."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index)


def example_of(finding: Finding, hit: Hit, raw: bytes) -> Example:
    """A finding with an excerpt of its line."""
    span = hit.span or (span_of(raw, hit.pointer) if hit.pointer else (0, 0)) or (0, 0)
    if hit.sign and hit.span is None:
        span = _sign_in(raw, span, hit.sign)
    excerpt, mark = excerpt_of(raw, span)
    if hit.parts is None:
        return Example(finding, excerpt, mark)
    ours, theirs = hit.parts
    at = parting_of(ours, theirs)
    first = max(0, at - 40)
    lead = "…" if first else ""
    parts = (
        lead + visible(ours[first : first + PART_CHARACTERS]),
        lead + visible(theirs[first : first + PART_CHARACTERS]),
    )
    return Example(finding, excerpt, mark, parts, at - first + len(lead))


def _sign_in(raw: bytes, span: tuple[int, int], sign: str) -> tuple[int, int]:
    """The bytes of ``sign`` in the value at ``span``, as JSON may write it; the whole value where it is not found."""
    for written in (json.dumps(sign, ensure_ascii=False), json.dumps(sign), json.dumps(sign).replace("<", "\\u003c")):
        letters = written[1:-1].encode("utf-8", "surrogatepass")
        if (at := raw.find(letters, *span)) >= 0:
            return at, at + len(letters)
    return span


def parting_of(ours: str, theirs: str) -> int:
    """Index of the first character in which two texts differ."""
    for index, (left, right) in enumerate(zip(ours, theirs, strict=False)):
        if left != right:
            return index
    return min(len(ours), len(theirs))


def excerpt_of(raw: bytes, span: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    """The part of a line around ``span`` as one line of text, and the characters in it to mark."""
    start, end = span
    first = max(0, start - EXCERPT_BEFORE)
    while first and raw[first] & 0xC0 == 0x80:  # not in the middle of a character
        first -= 1
    last = min(len(raw), max(start + EXCERPT_AFTER, first + EXCERPT_AFTER))
    before = visible(raw[first:start].decode("utf-8", "replace"))
    marked = visible(raw[start : min(end, last)].decode("utf-8", "replace"))
    after = visible(raw[min(end, last) : last].decode("utf-8", "replace")) if end < last else ""
    lead = "…" if first else ""
    text = lead + before + marked + after + ("…" if last < len(raw) else "")
    return text, (len(lead) + len(before), len(lead) + len(before) + len(marked))


def visible(text: str) -> str:
    """Text in which every control character is one visible sign, so that it stays one line and moves no cursor."""
    return text if text.isprintable() else "".join(map(_sign, text))


def _sign(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
