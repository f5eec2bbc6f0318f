"""Values with their intervals: of rates, of means, and of any statistic of counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval; each is None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` of ``total``, with Wilson's interval; ``value`` is None where the total is 0."""

    count: int
    total: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


def rate(count: int, total: int, level: float = LEVEL) -> Rate:
    """A proportion with Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    >>> found = rate(94, 100)
    >>> round(found.low, 4), round(found.high, 4)
    (0.8752, 0.9722)
    """
    if total == 0:
        return Rate(count, total)
    p = count / total
    z = NormalDist().inv_cdf((1 + level) / 2)
    scale = 1 + z * z / total
    middle = (p + z * z / (2 * total)) / scale
    half = z / scale * (p * (1 - p) / total + z * z / (4 * total * total)) ** 0.5
    return Rate(count, total, p, max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(
    counts: ArrayLike,
    statistic: Callable[[Array], Array],
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Estimate:
    """``statistic`` of categorical ``counts`` with its percentile interval (Efron 1979, Ann. Stat. 7:1).

    Drawing n items with replacement is one multinomial draw of their counts, so that no item is held. ``statistic``
    maps counts of shape (resamples, *shape) to values of shape (resamples,); NaN says undefined, and such draws are
    left out.
    """
    observed = np.asarray(counts, dtype=np.float64)
    total = int(observed.sum())
    if total == 0:
        return Estimate(None)
    value = float(statistic(observed[np.newaxis])[0])
    if np.isnan(value):
        return Estimate(None)
    draws = np.random.default_rng(seed).multinomial(total, observed.ravel() / total, size=resamples)
    values = statistic(draws.reshape(resamples, *observed.shape).astype(np.float64))
    values = values[~np.isnan(values)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def mean_of(values: Sequence[float], counts: ArrayLike, *, seed: int = 0) -> Estimate:
    """The mean of ``values[i]`` seen ``counts[i]`` times, with a bootstrap interval."""
    weights = np.asarray(values, dtype=np.float64)
    return bootstrap(counts, lambda drawn: drawn @ weights / drawn.sum(axis=-1), seed=seed)


def clustered_rate(clusters: Mapping[tuple[int, int], int], *, seed: int = 0) -> Rate:
    """A proportion of items that come in clusters, with a bootstrap interval over the clusters (Efron 1979).

    ``clusters[hits, items]`` counts the clusters of ``items`` items with ``hits`` hits. Verdicts on one couple in both
    orders are such a cluster: they are not independent, and Wilson's interval would be too narrow.

    >>> found = clustered_rate({(2, 2): 30, (1, 2): 10, (0, 2): 10})
    >>> found.count, found.total, found.value, found.low < 0.7 < found.high
    (70, 100, 0.7, True)
    """
    kinds = sorted(cluster for cluster in clusters if cluster[1])
    counts = [clusters[cluster] for cluster in kinds]
    hits, items = (np.array([cluster[part] for cluster in kinds], dtype=np.float64) for part in (0, 1))
    total = sum(cluster[1] * count for cluster, count in zip(kinds, counts, strict=True))
    if not total:
        return Rate(0, 0)
    found = bootstrap(counts, lambda drawn: (drawn @ hits) / (drawn @ items), seed=seed)
    return Rate(int(np.dot(hits, counts)), total, found.value, found.low, found.high)


@dataclass(slots=True)
class Moments:
    """A running mean whose values need not be kept."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self.count += 1
        self.total += value
        self.squares += value * value

    def estimate(self, low: float, high: float) -> Estimate:
        """The mean with a normal interval, cut to [``low``, ``high``]; no interval for fewer than two values."""
        if not self.count:
            return Estimate(None)
        mean = self.total / self.count
        if self.count < 2:
            return Estimate(mean)
        variance = max(0.0, self.squares - self.count * mean**2) / (self.count - 1)
        half = NormalDist().inv_cdf((1 + LEVEL) / 2) * (variance / self.count) ** 0.5
        return Estimate(mean, max(low, mean - half), min(high, mean + half))
