"""The bytes of a batch of rows, scanned whole: what says in a microsecond or two that no row of it holds some sign.

Rules over text look here first. Looking for one byte costs a hundredth of parsing, a pair of bytes a thirtieth; a
regular expression costs more than parsing does, and a needle of several bytes half as much. So signs are found by
their rarest byte and the bytes around it, and as ``\\uXXXX``; only rows that hold one are read again as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
_HEX = np.full(256, -1, np.int32)
for _digit in b"0123456789abcdefABCDEF":
    _HEX[_digit] = int(chr(_digit), 16)


class Scan:
    """Rows as they were given, laid end to end: ``data`` holds the lines of all rows, each followed by one byte."""

    def __init__(self, data: bytes, raws: Sequence[bytes]) -> None:
        self.data = data
        self._raws = raws
        self.letters: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8)

    @cached_property
    def ascii(self) -> bool:
        """Whether every byte is ASCII."""
        return self.data.isascii()

    @cached_property
    def ends(self) -> Positions:
        """For each row the offset of the byte that follows it."""
        ends = np.fromiter(map(len, self._raws), np.int64, len(self._raws))
        ends += 1
        np.cumsum(ends, out=ends)
        ends -= 1
        return ends

    def rows(self, *positions: Positions) -> list[int]:
        """The rows in which the bytes at ``positions`` stand, each once."""
        found: set[int] = set()
        for some in positions:
            if len(some):
                found.update(np.searchsorted(self.ends, some).tolist())
        return sorted(row for row in found if row < len(self._raws))

    def after(self, first: int, seconds: bytes) -> Positions:
        """Where the byte ``first`` stands before one of ``seconds``; for bytes that are rare."""
        if first not in self.data:
            return np.empty(0, np.int64)
        places = np.flatnonzero(self.letters[:-1] == first)
        following = self.letters[places + 1]
        return places[np.isin(following, np.frombuffer(seconds, np.uint8))]

    @cached_property
    def colons(self) -> Positions:
        """Where colons stand."""
        return np.flatnonzero(self.letters == 0x3A)

    @cached_property
    def _escapes(self) -> tuple[Positions, npt.NDArray[np.int32]]:
        """Where ``\\u`` stands, and the code that follows it."""
        letters = self.letters
        places = np.flatnonzero((letters[:-1] == 0x5C) & (letters[1:] == 0x75))
        places = places[places + 6 <= len(letters)]
        code = np.zeros(len(places), np.int32)
        for digit in range(2, 6):
            code = (code << 4) | _HEX[letters[places + digit]]
        return places, code

    @property
    def escapes(self) -> bool:
        """Whether any character stands escaped by its code."""
        return len(self._escapes[0]) > 0

    def escaped(self, codes: Iterable[int]) -> Positions:
        """Where one of these characters stands escaped, as ``\\u003c``; perhaps also where only a backslash does."""
        places, found = self._escapes
        if not len(places):
            return places
        return places[np.isin(found, np.fromiter(codes, np.int32))]
