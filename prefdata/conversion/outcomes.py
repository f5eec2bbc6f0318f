"""What a format is, and what its rows become."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefdata.types import Judgment, ResponseSet

Row = Mapping[str, Any]


class WrongShapeError(ValueError):
    """A row that is not of the format: the message names the column and what is wrong with it."""


class NoPlaceError(ValueError):
    """A pair that a foreign format cannot hold: the message says what has no place in it."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A preference that the file holds as a pair: a record of schema ``preference_pair``."""

    record: dict[str, Any]
    row: int = 0
    """Which row of its group it comes from."""
    tie: str | None = None
    """What says that neither side is better, though the file calls one of them chosen."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Responses that the file ranks: they become pairs as judgments do, or are written as responses and judgments."""

    response_set: ResponseSet
    judgments: tuple[Judgment, ...]


@dataclass(frozen=True, slots=True)
class NoPair:
    """A preference that gives no pair, and why."""

    reason: str
    """tie, identical-sides, no-shared-context, …"""
    detail: str | None = None


Outcome = Paired | Ranked | NoPair


@dataclass(frozen=True, slots=True)
class Format:
    """One foreign format."""

    name: str
    summary: str
    signature: str
    """What rows are recognised by, in words that complete "recognised by …"."""
    detect: Callable[[Row], float]
    """Confidence in [0, 1] that a row is of this format; never raises."""
    read: Callable[[Sequence[Row]], Iterable[Outcome]]
    """What becomes of one row, or of the rows of one group; raises WrongShapeError."""
    examples: tuple[Row, ...]
    """Rows in the documented shape, a group of them where rows are grouped: BETTER is preferred to WORSE."""
    ranked: bool = False
    """Whether rows give Ranked outcomes, which can be written as responses and judgments too."""
    group: Callable[[Row], Hashable] | None = None
    """Rows with the same key belong together; raises WrongShapeError."""
    scattered: bool = False
    """Whether rows that belong together may stand anywhere in the input, not only side by side."""
    aliases: tuple[str, ...] = ()
    """Other names for what is in this format, by which it can be named too."""


@dataclass(frozen=True, slots=True)
class Export:
    """One foreign format that pairs are written in."""

    name: str
    summary: str
    write: Callable[[dict[str, Any]], list[dict[str, Any]]]
    """The rows of one pair (a record of schema ``preference_pair``); raises NoPlaceError."""
    reads: str
    """The format that reads it again."""


def each(read: Callable[[Row], Outcome]) -> Callable[[Sequence[Row]], Iterable[Outcome]]:
    """The reader of a format in which every row is one preference."""
    return lambda rows: map(read, rows)
