"""What ``validate`` gives back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prefdata.records.arrow import Form
from prefdata.types import Finding
from prefdata.validation.audit import Audit
from prefdata.validation.findings import Example

Fixes = Literal["safe", "unsafe"]
FailOn = Literal["error", "warning", "info", "never"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Where every line went: ``kept + quarantined + dropped + blank = lines``."""

    lines: int
    kept: int
    quarantined: int
    dropped: int
    blank: int
    quarantined_by_code: Mapping[str, int] = field(default_factory=dict)
    """Each row under the first error found in it: the numbers add up to ``quarantined``."""
    dropped_by_code: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputReceipt:
    """One input and where its lines went."""

    path: str
    sha256: str
    bytes: int
    lines: int
    kept: int
    quarantined: int
    dropped: int
    blank: int


@dataclass(frozen=True, slots=True)
class RuleTotal:
    """How often a rule was broken: findings, and rows with at least one."""

    code: str
    name: str
    severity: str
    action: str
    findings: int
    rows: int
    known: int = 0
    """Findings that the baseline knows; they fail no run and are not shown."""
    places: Mapping[str, int] = field(default_factory=dict)
    """Findings by their place in the row (a JSON pointer with * for any index), the most frequent first."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line before and after its fixes."""

    file: str
    line: int
    byte: int
    before: bytes
    after: bytes
    fixes: tuple[tuple[str, str], ...]
    """Code and description of each fix, in the order in which they were made."""


@dataclass(slots=True)
class Fixed:
    """What was mended."""

    lines: int = 0
    fixes: Counter[str] = field(default_factory=Counter)
    """Fixes by code."""
    files: dict[str, int] = field(default_factory=dict)
    """Lines mended in each file."""

    def add(self, change: Change) -> None:
        """Count a line that changed."""
        self.lines += 1
        self.fixes.update(code for code, _ in change.fixes)
        self.files[change.file] = self.files.get(change.file, 0) + 1


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The outcome of one run; the same input and settings give the same result."""

    ok: bool
    """Whether rows were kept and findings at or above ``fail_on`` are within the share that ``max_bad`` allows."""
    form: Form | None
    """Whether the rows kept are strings or conversations; ``None`` where none is kept."""
    counts: Counts
    inputs: tuple[InputReceipt, ...]
    totals: tuple[RuleTotal, ...]
    """Exact totals of every rule that found something."""
    examples: tuple[Example, ...]
    """The first findings of each rule with excerpts, in the order of the input."""
    bad: int
    """Lines with a finding at or above ``fail_on``."""
    why: str | None = None
    """Where ``ok`` is false, the reason in one line."""
    output: Path | None = None
    manifest: Mapping[str, Any] | None = None
    statistics: Mapping[str, Any] = field(default_factory=dict)
    audit: Audit | None = None
    """How well something shallow predicts which answer is chosen."""
    fixed: Fixed | None = None
    """What was mended in the files before they were validated, where that was asked for."""
    fixable: Mapping[str, int] = field(default_factory=dict)
    """Findings that a machine can mend: "safe" ones by ``--fix``, "unsafe" ones with ``--unsafe-fixes``."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The first findings of each rule, in the order of the input; ``totals`` has the exact numbers."""
        return tuple(example.finding for example in self.examples)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings."""
        return 0 if self.ok else 1
