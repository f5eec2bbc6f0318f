"""Means of values that come in clusters, such as pairs of one prompt: whole clusters are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefdata.stats.intervals import LEVEL, RESAMPLES, Array, Estimate, bootstrap

DRAWS = 400
"""Resamples of clusters: each costs time in proportion to their number."""


def clustered_means(
    values: Array, clusters: NDArray[np.uint64], *, seed: int = 0, level: float = LEVEL
) -> list[Estimate]:
    """The mean of each column of ``values``, shape (rows, columns), with its percentile bootstrap interval.

    Rows of one cluster, shape (rows,), are drawn together (Davison and Hinkley 1997, Bootstrap Methods, 3.8). NaN says
    that a row has no value in that column. Where every row is a cluster of its own and a column holds few different
    values, their counts are drawn instead, which is the same and costs less.
    """
    groups, member = np.unique(clusters, return_inverse=True)
    alone = len(groups) == len(clusters)
    found = []
    for column in values.T:
        there = ~np.isnan(column)
        different, counts = np.unique(column[there], return_counts=True)
        if alone or not len(different):
            found.append(_of_counts(different, counts, seed, level))
        else:
            sums: Array = np.bincount(member[there], column[there], len(groups)).astype(np.float64)
            sizes = np.bincount(member[there], minlength=len(groups)).astype(np.float64)
            found.append(_of_groups(sums, sizes, seed, level))
    return found


def _of_counts(different: Array, counts: NDArray[np.int64], seed: int, level: float) -> Estimate:
    if not len(different):
        return Estimate(None)
    return bootstrap(
        counts, lambda drawn: drawn @ different / drawn.sum(axis=-1), seed=seed, level=level, resamples=RESAMPLES
    )


def _of_groups(sums: Array, sizes: Array, seed: int, level: float) -> Estimate:
    rng, count = np.random.default_rng(seed), len(sums)
    means = []
    for _ in range(DRAWS):
        weights = np.bincount(rng.integers(0, count, count), minlength=count)
        size = weights @ sizes
        if size:
            means.append(weights @ sums / size)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(sums.sum() / sizes.sum()), float(low), float(high))
