"""How a store hands out its work; kept in its log, so that a later start needs no flag again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefdata.annotation.rubric import Rubric, rubric_from
from prefdata.errors import UsageError


@dataclass(frozen=True, slots=True)
class Settings:
    """Raises UsageError for what cannot be meant."""

    overlap: int = 1
    """Answers wanted for each item, each by another person."""
    reask_rate: float = 0.0
    """Share of tasks that are one's own earlier item again, with the sides swapped."""
    gold_rate: float = 0.1
    """Share of tasks that are items with a known answer, as long as there are some."""
    lease_minutes: float = 30.0
    """How long an item that is on someone's screen is kept from others."""
    seed: int = 0
    rubric: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise UsageError(f"the overlap is {self.overlap}", "give how many people shall answer each item, 1 or more")
        for name in ("reask_rate", "gold_rate"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise UsageError(f"the {name.replace('_', ' ')} is {getattr(self, name):g}", "give 0 to 0.5")
        if not 0 < self.lease_minutes < 1e6:
            raise UsageError(f"a lease of {self.lease_minutes:g} minutes cannot be meant", "for example 30")
        if self.rubric is not None:
            rubric_from(self.rubric)

    @property
    def template(self) -> Rubric | None:
        """The rubric that ``rubric`` holds."""
        return None if self.rubric is None else rubric_from(self.rubric)

    def record(self) -> dict[str, Any]:
        """The settings as they stand in the log."""
        return dataclasses.asdict(self)


def settings_from(record: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """Settings of the log, with those of ``changes`` that are not None put over them."""
    names = {field.name for field in dataclasses.fields(Settings)}
    held = {name: value for name, value in record.items() if name in names}
    return Settings(**{**held, **{name: value for name, value in changes.items() if value is not None}})
