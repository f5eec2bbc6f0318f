"""The calls of one command: its ledger, a caller per endpoint, and the loop that runs them as one stream."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from prefdata.endpoint.batching import Batching, Needs
from prefdata.endpoint.budget import Budget
from prefdata.endpoint.caller import Caller, CallSettings
from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.inprocess import Engine, InProcess
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.prices import load_prices
from prefdata.endpoint.reporting import CallCounts, Reporter

Unit = TypeVar("Unit")

LEDGER = "ledger.jsonl"


class Session:
    """Makes the calls that work on a stream of units asks for; reads come from ``ledger`` afterwards."""

    def __init__(self, folder: Path, settings: CallSettings, reporter: Reporter | None = None) -> None:
        self.settings = settings
        self.reporter = reporter or Reporter()
        self.counts = CallCounts()
        prices = load_prices(settings.prices)  # before the ledger is opened, which who raises would leave open
        self.ledger = Ledger(folder / LEDGER)
        self.budget = Budget(settings.max_cost, prices, self.ledger)
        self._callers: dict[Endpoint, Caller] = {}
        if self.ledger.damaged:
            self.reporter.note(f"{self.ledger.path}: {self.ledger.damaged} damaged lines; their calls are made again")

    def caller(self, endpoint: Endpoint, engine: Engine | None = None) -> Caller:
        """The one caller for ``endpoint``, which ``engine`` answers where it is a model in this process."""
        if endpoint not in self._callers:
            shared = (self.ledger, self.settings, self.counts, self.reporter, self.budget)
            self._callers[endpoint] = (
                Caller(endpoint, *shared) if engine is None else InProcess(endpoint, engine, *shared)
            )
        return self._callers[endpoint]

    def run(self, units: Iterable[Unit], work: Callable[[Unit], Awaitable[object]]) -> None:
        """Do ``work`` on every unit, many at once and in no order; ``units`` is read only as fast as work goes on.

        Raises ServiceError where an endpoint cannot be used, and KeyboardInterrupt after SIGINT or SIGTERM; what was
        finished is in the ledger.
        """
        run_loop(self._run(units, work))

    def run_batches(self, find: Callable[[Needs], Iterable[Call]]) -> None:
        """Make the calls that ``find`` wants, given which ones are still needed, as batches, until it wants none.

        Raises what ``run`` raises; batches that are under way are taken up again by the next run.
        """
        run_loop(self._run_batches(find))

    async def _run_batches(self, find: Callable[[Needs], Iterable[Call]]) -> None:
        settings, needs = self.settings, Needs(self.ledger, retry_failed=self.settings.retry_failed)
        batching = Batching(
            self.ledger.path.parent,
            self.ledger,
            self.caller,
            self.budget,
            self.counts,
            self.reporter,
            needs=needs,
            timeout=settings.timeout,
            retries=settings.retries,
            backoff=settings.backoff,
        )
        await batching.run(lambda: find(needs))
        for caller in self._callers.values():
            caller.finish()

    async def _run(self, units: Iterable[Unit], work: Callable[[Unit], Awaitable[object]]) -> None:
        self.budget.begin()
        stream = _Stream(self._window, lambda done: self.reporter.progress(done, self.counts))
        try:
            await stream.run(units, work)
            for caller in self._callers.values():
                caller.finish()
        finally:
            for caller in self._callers.values():
                await caller.close()

    def _window(self) -> int:
        """Units at work at once: enough that no caller waits for the next line to be read."""
        return 8 + 2 * sum(int(caller.limiter.limit) for caller in self._callers.values())

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.close()


class _Stream:
    """Units at work, up to a window; the first error ends all."""

    def __init__(self, window: Callable[[], int], progress: Callable[[int], None]) -> None:
        self._window, self._progress = window, progress
        self._tasks: set[asyncio.Future[object]] = set()
        self._done = 0
        self._error: BaseException | None = None
        self._moved = asyncio.Event()

    async def run(self, units: Iterable[Unit], work: Callable[[Unit], Awaitable[object]]) -> None:
        try:
            for unit in units:
                while len(self._tasks) >= self._window() and self._error is None:
                    await self._change()
                if self._error is not None:
                    break
                self._start(work(unit))
                await asyncio.sleep(0)
            while self._tasks and self._error is None:
                await self._change()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def _change(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _start(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[object]) -> None:
        self._tasks.discard(task)
        self._moved.set()
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._error = self._error or error
            return
        self._done += 1
        self._progress(self._done)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end; SIGINT and SIGTERM cancel it and become KeyboardInterrupt.

    Where a loop runs already (a notebook) it runs in a thread of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _run_here(main)
        return
    errors: list[BaseException] = []

    def target() -> None:
        try:
            _run_here(main)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _run_here(main: Coroutine[Any, Any, None]) -> None:
    if threading.current_thread() is not threading.main_thread():
        asyncio.run(main)
        return
    stopped = False
    task: asyncio.Task[Any] | None = None

    async def known() -> None:
        nonlocal task
        task = asyncio.current_task()
        await main

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    stopping = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in stopping}
    try:
        asyncio.run(known())
    except asyncio.CancelledError:
        if stopped:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
