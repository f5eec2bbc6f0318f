"""What a dataset is made of: exact figures over all rows kept, in memory that grows with the different values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from prefdata.records.arrow import SIDES, Form
from prefdata.validation.batch import Batch, ChatBatch

Sizes = npt.NDArray[np.int32]
SIZES = "sizes"
"""The file in which a part leaves the sizes of its rows."""
BINS = 40
PERCENTILES = (5, 25, 50, 75, 95, 99)


class Distribution:
    """A distribution of whole numbers, held as how often each occurs."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Distribution:
        """The distribution of numbers of which it is known how often each occurs."""
        made = cls()
        made._counts.update(counts)
        return made

    def add(self, values: npt.NDArray[Any]) -> None:
        """Add values."""
        found, counts = np.unique(values, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._counts[value] += count

    def summary(self) -> dict[str, float]:
        """Least, mean, greatest and percentiles (nearest rank: each is a value that occurs)."""
        if not self._counts:
            return {}
        values = np.array(sorted(self._counts), np.int64)
        counts = np.array([self._counts[value] for value in values.tolist()], np.int64)
        below, total = np.cumsum(counts), int(counts.sum())
        ranks = {p: int(values[np.searchsorted(below, int(np.ceil(p / 100 * total)))]) for p in PERCENTILES}
        return {
            "min": int(values[0]),
            "mean": round(float((values * counts).sum() / total), 3),
            "max": int(values[-1]),
            **{f"p{p}": value for p, value in ranks.items()},
        }

    def bins(self, *, signed: bool = False) -> dict[str, Any]:
        """How many values fall into each of at most ``BINS`` equal steps; those beyond are in the bins at the ends.

        The steps reach to the 98th percentile; with ``signed`` they are symmetric about 0.
        """
        if not self._counts:
            return {"start": 0, "step": 1, "counts": [], "below": False, "beyond": False}
        values = np.array(sorted(self._counts), np.int64)
        counts = np.array([self._counts[value] for value in values.tolist()], np.int64)
        sizes = np.abs(values) if signed else values
        order = np.argsort(sizes, kind="stable")
        below = np.cumsum(counts[order])
        reach = max(1, int(sizes[order][np.searchsorted(below, 0.98 * below[-1])]))
        step = _round_step((2 if signed else 1) * (reach + 1) / BINS)
        number = -(-(reach + 1) // step)
        start = -number * step if signed else 0
        number *= 2 if signed else 1
        index = np.clip((values - start) // step, 0, number - 1)
        filled = np.bincount(index, counts, number).astype(int)
        end = start + number * step
        return {
            "start": start,
            "step": step,
            "counts": filled.tolist(),
            "below": bool(values[0] < start),
            "beyond": bool(values[-1] >= end),
        }


def same_bins(first: Distribution, second: Distribution) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bins of two distributions over the same steps."""
    both = Distribution()
    both._counts = first._counts + second._counts
    frame = both.bins()
    found = []
    for one in (first, second):
        counts = [0] * len(frame["counts"])
        for value, count in one._counts.items():
            counts[min(value // frame["step"], len(counts) - 1)] += count
        found.append({**frame, "counts": counts})
    return found[0], found[1]


def _round_step(least: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ... that is at least ``least``."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if factor * size >= least:
                return factor * size
        size *= 10


def sizes_of(batch: Batch) -> Sizes:
    """Shape (rows, 3): the characters of prompt, chosen and rejected; for conversations (rows, 6), with their turns."""
    if isinstance(batch, ChatBatch):
        return np.concatenate((batch.characters, batch.turns)).T
    return batch.characters.T


def statistics_of(parts: Iterable[Sizes], form: Form) -> dict[str, Any]:
    """Rows, and for each side its length in characters; for conversations also turns. ``parts`` of sizes are rows."""
    lengths = {side: Distribution() for side in SIDES}
    turns = {side: Distribution() for side in SIDES}
    difference, rows, longer = Distribution(), 0, 0
    for sizes in parts:
        rows += len(sizes)
        for column, side in enumerate(SIDES):
            lengths[side].add(sizes[:, column])
            if form == "chat":
                turns[side].add(sizes[:, len(SIDES) + column])
        more = sizes[:, 1] - sizes[:, 2]
        difference.add(more)
        longer += int(np.count_nonzero(more > 0))
    return {
        "rows": rows,
        "characters": {
            **{side: lengths[side].summary() for side in SIDES},
            "chosen_minus_rejected": difference.summary(),
        },
        "chosen_is_longer": round(longer / rows, 4) if rows else None,
        "histograms": {
            **dict(zip(("chosen", "rejected"), same_bins(lengths["chosen"], lengths["rejected"]), strict=True)),
            "prompt": lengths["prompt"].bins(),
            "chosen_minus_rejected": difference.bins(signed=True),
            **({"prompt_turns": turns["prompt"].bins()} if form == "chat" else {}),
        },
        **({"turns": {side: turns[side].summary() for side in SIDES}} if form == "chat" else {}),
    }
