"""What ``validate`` gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prefdata.records.arrow import Form
from prefdata.types import Finding
from prefdata.validation.findings import Example

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

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The first findings of each rule, in the order of the input; ``totals`` has the exact numbers."""
        return tuple(example.finding for example in self.examples)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings."""
        return 0 if self.ok else 1
