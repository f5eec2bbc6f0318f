"""Intervals and agreement by published formulas; counts in, numbers out."""

from prefdata.stats.coefficients import cohen_kappa, fleiss_kappa, kendall_w, krippendorff_alpha
from prefdata.stats.intervals import (
    LEVEL,
    RESAMPLES,
    Array,
    Estimate,
    Moments,
    Rate,
    bootstrap,
    clustered_rate,
    mean_of,
    rate,
)
from prefdata.stats.strengths import Strengths, davidson

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Array",
    "Estimate",
    "Moments",
    "Rate",
    "Strengths",
    "bootstrap",
    "clustered_rate",
    "cohen_kappa",
    "davidson",
    "fleiss_kappa",
    "kendall_w",
    "krippendorff_alpha",
    "mean_of",
    "rate",
]
