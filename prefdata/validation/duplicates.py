"""Rows that share a prompt and both answers, found across the whole input with 40 bytes for each row.

A row's key holds 64 bits each of the hashes (``side_hash``) of its prompt and tools, of chosen and of rejected. Two
rows are of one group where the prompts agree and the sides do, in either order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
"""Shape (rows, 5): hashes of prompt, chosen, rejected and of the id that the user gave (0 for none), then a number that
is the caller's."""
PROMPT, CHOSEN, REJECTED, ID, MARKS = range(5)
KEY_COLUMNS = 5
_ODD, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
"""Two, so that a row whose prompt is another's answer, and the other way round, does not get that row's number."""


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more rows with the same prompt and answers, in the order of the input."""

    ordinals: tuple[int, ...]
    orientations: tuple[bool, ...]
    """For each row which way round it prefers."""

    @property
    def contradictory(self) -> bool:
        """Whether both ways occur."""
        return len(set(self.orientations)) > 1


def keys_of(prompts: Iterable[bytes], chosens: Iterable[bytes], rejecteds: Iterable[bytes]) -> Keys:
    """Keys of rows from the 16-byte hashes of their three sides."""
    sides = [np.frombuffer(b"".join(digests), dtype=np.uint64)[::2] for digests in (prompts, chosens, rejecteds)]
    keys = np.zeros((len(sides[0]), KEY_COLUMNS), dtype=np.uint64)
    for column, side in enumerate(sides):
        keys[:, column] = side
    return keys


def groups(keys: Keys) -> Iterator[Group]:
    """Every group of rows with one prompt and the same two sides, in the order of their first rows."""
    if len(keys) < 2:
        return
    low, high = np.minimum(keys[:, CHOSEN], keys[:, REJECTED]), np.maximum(keys[:, CHOSEN], keys[:, REJECTED])
    # Sorting one number is three times as fast as sorting by three; rows that it brings together are compared whole.
    order = np.argsort(keys[:, PROMPT] * _ODD + low + high * _OTHER, kind="stable")
    same = np.ones(len(keys) - 1, np.bool_)
    for column in (keys[:, PROMPT], low, high):
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    if not same.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    found = [np.sort(order[first : last + 1]) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    for members in sorted(found, key=lambda members: int(members[0])):
        below = keys[members, CHOSEN] < keys[members, REJECTED]
        yield Group(tuple(members.tolist()), tuple(below.tolist()))


def same_ids(keys: Keys) -> Iterator[Group]:
    """Every group of different pairs to which one id was given, in the order of their first rows; each pair once."""
    rows = np.flatnonzero(keys[:, ID])
    if len(rows) < 2:
        return
    order = rows[np.argsort(keys[rows, ID], kind="stable")]
    same = keys[order[1:], ID] == keys[order[:-1], ID]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    found = [np.sort(order[first : last + 1]) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    for members in sorted(found, key=lambda members: int(members[0])):
        _, first = np.unique(keys[members][:, [PROMPT, CHOSEN, REJECTED]], axis=0, return_index=True)
        if len(first) > 1:
            different = members[np.sort(first)]
            yield Group(tuple(different.tolist()), (True,) * len(different))
