"""Preferences that go round in a circle: A over B, B over C, and C over A, found across the whole input.

Rows are edges from the answer that won to the one that lost. Answers that never won or never lost are in no circle, so
they are taken away until none is left, in numpy; what remains (mostly nothing) is searched for circles one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prefdata.validation.duplicates import CHOSEN, PROMPT, REJECTED, Keys

Answer = tuple[int, int]
"""The hashes of a prompt and of an answer to it."""
Side = npt.NDArray[np.uint64]
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Cycle:
    """Rows of one prompt: what one rejects the next one chooses, and what the last one rejects the first one chose."""

    ordinals: tuple[int, ...]
    """The first is the row of which the circle is told; the others follow its answers round."""


def cycles(keys: Keys) -> Iterator[Cycle]:
    """For each row in a circle of three rows or more a shortest circle through it, in the order of the input.

    Two rows that prefer the same two answers each way round are no circle here but a contradiction, and take no part.
    """
    rows = _once(keys, _candidates(keys))
    edges: dict[Answer, list[tuple[Answer, int]]] = {}
    ends: dict[int, tuple[Answer, Answer]] = {}
    for row in rows.tolist():
        winner, loser = ((int(keys[row, PROMPT]), int(keys[row, side])) for side in (CHOSEN, REJECTED))
        edges.setdefault(winner, []).append((loser, row))
        ends[row] = winner, loser
    for row, (winner, loser) in ends.items():
        if (back := _path(edges, loser, winner)) is not None:
            yield Cycle((row, *back))


def _candidates(keys: Keys) -> npt.NDArray[np.int64]:
    """Rows both of whose answers won somewhere and lost somewhere against the same prompt, in their order."""
    mixed = keys[:, PROMPT] * _ODD
    winners, losers = mixed ^ keys[:, CHOSEN], mixed ^ keys[:, REJECTED]
    rows = _peeled(np.arange(len(keys)), winners, losers)
    ways, back = winners[rows] * _ODD + losers[rows], losers[rows] * _ODD + winners[rows]
    return _peeled(rows[~np.isin(ways, back)], winners, losers)


def _peeled(rows: npt.NDArray[np.int64], winners: Side, losers: Side) -> npt.NDArray[np.int64]:
    while len(rows):
        stay = np.isin(winners[rows], losers[rows]) & np.isin(losers[rows], winners[rows])
        if stay.all():
            break
        rows = rows[stay]
    return rows


def _once(keys: Keys, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first of rows that are the same pair."""
    if not len(rows):
        return rows
    _, first = np.unique(keys[rows][:, [PROMPT, CHOSEN, REJECTED]], axis=0, return_index=True)
    return rows[np.sort(first)]


def _path(edges: Mapping[Answer, list[tuple[Answer, int]]], start: Answer, goal: Answer) -> tuple[int, ...] | None:
    """The rows of a shortest way from answer ``start`` down to ``goal``; ``None`` where there is none."""
    came: dict[Answer, tuple[Answer, int]] = {}
    waiting = deque([start])
    while waiting:
        at = waiting.popleft()
        if at == goal:
            rows: list[int] = []
            while at != start:
                at, row = came[at]
                rows.append(row)
            return tuple(reversed(rows))
        for loser, row in edges.get(at, ()):
            if loser not in came and loser != start:
                came[loser] = at, row
                waiting.append(loser)
    return None
