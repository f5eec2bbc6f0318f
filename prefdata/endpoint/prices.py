"""What calls cost: a price table that ships with prefdata, and the user's own, which comes first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from prefdata.endpoint.endpoint import Endpoint
from prefdata.errors import InputError, UsageError

SHIPPED = Path(__file__).with_name("prices.yaml")
MILLION = 1_000_000
HINT = "a line a model, in dollars for a million tokens: 'gpt-4o: {input: 2.5, output: 10}'"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    batch: float = 0.5
    """The share of this that a call in a batch costs."""

    def cost(self, prompt_tokens: float, completion_tokens: float, *, batch: bool = False) -> float:
        """US dollars.

        >>> Price(2.5, 10).cost(1_000_000, 100_000)
        3.5
        """
        dollars = (self.input * prompt_tokens + self.output * completion_tokens) / MILLION
        return dollars * self.batch if batch else dollars


FREE = Price(0.0, 0.0)


class Prices:
    """Prices by endpoint: the user's by name or model, then the shipped table by host and model."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = own or {}
        self._shipped: dict[str, dict[str, Price]] | None = None
        self.as_of = ""

    def of(self, endpoint: Endpoint) -> Price | None:
        """The price of an endpoint; ``None`` where nobody knows it."""
        for name in (endpoint.name, endpoint.model):
            if name in self._own:
                return self._own[name]
        if endpoint.loopback:
            return FREE
        models = self._table().get(urlsplit(endpoint.base_url).hostname or "", {})
        # A dated version costs what its family costs.
        return models.get(endpoint.model) or models.get(re.sub(r"-\d{4}-?\d{2}-?\d{2}$", "", endpoint.model))

    def require(self, endpoint: Endpoint) -> Price:
        """The price of an endpoint; raises UsageError where nobody knows it."""
        price = self.of(endpoint)
        if price is None:
            raise UsageError(
                f"the price of {endpoint} is not known, so --max-cost cannot be kept",
                f"name it with --prices FILE.yaml, {HINT.replace('gpt-4o', endpoint.model)}",
            )
        return price

    def _table(self) -> dict[str, dict[str, Price]]:
        if self._shipped is None:
            document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
            self.as_of = str(document["as_of"])
            self._shipped = {
                host: {model: Price(**price) for model, price in models.items()}
                for host, models in document["hosts"].items()
            }
        return self._shipped


def load_prices(path: str | Path | None) -> Prices:
    """The shipped prices, with those of the user's YAML file before them; raises InputError or UsageError."""
    if path is None:
        return Prices()
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", HINT) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UsageError(f"{path} is not YAML", HINT) from None
    if not isinstance(document, dict) or not document:
        raise UsageError(f"{path} holds no prices", HINT)
    return Prices({str(model): _price(path, model, price) for model, price in document.items()})


def _price(path: str | Path, model: Any, price: Any) -> Price:
    if not isinstance(price, dict) or set(price) - {"batch"} != {"input", "output"}:
        raise UsageError(f"{path}: the price of {model} is not {{input: …, output: …}}", HINT)
    for value in price.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise UsageError(f"{path}: the price of {model} is no number of dollars", HINT)
    return Price(float(price["input"]), float(price["output"]), float(price.get("batch", 0.5)))
