"""Results by source and by length: where the mean over all pairs hides that a part of them went another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from prefdata_trainer.outcome import accuracy


class Slice(NamedTuple):
    """Some pairs, and what became of them; accuracies count ties half."""

    name: str
    pairs: int
    margin_after: float
    before: float
    after: float


def by_source(columns: Mapping[str, Any], split: str) -> list[Slice]:
    """One slice for each source, the largest first."""
    sources = np.asarray(columns["source"])
    names = sorted(set(sources[_of(columns, split)].tolist()))
    found = [_slice(name, columns, _of(columns, split) & (sources == name)) for name in names]
    return sorted(found, key=lambda row: (-row.pairs, row.name))


def by_length(columns: Mapping[str, Any], split: str) -> list[Slice]:
    """Pairs whose chosen side has more tokens in the loss, as many, or fewer; those that are none are left out."""
    difference = np.asarray(columns["length_difference"])
    kinds = {
        "chosen is longer": difference > 0,
        "both as long": difference == 0,
        "rejected is longer": difference < 0,
    }
    found = [_slice(name, columns, _of(columns, split) & which) for name, which in kinds.items()]
    return [row for row in found if row.pairs]


def _of(columns: Mapping[str, Any], split: str) -> Any:
    return np.asarray(columns["split"]) == split


def _slice(name: str, columns: Mapping[str, Any], which: Any) -> Slice:
    before, after = (np.asarray(columns[f"margin_{when}"], float)[which] for when in ("before", "after"))
    if not len(after):
        return Slice(name, 0, float("nan"), float("nan"), float("nan"))
    return Slice(name, len(after), float(after.mean()), accuracy(before), accuracy(after))
