"""Intervals and agreement against published or hand-made figures."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from prefdata.stats import Moments, bootstrap, cohen_kappa, davidson, kendall_w, krippendorff_alpha, mean_of, rate


def test_wilson_interval() -> None:
    found = rate(15, 148)  # Newcombe 1998, Stat. Med. 17:857, table I, method 3: 15/148 and 0/20
    assert (round(found.low or 0, 4), round(found.high or 0, 4)) == (0.0624, 0.1605)
    none = rate(0, 20)
    assert (none.low, round(none.high or 0, 4)) == (0.0, 0.1611)
    assert rate(20, 20).high == 1.0
    assert (rate(0, 0).value, rate(0, 0).low) == (None, None)


def test_bootstrap_interval_of_a_mean_is_that_of_the_normal_theory() -> None:
    found = mean_of([0.0, 0.5, 1.0], [100, 200, 100])
    error = 1.96 * np.sqrt(0.125 / 400)
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - error, abs=0.004)
    assert found.high == pytest.approx(0.5 + error, abs=0.004)
    assert mean_of([0.0, 1.0], [3, 7], seed=1) == mean_of([0.0, 1.0], [3, 7], seed=1)
    assert mean_of([], []).value is None


def test_cohen_kappa_by_hand() -> None:
    found = cohen_kappa([[20, 5], [10, 15]])  # observed .7, expected .5*.6 + .5*.4 = .5
    assert found.value == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high
    assert cohen_kappa([[5, 0], [0, 5]]).value == 1.0
    assert cohen_kappa([[0, 5], [5, 0]]).value == pytest.approx(-1.0)
    assert cohen_kappa(np.diag([3, 4, 5])).value == 1.0


def test_kappa_is_undefined_where_chance_agrees_always() -> None:
    assert cohen_kappa([[7, 0], [0, 0]]).value is None
    assert cohen_kappa(np.zeros((3, 3))).value is None


def test_draws_without_a_value_are_left_out() -> None:
    found = cohen_kappa([[9, 0], [0, 1]])  # a third of the draws hold one category only
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert bootstrap([1.0], lambda drawn: np.full(len(drawn), np.nan)).value is None


def log_likelihood(wins: np.ndarray, ties: np.ndarray, strengths: np.ndarray, log_tie: float) -> float:
    """Davidson's likelihood, written out."""
    total = 0.0
    for i, j in itertools.combinations(range(len(wins)), 2):
        p, q = np.exp(strengths[i]), np.exp(strengths[j])
        tie = np.exp(log_tie) * np.sqrt(p * q)
        chances = np.array([p, q, tie]) / (p + q + tie)
        total += float(np.array([wins[i, j], wins[j, i], ties[i, j]]) @ np.log(chances))
    return total


def test_davidson_is_where_the_likelihood_is_greatest() -> None:
    rng = np.random.default_rng(1)
    for _ in range(3):
        wins = rng.integers(1, 9, (3, 3)) * (1 - np.eye(3))
        ties = np.triu(rng.integers(1, 6, (3, 3)), 1)
        found = davidson(wins, ties + ties.T)
        assert found.log_tie is not None
        best = log_likelihood(wins, ties, found.strengths, found.log_tie)
        grid = np.linspace(-2, 2, 41)  # brute force over strengths of sum 0 and the tie parameter
        brute = max(
            (log_likelihood(wins, ties, np.array([a, b, -a - b]), t), a, b, t)
            for a, b, t in itertools.product(grid, grid, grid)
        )
        assert best >= brute[0]
        assert [*found.strengths[:2], found.log_tie] == pytest.approx(brute[1:], abs=0.11)


def test_davidson_of_two_in_closed_form() -> None:
    found = davidson([[0, 30], [10, 0]], [[0, 0], [0, 0]])
    assert found.log_tie is None
    assert found.strengths[0] - found.strengths[1] == pytest.approx(np.log(3))
    variance = np.array([1, -1]) @ found.covariance @ np.array([1, -1])
    assert variance == pytest.approx(1 / 30 + 1 / 10)  # of a log odds ratio
    tied = davidson([[0, 30], [10, 0]], [[0, 20], [20, 0]])
    assert np.exp(tied.log_tie or 0) == pytest.approx(20 / np.sqrt(300))


def test_a_prior_keeps_an_unbeaten_strength_finite() -> None:
    wins = [[0, 5], [0, 0]]
    assert 1 < davidson(wins, np.zeros((2, 2)), prior_sd=3.0).strengths[0] < 5
    assert davidson(wins, np.zeros((2, 2)), prior_sd=0.1).strengths[0] < 0.1


# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, example C: four observers, twelve units.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def test_krippendorff_alpha_as_published() -> None:
    columns = zip(*(row.split() for row in OBSERVERS), strict=True)
    units = Counter(tuple(column.count(value) for value in "12345") for column in columns)
    nominal, ordinal = (krippendorff_alpha(units, level) for level in ("nominal", "ordinal"))
    assert (round(nominal.value or 0, 3), round(ordinal.value or 0, 3)) == (0.743, 0.815)
    assert (nominal.low or 1) < 0.743 < (nominal.high or 0)


def test_krippendorff_alpha_is_undefined_without_disagreement_to_show() -> None:
    assert krippendorff_alpha({(3, 0): 9}, "nominal").value is None
    assert krippendorff_alpha({(1, 0): 9, (0, 1): 3}, "nominal").value is None  # one rating each
    assert krippendorff_alpha({}, "ordinal").value is None
    assert krippendorff_alpha({(2, 0): 4, (0, 2): 3}, "nominal").value == 1.0


def test_kendall_w_by_hand() -> None:
    assert kendall_w([[1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]]) == pytest.approx(7 / 9)  # S 35: 12 * 35 / (9 * 60)
    assert kendall_w([[1, 2.5, 2.5], [1, 2.5, 2.5]]) == pytest.approx(1.0)  # ties are corrected for
    assert kendall_w([[2, 2, 2], [2, 2, 2]]) is None
    assert kendall_w([[1, 2, 3]]) is None


def test_moments_are_the_mean_and_its_normal_interval() -> None:
    moments = Moments()
    assert moments.estimate(0, 1).value is None
    for value in (0.0, 1.0, 1.0, 0.0):
        moments.add(value)
    found = moments.estimate(0, 1)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)  # 0.5 ± 0.57, cut to [0, 1]
    assert moments.estimate(-9, 9).high == pytest.approx(0.5 + 1.96 * (1 / 3 / 4) ** 0.5, abs=1e-4)


def test_davidson_without_ties_is_bradley_terry_as_other_libraries_fit_it() -> None:
    """choix 0.4 (opt_pairwise) and evalica 0.4 (bradley_terry, logs of its scores) on the same 67 games."""
    wins = [[0, 7, 9, 12], [3, 0, 6, 8], [2, 5, 0, 7], [1, 2, 4, 0]]
    found = davidson(wins, np.zeros((4, 4)))
    assert found.strengths == pytest.approx([1.175488, 0.153174, -0.271544, -1.057118], abs=2e-6)
