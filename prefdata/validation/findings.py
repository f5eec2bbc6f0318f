"""Findings as they are counted and shown: exact totals for each rule, and the first few of each with an excerpt."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prefdata.types import Finding, Severity
from prefdata.validation.baseline import Known, row_hash
from prefdata.validation.locate import span_of
from prefdata.validation.registry import Hit, Rule

Found = tuple[Rule, Hit]
Outcome = Literal["kept", "quarantined", "dropped"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
EXCERPT_BEFORE, EXCERPT_AFTER = 80, 240
PART_CHARACTERS = 160
PLACES_COUNTED = 50
OTHER_PLACES = "…"
_ANY = re.compile(r"/[0-9]+(?=/|$)")


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
    columns: tuple[int, int] | None = None
    """First marked character of the line and the one after the last, counted from 1; ``None`` for the whole line."""
    row: str = ""
    """Hash of the row's content, as baselines know it."""


@dataclass(slots=True)
class Tally:
    """What was found, in memory that does not grow with the input."""

    limit: int
    """Examples kept for each rule."""
    before: Mapping[str, int] = field(default_factory=dict)
    """Examples that earlier parts of the input are known to have kept: so many less are kept here."""
    findings: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    """Rows by the first error found in them, so that the numbers add up to the rows quarantined."""
    dropped: Counter[str] = field(default_factory=Counter)
    worst: Counter[str] = field(default_factory=Counter)
    """Lines by the severity of their worst finding, those that are known left out."""
    whole: Counter[str] = field(default_factory=Counter)
    """Findings about the data set as a whole by severity, those that are known left out."""
    known: Counter[str] = field(default_factory=Counter)
    """Findings that the baseline knows."""
    fixable: Counter[str] = field(default_factory=Counter)
    """Findings with a fix: "safe" and "unsafe"."""
    places: dict[str, Counter[str]] = field(default_factory=dict)
    """For each rule its findings by the place in the row, any message of a side for every one."""
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(
        self,
        raw: bytes,
        origin: Origin,
        found: Sequence[Found],
        outcome: Outcome,
        known: Known = frozenset(),
        before: Severity | None = None,
    ) -> tuple[list[Finding], Severity | None]:
        """Count the findings of one line; ``before`` is the worst severity that it was counted under so far.

        Gives the findings as they are recorded, in the order of the rules, and the worst severity of the line's
        findings so far that are not ``known``.
        """
        found = sorted(found, key=lambda item: item[0].order)
        findings = [finding_of(rule, hit, origin) for rule, hit in found]
        codes = {finding.code for finding in findings}
        row = row_hash(raw) if known else ""
        old = {code for code in codes if (code, row) in known}
        self.findings.update(finding.code for finding in findings)
        self.known.update(finding.code for finding in findings if finding.code in old)
        self.fixable.update("safe" if finding.fix.safe else "unsafe" for finding in findings if finding.fix)
        self.rows.update(codes)
        for finding in findings:
            self._place(finding.code, _ANY.sub("/*", finding.json_path))
        if outcome != "kept":
            by_code = self.quarantined if outcome == "quarantined" else self.dropped
            action = "quarantine" if outcome == "quarantined" else "drop"
            by_code[next(rule.code for rule, _ in found if rule.action == action)] += 1
        for finding, (_, hit) in zip(findings, found, strict=True):
            shown = self.examples.setdefault(finding.code, [])
            if len(shown) + self.before.get(finding.code, 0) < self.limit and finding.code not in old:
                shown.append(example_of(finding, hit, raw))
        return findings, self._graded(before, [f.severity for f in findings if f.code not in old])

    def _place(self, code: str, place: str, count: int = 1) -> None:
        places = self.places.setdefault(code, Counter())
        places[place if place in places or len(places) < PLACES_COUNTED else OTHER_PLACES] += count

    def add_whole(self, rule: Rule, hits: Iterable[Hit], known: Known = frozenset()) -> list[tuple[str, str]]:
        """Count findings about the data set as a whole; gives code and content hash of each."""
        made = []
        for hit in hits:
            finding = Finding(
                rule.code, rule.severity, hit.message or rule.message, json_path=hit.pointer, hint=hit.hint or rule.hint
            )
            key = (rule.code, row_hash(hit.pointer.encode()))
            made.append(key)
            self.findings[rule.code] += 1
            if key in known:
                self.known[rule.code] += 1
            else:
                self.whole[rule.severity] += 1
                self.examples.setdefault(rule.code, []).append(Example(finding, "", (0, 0)))
        return made

    def _graded(self, before: Severity | None, severities: list[Severity]) -> Severity | None:
        """Count a line under the worst of severities, where it was counted under ``before``."""
        if before is not None:
            self.worst[before] -= 1
            severities = [before, *severities]
        worst = max(severities, key=SEVERITIES.index, default=None)
        if worst is not None:
            self.worst[worst] += 1
        return worst

    def merge(self, other: Tally) -> None:
        """Add what was found in a later part of the input."""
        for name in ("findings", "rows", "quarantined", "dropped", "worst", "whole", "known", "fixable"):
            getattr(self, name).update(getattr(other, name))
        for code, places in other.places.items():
            for place, count in places.items():
                self._place(code, place, count)
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


def example_of(finding: Finding, hit: Hit, raw: bytes) -> Example:
    """A finding with an excerpt of its line."""
    span = hit.span or (span_of(raw, hit.pointer) if hit.pointer else (0, 0)) or (0, 0)
    if hit.sign and hit.span is None:
        span = _sign_in(raw, span, hit.sign)
    excerpt, mark = excerpt_of(raw, span)
    places = None
    if span[1] > span[0]:
        start = len(raw[: span[0]].decode("utf-8", "replace"))
        places = (start + 1, start + 1 + len(raw[span[0] : span[1]].decode("utf-8", "replace")))
    if hit.parts is None:
        return Example(finding, excerpt, mark, columns=places, row=row_hash(raw))
    ours, theirs = hit.parts
    at = parting_of(ours, theirs)
    first = max(0, at - 40)
    lead = "…" if first else ""
    parts = (
        lead + visible(ours[first : first + PART_CHARACTERS]),
        lead + visible(theirs[first : first + PART_CHARACTERS]),
    )
    return Example(finding, excerpt, mark, parts, at - first + len(lead), places, row_hash(raw))


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
