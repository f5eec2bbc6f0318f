"""Strengths of those who were compared in twos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from prefdata.stats.intervals import Array


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
    finite; without it a ridge of 1e-9 merely fixes the mean. (Libraries such as choix and evalica give the same without
    ties; they take a tie for half a win of each, have no prior, and give no covariance for intervals.)
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
