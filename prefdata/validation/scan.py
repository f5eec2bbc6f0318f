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
_NONE: Positions = np.empty(0, np.int64)
FEW = 16
"""A byte that stands more often is found by comparing all bytes at once, not one place by one."""


class Scan:
    """Rows as they were given, laid end to end: ``data`` holds the lines of all rows, each followed by one byte."""

    def __init__(self, data: bytes, raws: Sequence[bytes]) -> None:
        self.data = data
        self._raws = raws
        self._places: dict[int, Positions] = {}

    @cached_property
    def letters(self) -> npt.NDArray[np.uint8]:
        """The bytes as numbers."""
        return np.frombuffer(self.data, np.uint8)

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
        return sorted(row for row in found if row < len(self._raws)) if found else []

    def places(self, byte: int) -> Positions:
        """Where a byte stands."""
        known = self._places.get(byte)
        if known is None:
            known = self._places[byte] = self._find(byte)
        return known

    def _find(self, byte: int) -> Positions:
        found, at = [], self.data.find(byte)
        while at >= 0:
            found.append(at)
            if len(found) > FEW:
                return np.flatnonzero(self.letters == byte)
            at = self.data.find(byte, at + 1)
        return np.array(found, np.int64) if found else _NONE

    def holds(self, pair: bytes) -> bool:
        """Whether two bytes stand one after the other; less than half of what it costs to find all of one of them."""
        number = np.frombuffer(pair, np.uint16)[0]
        for shift in (0, 1):
            twos = np.frombuffer(self.data, np.uint16, (len(self.data) - shift) // 2, shift)
            if (twos == number).any():
                return True
        return False

    def after(self, first: int, seconds: npt.NDArray[np.bool_]) -> Positions:
        """Where the byte ``first`` stands before one of ``seconds`` (made by ``table``)."""
        places = self.places(first)
        if not len(places):
            return places
        if places[-1] + 1 == len(self.data):
            places = places[:-1]
        return places[seconds[self.letters[places + 1]]]

    @cached_property
    def _escapes(self) -> tuple[Positions, npt.NDArray[np.int32]]:
        """Where ``\\u`` stands, and the code that follows it."""
        places = self.after(0x5C, _U)
        code = np.zeros(len(places), np.int32)
        if len(places):
            places = places[places + 6 <= len(self.data)]
            code = np.zeros(len(places), np.int32)
            for digit in range(2, 6):
                code = (code << 4) | _HEX[self.letters[places + digit]]
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


def table(letters: bytes) -> npt.NDArray[np.bool_]:
    """Which bytes are among ``letters``, by their number."""
    among = np.zeros(256, np.bool_)
    among[list(letters)] = True
    return among


_U = table(b"u")
