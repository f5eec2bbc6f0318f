"""What a run may cost: a call begins only where the money left covers the most that it may cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.prices import FREE, Price, Prices
from prefdata.endpoint.tokens import USUAL, most_completion_tokens, prompt_tokens
from prefdata.errors import ServiceError

CAUTION = 1.25
"""By how much a request may have more tokens than were guessed."""
UNLIMITED = 8 * USUAL
"""Tokens reserved for an answer without a limit."""


class Budget:
    """The money of one output: what earlier runs paid for its ledger counts too, so that no rerun spends it again."""

    def __init__(self, most: float | None, prices: Prices, ledger: Ledger) -> None:
        self.most = most
        self.prices = prices
        self.spent = 0.0
        self._reserved = 0.0
        self._settled = asyncio.Event()
        for (name, base_url, model), used in ledger.used.items():
            price = prices.of(Endpoint(name, model, base_url, ""))
            if price is not None:
                batch = used.batch_prompt_tokens, used.batch_completion_tokens
                self.spent += price.cost(used.prompt_tokens - batch[0], used.completion_tokens - batch[1])
                self.spent += price.cost(*batch, batch=True)

    def begin(self) -> None:
        """Calls begin in an event loop of their own."""
        self._settled = asyncio.Event()

    def price(self, endpoint: Endpoint) -> Price | None:
        """The price of an endpoint; raises UsageError where a cap is to be kept and nobody knows it."""
        return self.prices.of(endpoint) if self.most is None else self.prices.require(endpoint)

    async def reserve(self, price: Price | None, body: Mapping[str, Any]) -> float:
        """Set aside the most that a call may cost, once calls in flight have left room for it.

        Raises ServiceError where no call is in flight and there is no room.
        """
        if self.most is None or price is None or price == FREE:
            return 0.0
        wanted = most_cost(price, body)
        while self.spent + self._reserved + wanted > self.most:
            if not self._reserved:
                raise self.stop(wanted)
            self._settled.clear()
            await self._settled.wait()
        self._reserved += wanted
        return wanted

    def covers(self, dollars: float) -> bool:
        """Whether the money left covers so much."""
        return self.most is None or self.spent + dollars <= self.most

    def stop(self, wanted: float) -> ServiceError:
        """The end of a run whose next call may cost ``wanted``, which is not left."""
        return ServiceError(
            f"the run stopped at --max-cost {self.most:g}: ${self.spent:.4f} is paid, "
            f"and the next call may cost ${wanted:.4f}",
            "raise --max-cost and run the same command again: finished calls are kept and not paid again",
        )

    def release(self, reserved: float) -> None:
        """The call is over; what it cost was added to ``spent`` before."""
        if reserved:
            self._reserved = max(self._reserved - reserved, 0.0)
            if self._reserved < 1e-12:
                self._reserved = 0.0
            self._settled.set()

    @contextmanager
    def released(self, reserved: float) -> Iterator[None]:
        """Release ``reserved`` on leaving."""
        try:
            yield
        finally:
            self.release(reserved)


def most_cost(price: Price | None, body: Mapping[str, Any], *, batch: bool = False) -> float:
    """The most that a call may cost, in US dollars; 0 where its price is not known."""
    if price is None:
        return 0.0
    answer = most_completion_tokens(body) or UNLIMITED * int(body.get("n") or 1)
    return price.cost(CAUTION * prompt_tokens(body), answer, batch=batch)


def cost_of(price: Price | None, record: Mapping[str, Any]) -> float:
    """What an answered call cost by its usage; where the server counted nothing, by guess."""
    if price is None or price == FREE:
        return 0.0
    usage = record.get("usage")
    tokens = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    asked = tokens[0] if isinstance(tokens[0], int) else prompt_tokens(record["request"])
    answered = tokens[1] if isinstance(tokens[1], int) else USUAL
    return price.cost(asked, answered, batch="batch" in record)
