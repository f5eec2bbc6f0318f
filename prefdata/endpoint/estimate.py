"""What a run would take, before a single call is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.ledger import Ledger, Used
from prefdata.endpoint.prices import Price, Prices
from prefdata.endpoint.tokens import USUAL, most_completion_tokens, prompt_tokens
from prefdata.records.spilling import SpillingMap

USUAL_RETRIES = 0.02
"""Share of calls that are made once more, where the ledger does not tell."""


@dataclass(slots=True)
class EndpointEstimate:
    """Calls to one endpoint. Tokens and dollars are of the calls to be made, expected retries included."""

    name: str
    base_url: str
    calls: int = 0
    """Calls that the run wants; each different one counts once."""
    reused: int = 0
    """Of these, the ones that the ledger answers."""
    failed_before: int = 0
    """Of these, the ones that failed in an earlier run and are made again only with --retry-failed."""
    to_make: int = 0
    retries: int = 0
    """Expected."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    most_completion_tokens: int | None = 0
    """By the limits that the requests set, expected retries included; ``None`` where one sets none."""
    dollars: float | None = None
    """``None``: the price is not known."""
    most_dollars: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take."""

    endpoints: tuple[EndpointEstimate, ...]
    inputs: int
    """Response sets or prompts."""
    invalid: int
    """Lines that hold none."""
    prices_as_of: str
    batch: bool = False
    """Whether dollars are those of calls in batches."""

    @property
    def dollars(self) -> float | None:
        """Expected; ``None`` where a price is not known."""
        return _sum([each.dollars for each in self.endpoints])

    @property
    def most_dollars(self) -> float | None:
        """At most, with no more retries than expected; ``None`` where a price or a limit is not known."""
        return _sum([each.most_dollars for each in self.endpoints])

    def document(self) -> dict[str, Any]:
        """The estimate as JSON."""
        return {**asdict(self), "dollars": self.dollars, "most_dollars": self.most_dollars}


class Estimator:
    """Adds up calls."""

    def __init__(
        self, ledger: Ledger | None, prices: Prices, *, retry_failed: bool = False, batch: bool = False
    ) -> None:
        self._ledger, self._prices, self._retry_failed, self._batch = ledger, prices, retry_failed, batch
        self._seen = SpillingMap()
        self._by_endpoint: dict[Endpoint, EndpointEstimate] = {}

    def add(self, calls: Iterable[Call]) -> None:
        """Count ``calls``, of which equal ones are one."""
        for call in calls:
            endpoint = call.endpoint
            own = self._by_endpoint.setdefault(endpoint, EndpointEstimate(endpoint.name, endpoint.base_url))
            key = bytes.fromhex(call.key)
            if key in self._seen:
                continue
            self._seen[key] = 1
            own.calls += 1
            standing = self._ledger.standing(call.key) if self._ledger is not None else None
            if standing == "answered":
                own.reused += 1
            elif standing == "failed" and not self._retry_failed:
                own.failed_before += 1
            else:
                self._count(own, call)

    def estimate(self, inputs: int, invalid: int) -> Estimate:
        """What was added, with expected retries, in dollars."""
        for endpoint, own in self._by_endpoint.items():
            used = self._used(endpoint)
            rate = used.attempts / used.calls - 1 if used.calls else USUAL_RETRIES
            own.retries = round(own.to_make * rate)
            price: Price | None = self._prices.of(endpoint)
            own.prompt_tokens = round(own.prompt_tokens * (1 + rate))
            own.completion_tokens = round(own.completion_tokens * (1 + rate))
            if (most := own.most_completion_tokens) is not None:
                own.most_completion_tokens = most = round(most * (1 + rate))
            if price is not None:
                own.dollars = price.cost(own.prompt_tokens, own.completion_tokens, batch=self._batch)
                if most is not None:
                    own.most_dollars = price.cost(own.prompt_tokens, most, batch=self._batch)
        return Estimate(tuple(self._by_endpoint.values()), inputs, invalid, self._prices.as_of, self._batch)

    def _count(self, own: EndpointEstimate, call: Call) -> None:
        used = self._used(call.endpoint)
        most, choices = most_completion_tokens(call.body), int(call.body.get("n") or 1)
        usual = used.completion_tokens / used.calls if used.calls and used.completion_tokens else USUAL * choices
        own.to_make += 1
        own.prompt_tokens += prompt_tokens(call.body)
        own.completion_tokens += round(min(usual, most) if most is not None else usual)
        if own.most_completion_tokens is not None:
            own.most_completion_tokens = None if most is None else own.most_completion_tokens + most

    def _used(self, endpoint: Endpoint) -> Used:
        name = (endpoint.name, endpoint.base_url, endpoint.model)
        return self._ledger.used.get(name, Used()) if self._ledger is not None else Used()


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
