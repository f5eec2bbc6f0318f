"""Intervals and agreement against published or hand-made figures."""

from __future__ import annotations

import numpy as np
import pytest

from prefdata.stats import bootstrap, cohen_kappa, mean_of, rate


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
