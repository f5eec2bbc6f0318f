"""What a dataset is made of: exact figures over all rows kept, in memory that grows with the different values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefdata.records.arrow import SIDES, Form

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

    def add(self, values: npt.NDArray[np.int64]) -> None:
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


def statistics_of(shards: Sequence[Path], form: Form) -> dict[str, Any]:
    """Rows, and for each side its length in characters; for conversations also turns."""
    lengths = {side: Distribution() for side in SIDES}
    turns = {side: Distribution() for side in SIDES}
    difference, rows, longer = Distribution(), 0, 0
    for path in shards:
        with pa.memory_map(str(path)) as source:
            for batch in pa.ipc.open_stream(source):
                rows += batch.num_rows
                characters = {}
                for side in SIDES:
                    column = batch.column(batch.schema.get_field_index(side))
                    characters[side] = _characters(column, form)
                    lengths[side].add(characters[side])
                    if form == "chat":
                        turns[side].add(_turns(column))
                difference.add(characters["chosen"] - characters["rejected"])
                longer += int(np.count_nonzero(characters["chosen"] > characters["rejected"]))
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


def _characters(column: pa.Array, form: Form) -> npt.NDArray[np.int64]:
    """Characters of each row's side; a conversation's are those of its turns together."""
    if form == "text":
        return _numbers(pc.utf8_length(column))
    contents = pc.fill_null(pc.utf8_length(pc.struct_field(column.values, "content")), 0)
    sums = np.concatenate(([0], np.cumsum(_numbers(contents))))
    offsets = _numbers(column.offsets)
    return np.asarray(sums[offsets[1:]] - sums[offsets[:-1]], np.int64)


def _turns(column: pa.Array) -> npt.NDArray[np.int64]:
    return _numbers(pc.list_value_length(column))


def _numbers(array: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)
