"""Calls to a model in this very process: batched, and entered in the ledger like any other.

Every batch has one fixed shape (its last rows are filled up), so that what a call is answered does not depend on
which other calls happened to share its batch: a run that was killed and begun again computes what an undisturbed one
does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from prefdata.endpoint.budget import Budget
from prefdata.endpoint.caller import Caller, CallSettings, now
from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.failures import CallError
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.reporting import CallCounts, Reporter

BATCHES = 4
"""Batches' worth of calls that may wait: enough of each length to fill them."""


class Engine(Protocol):
    """A model in this process."""

    batch: int
    """Calls that are answered together."""

    def prepared(self, body: Mapping[str, Any]) -> tuple[Hashable, Any]:
        """Which calls may share a batch with this one, and what ``answers`` takes of it.

        Raises CallError for a call that cannot be answered, and PrefdataError where the model cannot be loaded.
        """

    def answers(self, group: Any, calls: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        """A response, with its usage, to each of at most ``batch`` prepared calls of one group; runs in a thread."""


class InProcess(Caller):
    """All calls to one model in this process."""

    def __init__(
        self,
        endpoint: Endpoint,
        engine: Engine,
        ledger: Ledger,
        settings: CallSettings,
        counts: CallCounts,
        reporter: Reporter,
        budget: Budget,
    ) -> None:
        super().__init__(endpoint, ledger, settings, counts, reporter, budget)
        self.limiter.limit = BATCHES * engine.batch
        self._engine = engine
        self._waiting: dict[Hashable, list[tuple[Any, asyncio.Future[Mapping[str, Any]]]]] = defaultdict(list)
        self._worker: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Wait for the batch that is being computed."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _make(self, call: Call) -> None:
        began, body = now(), dict(call.body)
        try:
            group, prepared = self._engine.prepared(body)
        except CallError as error:
            self.failed(self.record(call, body, began, 1, failure=error.record), error)
            return
        done: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[group].append((prepared, done))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        response = await done
        self.answered(self.record(call, body, began, 1, response=response, usage=response.get("usage")))

    async def _work(self) -> None:
        """Answer what waits, full batches first."""
        while any(self._waiting.values()):
            group = max(self._waiting, key=lambda each: len(self._waiting[each]))
            if len(self._waiting[group]) < self._engine.batch:
                await self._settled()
                group = max(self._waiting, key=lambda each: len(self._waiting[each]))
            size = self._engine.batch
            taken, self._waiting[group] = self._waiting[group][:size], self._waiting[group][size:]
            taken = [each for each in taken if not each[1].done()]
            if not taken:
                continue
            try:
                answers = await asyncio.to_thread(self._engine.answers, group, [each for each, _ in taken])
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait for the answers
                for _, done in taken:
                    if not done.done():
                        done.set_exception(error)
                continue
            for (_, done), answer in zip(taken, answers, strict=True):
                if not done.done():
                    done.set_result(answer)

    async def _settled(self) -> None:
        """Let everyone who is about to ask do so."""
        before = -1
        while (waiting := sum(map(len, self._waiting.values()))) != before:
            before = waiting
            for _ in range(4):
                await asyncio.sleep(0)
