"""Intervals and agreement by published formulas; counts in, numbers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

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


def cohen_kappa(table: ArrayLike, *, seed: int = 0) -> Estimate:
    """Cohen's kappa of two raters (Cohen 1960, Educ. Psychol. Meas. 20:37) with a bootstrap interval.

    ``table[i][j]`` counts the items that the first rater put into category i and the second into j. Undefined (None)
    where both use one and the same category only: chance alone would then agree always.

    >>> round(cohen_kappa([[20, 5], [10, 15]]).value, 3)
    0.4
    """
    return bootstrap(table, _kappa, seed=seed)


def _kappa(tables: Array) -> Array:
    total = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / total
    expected = (tables.sum(axis=2) * tables.sum(axis=1)).sum(axis=1) / total**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def krippendorff_alpha(
    units: Mapping[tuple[int, ...], int], level: Literal["nominal", "ordinal"], *, seed: int = 0
) -> Estimate:
    """Krippendorff's alpha (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability) with a bootstrap interval.

    ``units`` counts units by how many raters put each into each category, categories in their order where the level is
    ordinal; units with fewer than two ratings are left out. Undefined (None) where all ratings are one category: no
    disagreement could have shown.

    >>> round(krippendorff_alpha({(2, 0): 1, (1, 1): 1, (0, 2): 2}, "nominal").value, 3)
    0.533
    """
    kinds = [unit for unit in units if sum(unit) > 1]
    if not kinds:
        return Estimate(None)
    held = np.asarray(kinds, dtype=np.float64)
    size = held.shape[1]
    pairs = held[:, :, None] * held[:, None, :] - held[:, :, None] * np.eye(size)
    coincidences = pairs / (held.sum(axis=1) - 1)[:, None, None]

    def alphas(drawn: Array) -> Array:
        found = np.einsum("rk,kij->rij", drawn, coincidences)
        values = found.sum(axis=2)
        total = values.sum(axis=1)
        if level == "nominal":
            distance = np.broadcast_to(1 - np.eye(size), found.shape)
        else:
            below = np.cumsum(values, axis=1) - values / 2
            distance = (below[:, :, None] - below[:, None, :]) ** 2
        expected = np.einsum("ri,rj,rij->r", values, values, distance)
        observed = np.einsum("rij,rij->r", found, distance)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(expected > 0, 1 - (total - 1) * observed / expected, np.nan)

    return bootstrap([units[kind] for kind in kinds], alphas, seed=seed)


def kendall_w(ranks: ArrayLike) -> float | None:
    """Kendall's coefficient of concordance with its correction for ties (Kendall and Gibbons 1990, chapter 6).

    ``ranks`` is of shape (judges, items), tied items with the mean of their ranks. None for fewer than two judges or
    items, or where every judge ties all.

    >>> kendall_w([[1, 2, 3], [1, 2, 3]]), kendall_w([[1, 2, 3], [3, 2, 1]])
    (1.0, 0.0)
    """
    table = np.asarray(ranks, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    judges, items = table.shape
    ties = sum(float((count**3 - count).sum()) for count in (np.unique(row, return_counts=True)[1] for row in table))
    sums = table.sum(axis=0)
    most = judges**2 * (items**3 - items) - judges * ties
    return float(12 * ((sums - sums.mean()) ** 2).sum() / most) if most > 0 else None


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


@dataclass(frozen=True, slots=True)
class Strengths:
    """Log strengths of Davidson's model (of mean 0), the log of its tie parameter, and the covariance of strengths."""

    strengths: Array
    log_tie: float | None
    """None where there is no tie: its parameter is then 0."""
    covariance: Array


def davidson(wins: ArrayLike, ties: ArrayLike, *, prior_sd: float | None = None) -> Strengths:
    """Bradley-Terry strengths with ties (Davidson 1970, J. Am. Stat. Assoc. 65:317), at the greatest likelihood.

    ``wins[i, j]`` counts the wins of i over j, ``ties`` is symmetric; both are of shape (n, n). With strengths p and
    tie parameter v, P(i wins) is p_i / D and P(tie) is v (p_i p_j)^(1/2) / D, where D is the sum of the three
    weights. The log-likelihood is concave in the logs, so that Newton's steps, halved where they overshoot, find it.
    ``prior_sd`` is of a normal prior on log strengths (and on log v), which keeps the strength of one that always won
    finite; without it a ridge of 1e-9 merely fixes the mean.
    """
    won, tied = np.asarray(wins, dtype=np.float64), np.asarray(ties, dtype=np.float64)
    count = len(won)
    first, second = np.nonzero(np.triu(won + won.T + tied))
    counts = np.stack([won[first, second], won[second, first], tied[first, second]], axis=1)
    with_ties = bool(tied.sum())
    # Features of the three outcomes of each compared couple: a multinomial logit in log strengths and log v.
    features = np.zeros((len(first), 3, count + with_ties))
    rows = np.arange(len(first))
    for outcome, (one, other) in enumerate(((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))):
        features[rows, outcome, first] += one
        features[rows, outcome, second] += other
    if with_ties:
        features[:, 2, count] = 1.0
    open_ = np.array([0.0, 0.0, 0.0 if with_ties else -np.inf])
    ridge = 1e-9 if prior_sd is None else 1 / prior_sd**2
    total = counts.sum(axis=1)
    at = np.zeros(count + with_ties)

    def posterior(point: Array) -> tuple[float, Array]:
        logits = features @ point + open_
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        seen = np.where(counts > 0, counts * np.where(counts > 0, logs, 0.0), 0.0)
        return float(seen.sum() - ridge / 2 * point @ point), np.exp(logs)

    value, chances = posterior(at)
    for _ in range(200):
        gradient = np.einsum("kof,ko->f", features, counts - total[:, None] * chances) - ridge * at
        mean = np.einsum("kof,ko->kf", features, chances)
        weighted = np.einsum("kof,ko,k,kog->fg", features, chances, total, features, optimize=True)
        hessian = weighted - np.einsum("kf,k,kg->fg", mean, total, mean, optimize=True) + ridge * np.eye(len(at))
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while (new := posterior(at + scale * step))[0] < value and scale > 1e-10:
            scale /= 2
        at, (value, chances) = at + scale * step, new
        if np.abs(scale * step).max() < 1e-10:
            break
    strengths = at[:count]
    centre = np.eye(count) - 1 / count
    covariance = centre @ np.linalg.inv(hessian)[:count, :count] @ centre.T
    return Strengths(strengths - strengths.mean(), float(at[count]) if with_ties else None, covariance)
