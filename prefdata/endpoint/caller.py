"""Calls to one endpoint: each made once, retried while that can help, and entered in the ledger.

A failure enters the ledger only when the endpoint is known to work: that one item failed is then a fact about the
item. While an endpoint has not answered at all its failures are held back, and if it never answers the run ends with
an error that names it instead of burning through the file.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefdata.endpoint.budget import Budget, cost_of
from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.failures import HOPELESS, LONGEST_WAIT, CallError, service_error
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.limits import Limiter
from prefdata.endpoint.pace import Pace
from prefdata.endpoint.prices import FREE
from prefdata.endpoint.reporting import CallCounts, Reporter
from prefdata.endpoint.tokens import USUAL, most_completion_tokens, prompt_tokens
from prefdata.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from prefdata.endpoint.client import Client


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How calls are made; none of it changes what is asked."""

    concurrency: int | None = None
    """Calls in flight at one endpoint; ``None`` adapts."""
    timeout: float = 300.0
    """Seconds for one attempt in all."""
    retries: int = 5
    backoff: float = 0.5
    """Seconds before the first retry; doubles with each, up to ``LONGEST_BACKOFF``."""
    retry_failed: bool = False
    rpm: float | None = None
    """Calls a minute to one endpoint, evenly spread."""
    tpm: float | None = None
    """Tokens a minute at one endpoint, by guess: those of the request and the most of the answer."""
    batch: bool = False
    """Send calls as batches of the Batch API."""
    max_cost: float | None = None
    """US dollars that all calls in the ledger together may cost."""
    prices: str | Path | None = None
    """A YAML file of prices that come before the shipped ones."""

    def __post_init__(self) -> None:
        if self.max_cost is not None and not 0 <= self.max_cost < math.inf:
            raise UsageError(f"{self.max_cost} is no sum of money", "for example --max-cost 5")
        for name, value in (("rpm", self.rpm), ("tpm", self.tpm)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{value} is no rate", f"for example --{name} 500")


LONGEST_BACKOFF = 30.0
GIVE_UP_UNPROVEN, GIVE_UP_PROVEN, GIVE_UP_REFUSED = 3, 25, 50
"""Items that may fail in a row: at an endpoint that never answered, at one that did, with refusals of the request."""


class Caller:
    """All calls to one endpoint pass through here."""

    def __init__(
        self,
        endpoint: Endpoint,
        ledger: Ledger,
        settings: CallSettings,
        counts: CallCounts,
        reporter: Reporter,
        budget: Budget,
    ) -> None:
        self.endpoint = endpoint
        self._calls = Pace(settings.rpm / 60 if settings.rpm else None)
        self._tokens = Pace(settings.tpm / 60 if settings.tpm else None)
        self._budget, self.price = budget, budget.price(endpoint)
        self.limiter = Limiter(settings.concurrency, settings.backoff / 2)
        self._ledger, self._settings, self._counts, self._reporter = ledger, settings, counts, reporter
        self._client: Client | None = None
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._proven = (endpoint.base_url, endpoint.model) in ledger.answered
        self._held: list[tuple[dict[str, Any], CallError]] = []
        self._reasons: dict[str, str] = {}
        self._failed_in_row = 0
        self._timeouts_in_row = 0
        self._over: ServiceError | None = None
        self._renamed: dict[str, str] = {}
        self._dropped: set[str] = set()

    async def call(self, call: Call) -> str | None:
        """Make ``call`` unless the ledger has it; returns why it failed, or ``None`` where it was answered.

        Raises ServiceError where no call can succeed.
        """
        standing = self._ledger.standing(call.key)
        if standing == "answered":
            self.reused(call)
            return None
        if standing == "failed" and not self._settings.retry_failed:
            return str((self._ledger.get(call.key) or {})["failure"]["reason"])
        if call.key in self._reasons:
            return self._reasons[call.key]
        if (other := self._under_way.get(call.key)) is not None:  # the same question asked twice is paid once
            await asyncio.wait([other])
            self.reused(call)
        else:
            done = self._under_way[call.key] = asyncio.get_running_loop().create_future()
            try:
                await self._make(call)
            finally:
                del self._under_way[call.key]
                done.set_result(None)
        return self._reasons.get(call.key)

    def reused(self, call: Call) -> None:
        """Count a call that the ledger answers."""
        self._counts.reused += 1
        if self.price is not None and self.price != FREE and self._ledger.standing(call.key) == "answered":
            self._counts.saved += cost_of(self.price, self._ledger.get(call.key) or {})

    def finish(self) -> None:
        """After the last call: enter the failures held back, or raise ServiceError where nothing ever answered."""
        if self._held and not self._proven:
            raise self.end(self._held[-1][1])
        self._enter_held()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _make(self, call: Call) -> None:
        began = now()
        attempts = charged = 0
        while True:
            attempts += 1
            body = self.sent(call.body)
            try:
                response = await self._attempt(body)
            except CallError as error:
                if error.reason in HOPELESS or (error.retry_after or 0) > LONGEST_WAIT:
                    raise self.end(error) from None
                if error.reason == "bad-request" and self.adapt(call, body, error):
                    continue
                if error.reason == "rate-limited":  # to be turned away is queueing, not failing: the gate says how long
                    self._check_gate(error)
                    self._tried_again(error)
                    continue
                charged += 1
                self._check_timeouts(error)
                if not error.transient or charged > self._settings.retries:
                    self.failed(self.record(call, body, began, attempts, failure=error.record), error)
                    return
                self._tried_again(error)
                if error.retry_after is None:
                    longest = min(self._settings.backoff * 2 ** max(charged - 1, 0), LONGEST_BACKOFF)
                    await asyncio.sleep(longest * random.uniform(0.5, 1.0))
                continue
            self.answered(self.record(call, body, began, attempts, response=response, usage=response.get("usage")))
            return

    async def _attempt(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._client is None:
            from prefdata.endpoint.client import Client  # costs most of a second, and a replay needs none

            self._client = Client(self.endpoint, self._settings.timeout)
        async with self.limiter:
            if self._over is not None:  # decided while this call waited its turn
                raise self._over
            await self._calls.turn()
            if self._tokens.rate is not None:
                await self._tokens.turn(prompt_tokens(body) + (most_completion_tokens(body) or USUAL))
            with self._budget.released(await self._budget.reserve(self.price, body)):
                began = self.limiter.begin()
                try:
                    response = await self._client.attempt(body)
                except CallError as error:
                    if error.reason in ("rate-limited", "server-error", "timeout"):
                        too_fast = error.reason == "rate-limited"
                        self.limiter.refused(began, error.retry_after, too_fast=too_fast, rate=error.rate)
                    raise
                self.pay({"usage": response.get("usage"), "request": body})
            self.limiter.succeeded()
            return response

    def record(self, call: Call, body: Mapping[str, Any], began: str, attempts: int, **outcome: Any) -> dict[str, Any]:
        return {
            "key": call.key,
            "endpoint": self.endpoint.name,
            "base_url": self.endpoint.base_url,
            "model": self.endpoint.model,
            "request": body,
            **outcome,
            "started_at": began,
            "finished_at": now(),
            "attempts": attempts,
        }

    def pay(self, record: Mapping[str, Any]) -> None:
        """Count what an answered call cost."""
        cost = cost_of(self.price, record)
        self._budget.spent += cost
        self._counts.paid += cost

    def answered(self, record: dict[str, Any]) -> None:
        """Enter a call that was answered."""
        self._ledger.append(record)
        self._counts.made += 1
        self._counts.unpriced += self.price is None
        self._counts.add_usage(record["usage"] if isinstance(record["usage"], dict) else None)
        self._proven = True
        self._failed_in_row = self._timeouts_in_row = 0
        self._enter_held()

    def failed(self, record: dict[str, Any], error: CallError, *, alone: bool = False) -> None:
        """A call failed for good: enter that, at once or, while the endpoint is not known to work, later.

        Failures in a row end the run, but for those that are known to stand ``alone`` among answers.
        """
        self._held.append((record, error))
        self._reasons[record["key"]] = error.reason
        self._failed_in_row += 1
        if error.reason == "bad-request":
            # A refusal is fast and says that the service works; only when it refuses everything is it to blame.
            limit = None if self._proven else GIVE_UP_REFUSED
        else:
            limit = GIVE_UP_PROVEN if self._proven else GIVE_UP_UNPROVEN
        if limit is not None and self._failed_in_row >= limit and not (alone and self._proven):
            raise self.end(error)
        if self._proven and (alone or error.reason == "bad-request"):
            self._enter_held()

    def _tried_again(self, error: CallError) -> None:
        self._reporter.note(f"{self.endpoint}: {error.detail}; trying again", f"{self.endpoint} {error.reason}")
        self._counts.retried += 1

    def _check_gate(self, error: CallError) -> None:
        """An endpoint that lets nothing through, however long all calls wait, ends the run."""
        if self.limiter.turned_away > 2 + 2 * self._settings.retries:  # of 5: three minutes, where no time is named
            raise self.end(error)

    def _check_timeouts(self, error: CallError) -> None:
        """Waiting out the deadline of every attempt of several calls in turn would take hours."""
        if error.reason == "timeout":
            self._timeouts_in_row += 1
            if not self._proven and self._timeouts_in_row >= GIVE_UP_UNPROVEN:
                raise self.end(error)

    def end(self, error: CallError) -> ServiceError:
        """The end of the run: no further call to this endpoint is begun."""
        self._over = service_error(self.endpoint, error, answered=self._proven)
        return self._over

    def _enter_held(self) -> None:
        for record, _ in self._held:
            self._ledger.append(record)
        self._held.clear()

    def sent(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body as this endpoint takes it."""
        kept = {name: value for name, value in body.items() if name not in self._dropped}
        return {self._renamed.get(name, name): value for name, value in kept.items()} | {"model": self.endpoint.model}

    def adapt(self, call: Call, sent: Mapping[str, Any], error: CallError) -> bool:
        """Learn from a refusal which field this endpoint does not take; ``False`` where nothing can be changed."""
        if "max_tokens" in sent and "max_completion_tokens" in error.detail:
            self._renamed["max_tokens"] = "max_completion_tokens"
            return True
        refused = {name for name in call.optional if name in sent and name in error.detail}
        if "logprobs" in error.detail:
            refused |= {name for name in call.optional if name in sent and "logprobs" in name}
        if not refused:
            return False
        self._dropped |= refused
        self._reporter.note(
            f"{self.endpoint} does not take {', '.join(sorted(refused))} ({error.detail}); asking without"
        )
        return True


def now() -> str:
    """The time of day, as records of calls have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
