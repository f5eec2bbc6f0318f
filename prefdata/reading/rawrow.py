"""One row of an input, and which part of a data set is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """Which split and revision of a folder or hub data set; files have neither."""

    split: str | None = None
    revision: str | None = None


WHOLE = Part()


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row: an object, or the problem with it. ``line`` is where it begins; tables have rows only."""

    file: str
    line: int | None
    row: int | None
    """From 1, in a JSON array or a table; None in JSONL."""
    raw: bytes
    value: dict[str, Any] | None
    problem: str | None = None

    @property
    def place(self) -> dict[str, Any]:
        """Where it stands: file, line, and row where that says more."""
        place = {"file": self.file, "line": self.line, "row": self.row}
        return {name: value for name, value in place.items() if value is not None}

    @property
    def text(self) -> str:
        """The row as it was, bytes that are not UTF-8 as \\xNN."""
        return self.raw.decode("utf-8", "backslashreplace")
