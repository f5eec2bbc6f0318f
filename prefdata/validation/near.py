"""Rows that are nearly the same: found by sketches of their bytes, and told only where the texts themselves agree.

Each row is a set of shingles (all runs of eight bytes). One permutation hashing with densification by rotation
(Li, Owen, Zhang 2012; Shrivastava & Li 2014) makes 60 numbers of it, of which two rows share a share that estimates the
Jaccard similarity of their sets; rows that share five numbers in a row are candidates. Of candidates the exact Jaccard
similarity of prompt with prompt and answer with answer decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from prefdata.validation.duplicates import CHOSEN, PROMPT, REJECTED, Keys
from prefdata.validation.lines import BOM
from prefdata.validation.row import Row, row_of

Numbers = npt.NDArray[np.uint64]
SHINGLE = 8
BANDS, BAND = 12, 5
BINS = BANDS * BAND
THRESHOLD = 0.8
ROWS_AT_ONCE = 256
PAIRS_AT_ONCE = 2048
LOOKED_AT = 600
"""Shingles of a row that are sorted into bins; of more, those with the least hashes, which fill all bins as well."""
PARTS_KEPT = 100
"""Pairs of texts kept to be shown; more are never shown."""
_ONE, _TWO = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_EMPTY = np.uint64(0xFFFFFFFF)
SIDES = ("prompt", "chosen", "rejected")

Read = Callable[[Sequence[int]], Iterator[bytes]]
"""The raw lines of rows, given by ascending ordinals."""


@dataclass(frozen=True, slots=True)
class Alike:
    """A row that is nearly the same as an earlier one."""

    ordinal: int
    other: int
    similarities: tuple[float, float, float]
    """Jaccard similarity of prompt, chosen and rejected with those of the other row, 0 to 1."""
    turned: bool
    """Whether its chosen answer is nearly the other row's rejected one, and the other way round."""
    cluster: int
    """Rows that hang together by such likeness."""
    parts: tuple[str, str] | None = None
    """The texts of the side that differs most, the other row's first."""
    side: str = "prompt"


def near_duplicates(keys: Keys, read: Read, threshold: float = THRESHOLD) -> Iterator[Alike]:
    """Each row that is nearly the same as an earlier one, in the order of the input; exact duplicates are left out.

    All three sides must have a Jaccard similarity of ``threshold`` at least. Memory: 96 bytes for each row.
    """
    if len(keys) < 2:
        return
    pairs = _candidates(_bands(read, len(keys)), keys)
    found: dict[int, Alike] = {}
    kept = 0
    leaders = list(range(len(keys))) if len(pairs) else []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = pairs[start : start + PAIRS_AT_ONCE]
        ordinals = np.unique(some).tolist()
        texts = {o: _Sides(raw) for o, raw in zip(ordinals, read(ordinals), strict=True)}
        for earlier, later in some.tolist():
            alike = _compared(later, earlier, texts[later], texts[earlier], threshold, show=kept < PARTS_KEPT)
            if alike is None:
                continue
            kept += 1
            _join(leaders, earlier, later)
            if later not in found or min(alike.similarities) > min(found[later].similarities):
                found[later] = alike
    sizes = _sizes(leaders, found)
    for ordinal in sorted(found):
        alike = found[ordinal]
        yield Alike(
            ordinal,
            alike.other,
            alike.similarities,
            alike.turned,
            sizes[_leader(leaders, ordinal)],
            alike.parts,
            alike.side,
        )


def _bands(read: Read, count: int) -> Numbers:
    """For each row the hashes of its twelve bands: shape (rows, 12)."""
    bands = np.empty((count, BANDS), np.uint64)
    raws, at = iter(read(range(count))), 0
    while some := list(islice(raws, ROWS_AT_ONCE)):
        bands[at : at + len(some)] = _banded(
            sketches([b"\0".join(_Sides(raw).bytes_of(name) for name in SIDES) for raw in some])
        )
        at += len(some)
    return bands


