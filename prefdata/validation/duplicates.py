"""Rows that share a prompt and both answers, found across the whole input with 24 bytes for each row.

A row's key is XXH3-128 of its prompt (and tools) times an odd constant, plus that of each side: the sum does not
depend on which side is which, so that A > B and B > A get one key. A third number keeps the order of the sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
"""Shape (rows, 3): two halves of the key, then a number whose lowest bit is 1 where the hash of chosen is below that of
rejected (the bits above it are the caller's)."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


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
    """Keys of rows from the 16-byte digests of their three sides."""
    prompt, chosen, rejected = (
        np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2) for digests in (prompts, chosens, rejecteds)
    )
    keys = np.empty((len(prompt), 3), dtype=np.uint64)
    keys[:, :2] = prompt * _ODD + chosen + rejected
    below = (chosen[:, 0] < rejected[:, 0]) | ((chosen[:, 0] == rejected[:, 0]) & (chosen[:, 1] < rejected[:, 1]))
    keys[:, 2] = below
    return keys


def groups(keys: Keys) -> Iterator[Group]:
    """Every group of rows with one key, in the order of their first rows."""
    if len(keys) < 2:
        return
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order, :2]
    same = (ordered[1:] == ordered[:-1]).all(axis=1)
    if not same.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    found = [np.sort(order[first : last + 1]) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    for members in sorted(found, key=lambda members: int(members[0])):
        yield Group(tuple(members.tolist()), tuple((keys[members, 2] & np.uint64(1)).astype(bool).tolist()))
