"""Prices: whose apply, and what is wrong with a table that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefdata.endpoint.endpoint import parse_endpoint
from prefdata.endpoint.prices import FREE, Price, load_prices
from prefdata.errors import InputError, UsageError


def test_the_users_prices_come_before_the_shipped_ones(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("small: {input: 1, output: 2}\norg/big: {input: 3, output: 4.5}\n")
    own, shipped = load_prices(path), load_prices(None)
    host = "https://example.test/v1"
    assert own.of(parse_endpoint(f"small=x@{host}", {})) == Price(1, 2)
    assert own.of(parse_endpoint(f"judge=org/big@{host}", {})) == Price(3, 4.5)
    assert own.of(parse_endpoint("small=x@http://localhost:1/v1", {})) == Price(1, 2)
    for prices in (own, shipped):
        assert prices.of(parse_endpoint("gpt-4o-mini", {})) == Price(0.15, 0.6)
        assert prices.of(parse_endpoint("gpt-4o-2024-08-06", {})) == prices.of(parse_endpoint("gpt-4o", {})) is not None
        assert prices.of(parse_endpoint(f"gpt-4o@{host}", {})) is None, "another host has other prices"
        assert prices.of(parse_endpoint("gpt-4o@http://127.0.0.1:8000/v1", {})) == FREE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no prices"),
        ("[]", "no prices"),
        ("a: [", "not YAML"),
        ("m: 3", "not {input"),
        ("m: {input: 3}", "not {input"),
        ("m: {input: x, output: 1}", "no number of dollars"),
        ("m: {input: -1, output: 1}", "no number of dollars"),
    ],
)
def test_a_price_table_that_cannot_be_meant_is_explained(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        load_prices(path)


def test_a_price_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_prices(tmp_path / "none.yaml")