def sketches(texts: Sequence[bytes]) -> Numbers:
    """Sixty numbers for each text; two texts share about the share of them that their sets of shingles share.

    >>> one, same, other = sketches([b"It is warm in Paris today.", b"It is warm in Paris today.", b"Nobody knows."])
    >>> bool((one == same).all()), bool((one == other).any())
    (True, False)
    """
    padded = [text.ljust(SHINGLE, b"\0") for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    data = b"".join(padded)
    shingles = np.ndarray((len(data) - SHINGLE + 1,), "<u8", data, strides=(1,))
    hashes = shingles * _ONE
    ends = np.cumsum(lengths)
    least = np.minimum(1.0, LOOKED_AT / lengths) * (2.0**64 - 2**12)
    stay = hashes < np.repeat(least.astype(np.uint64), lengths)[: len(hashes)]
    for back in range(1, SHINGLE):  # shingles that reach into the next text
        stay[ends[:-1] - back] = False
    places = np.flatnonzero(stay)
    rows = np.searchsorted(ends, places, side="right")
    hashes = hashes[places]
    bins = (((hashes ^ (hashes >> np.uint64(29))) * _TWO >> np.uint64(32)) * np.uint64(BINS)) >> np.uint64(32)
    sketch = np.full(len(padded) * BINS, _EMPTY, np.uint64)
    np.minimum.at(sketch, rows * BINS + bins.astype(np.int64), hashes >> np.uint64(32))
    return _filled(sketch.reshape(-1, BINS))


def _filled(sketch: Numbers) -> Numbers:
    """Empty bins take the number of the next one to the right that is not empty, marked by how far it is."""
    empty = sketch == _EMPTY
    some = empty.any(axis=1)
    if not some.any():
        return sketch
    part, hollow = sketch[some], empty[some]
    filled = part.copy()
    left = hollow.copy()
    for step in range(1, BINS):
        take = left & ~np.roll(hollow, -step, axis=1)
        if take.any():
            filled[take] = np.roll(part, -step, axis=1)[take] + np.uint64(step << 33)
            left &= ~take
        if not left.any():
            break
    sketch[some] = filled
    return sketch


def _banded(sketch: Numbers) -> Numbers:
    shaped = sketch.reshape(-1, BANDS, BAND)
    mixed = np.zeros(shaped.shape[:2], np.uint64)
    for number in range(BAND):
        mixed = (mixed ^ shaped[:, :, number]) * _ONE
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _candidates(bands: Numbers, keys: Keys) -> npt.NDArray[np.int64]:
    """Pairs of rows, the earlier first, that share a band: each row with the first that has it and with the one before.

    Rows that are the same pair, either way round, are left out.
    """
    found = []
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        same = band[order[1:]] == band[order[:-1]]
        if not same.any():
            continue
        firsts = np.concatenate(([0], np.where(same, 0, np.arange(1, len(order)))))
        leaders = order[np.maximum.accumulate(firsts)][1:][same]
        later = order[1:][same]
        found += [np.column_stack((leaders, later)), np.column_stack((order[:-1][same], later))]
    if not found:
        return np.empty((0, 2), np.int64)
    pairs = np.unique(np.concatenate(found), axis=0)
    one, other = keys[pairs[:, 0]], keys[pairs[:, 1]]
    ways = ((CHOSEN, REJECTED), (REJECTED, CHOSEN))
    same_pair = np.zeros(len(pairs), np.bool_)
    for first, second in ways:
        same_pair |= (one[:, CHOSEN] == other[:, first]) & (one[:, REJECTED] == other[:, second])
    kept: npt.NDArray[np.int64] = pairs[~(same_pair & (one[:, PROMPT] == other[:, PROMPT]))]
    return kept


class _Sides:
    """The texts of a row, and their shingles once they are asked for."""

    def __init__(self, raw: bytes) -> None:
        row = row_of(orjson.loads(raw.removeprefix(BOM)))
        self.texts = {name: _text(row, name) for name in SIDES}
        self._shingles: dict[str, Numbers] = {}

    def bytes_of(self, name: str) -> bytes:
        """One side as it is compared: letters of ASCII made small."""
        return self.texts[name].encode("utf-8", "replace").lower()

    def shingles(self, name: str) -> Numbers:
        """The different shingles of one side."""
        if name not in self._shingles:
            data = self.bytes_of(name)
            windows = np.ndarray((len(data) - SHINGLE + 1,), "<u8", data, strides=(1,))
            self._shingles[name] = np.unique(windows)
        return self._shingles[name]


def _text(row: Row, name: str) -> str:
    side: Any = getattr(row, name)
    if isinstance(side, str):
        return side
    said = (
        f"{message['role']}: {message.get('content') or ''}"
        + (orjson.dumps(message["tool_calls"]).decode() if message.get("tool_calls") else "")
        for message in side
    )
    return "\n".join(said)


def _similarity(one: _Sides, name: str, other: _Sides, its: str, threshold: float) -> float:
    """The Jaccard similarity of two sides; 0 where their lengths alone put it below ``threshold``."""
    mine, theirs = one.texts[name], other.texts[its]
    if mine == theirs:
        return 1.0
    short, long = sorted((len(mine), len(theirs)))
    if short < 2 * SHINGLE or short < threshold * threshold * long:
        return 0.0
    ours, others = one.shingles(name), other.shingles(its)
    both = len(np.intersect1d(ours, others, assume_unique=True))
    return both / (len(ours) + len(others) - both)


def _compared(later: int, earlier: int, mine: _Sides, theirs: _Sides, threshold: float, *, show: bool) -> Alike | None:
    prompt = _similarity(mine, "prompt", theirs, "prompt", threshold)
    if prompt < threshold:
        return None
    for turned, (chosen, rejected) in enumerate((("chosen", "rejected"), ("rejected", "chosen"))):
        others = {"prompt": "prompt", "chosen": chosen, "rejected": rejected}
        similar = (
            prompt,
            _similarity(mine, "chosen", theirs, chosen, threshold),
            _similarity(mine, "rejected", theirs, rejected, threshold),
        )
        if min(similar) >= threshold:
            side = SIDES[similar.index(min(similar))]
            parts = (theirs.texts[others[side]], mine.texts[side]) if show else None
            return Alike(later, earlier, similar, bool(turned), 0, parts, side)
    return None


def _leader(leaders: list[int], ordinal: int) -> int:
    while leaders[ordinal] != ordinal:
        leaders[ordinal] = leaders[leaders[ordinal]]
        ordinal = leaders[ordinal]
    return ordinal


def _join(leaders: list[int], one: int, other: int) -> None:
    first, second = sorted((_leader(leaders, one), _leader(leaders, other)))
    leaders[second] = first


def _sizes(leaders: list[int], found: Iterable[int]) -> dict[int, int]:
    """Rows of each cluster, by its first row: that row and those that are like an earlier one."""
    sizes: dict[int, int] = {}
    for ordinal in found:
        first = _leader(leaders, ordinal)
        sizes[first] = sizes.get(first, 1) + 1
    return sizes
