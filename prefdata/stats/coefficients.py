"""Coefficients of agreement by published formulas; counts in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from prefdata.stats.intervals import Array, Estimate, bootstrap


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


def fleiss_kappa(units: Mapping[tuple[int, ...], int], *, seed: int = 0) -> Estimate:
    """Fleiss' kappa (Fleiss 1971, Psychol. Bull. 76:378) with a bootstrap interval.

    ``units`` counts the items by how many raters put them into each category. The formula wants the same number of
    raters for each item: of numbers of two or more that with the most items is taken, and items with another number
    are left out. Undefined (None) where all ratings are one category.

    >>> round(fleiss_kappa({(3, 0): 4, (2, 1): 1, (0, 3): 5}).value, 3)
    0.866
    """
    sizes: dict[int, int] = {}
    for unit, number in units.items():
        if number and sum(unit) > 1:
            sizes[sum(unit)] = sizes.get(sum(unit), 0) + number
    if not sizes:
        return Estimate(None)
    raters = max(sizes, key=lambda size: (sizes[size], size))
    kinds = [unit for unit, number in units.items() if number and sum(unit) == raters]
    held = np.asarray(kinds, dtype=np.float64)
    agreeing = (held * (held - 1)).sum(axis=1) / (raters * (raters - 1))

    def kappas(drawn: Array) -> Array:
        items = drawn.sum(axis=1)
        expected = ((drawn @ held / (items * raters)[:, None]) ** 2).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # 1 to within rounding: one category only, and nothing to agree on.
            return np.where(expected < 1 - 1e-12, (drawn @ agreeing / items - expected) / (1 - expected), np.nan)

    return bootstrap([units[kind] for kind in kinds], kappas, seed=seed)


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
