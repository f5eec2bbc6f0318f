"""How fast calls begin: a rate that was asked for, and one that is learnt from refusals."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

import prefdata.endpoint.client  # noqa: F401 - its import takes most of a second, which is no part of a rate
from prefdata.endpoint.caller import CallSettings
from prefdata.endpoint.limits import Limiter
from prefdata.endpoint.pace import LearntPace, Pace
from prefdata.errors import UsageError
from tests.endpoint.test_session import call, echo, make, opened
from tests.servers import Server
from tests.virtual import run_virtually


def test_units_begin_evenly_spread_and_none_before_its_turn() -> None:
    async def scenario() -> list[float]:
        pace, loop = Pace(100), asyncio.get_running_loop()
        began = loop.time()

        async def turn(units: float) -> float:
            await pace.turn(units)
            return loop.time() - began

        return await asyncio.gather(*(turn(units) for units in (1, 3, 1, 1)))

    first, second, third, fourth = asyncio.run(scenario())
    assert (second >= 0.009, third >= 0.039, fourth >= 0.049) == (True, True, True)
    assert first <= second <= third <= fourth


class Service:
    """Lets ``limit`` calls through in any ``window`` seconds, or by a bucket that fills at that rate and holds more."""

    def __init__(self, limit: int, window: float = 1.0, bucket: float | None = None) -> None:
        self.limit, self.window, self.bucket = limit, window, bucket
        self._let: deque[float] = deque()
        self._level, self._seen = bucket or 0.0, 0.0

    def wait(self, now: float) -> float | None:
        """``None`` lets a call through; otherwise the seconds until the next one may come."""
        if self.bucket is not None:
            rate = self.limit / self.window
            self._level = min(self.bucket, self._level + (now - self._seen) * rate)
            self._seen = now
            if self._level < 1:
                return (1 - self._level) / rate
            self._level -= 1
            return None
        while self._let and self._let[0] <= now - self.window:
            self._let.popleft()
        if len(self._let) < self.limit:
            self._let.append(now)
            return None
        return self._let[0] + self.window - now


RETRY_AFTER: dict[str, Callable[[float], float | None]] = {
    "exact": lambda wait: wait,
    "whole seconds": lambda wait: float(math.ceil(wait)),
    "none": lambda wait: None,
}


def seconds_taken(service: Service, calls: int, retry_after: Callable[[float], float | None], seed: int) -> float:
    """Loop time in which ``calls`` calls of 0.2 s pass a service; every one of them passes in the end."""
    draw = random.Random(seed)

    async def scenario() -> float:
        limiter, loop, places = Limiter(None), asyncio.get_running_loop(), asyncio.Semaphore(136)

        async def call() -> None:
            while True:
                async with limiter:
                    began = limiter.begin()
                    await asyncio.sleep(0.002 + 0.01 * draw.random())
                    if (wait := service.wait(loop.time())) is None:
                        await asyncio.sleep(0.2 * draw.uniform(0.9, 1.1))
                        limiter.succeeded()
                        break
                    limiter.refused(began, retry_after(wait), too_fast=True)
                assert limiter.turned_away < 10
            places.release()

        tasks = []
        for _ in range(calls):
            await places.acquire()
            tasks.append(asyncio.ensure_future(call()))
        await asyncio.gather(*tasks)
        return loop.time()

    return run_virtually(scenario())


@pytest.mark.parametrize("said", RETRY_AFTER)
@pytest.mark.parametrize(
    ("service", "calls", "ideal"),
    [
        (lambda: Service(50), 1000, 20.0),
        (lambda: Service(50, bucket=50), 1000, 19.0),
        (lambda: Service(200), 3000, 15.0),
        (lambda: Service(10, bucket=10), 200, 19.0),
        (lambda: Service(5, bucket=50), 150, 20.0),
    ],
    ids=["50 a second", "bucket of 50", "200 a second", "10 a second", "5 a second, bucket of 50"],
)
def test_a_limit_is_learnt_and_nearly_used_up(
    said: str, service: Callable[[], Service], calls: int, ideal: float
) -> None:
    for seed in range(3):
        assert seconds_taken(service(), calls, RETRY_AFTER[said], seed) < 1.2 * ideal


@pytest.mark.parametrize("said", RETRY_AFTER)
def test_fifty_calls_a_second_are_kept_to_within_a_tenth(said: str) -> None:
    assert all(seconds_taken(Service(50), 1000, RETRY_AFTER[said], seed) < 22.0 for seed in range(10))


@pytest.mark.parametrize("said", RETRY_AFTER)
def test_a_limit_by_the_minute_loses_no_call(said: str) -> None:
    """The second minute's calls wait for it, however little the service says."""
    assert 60.0 < seconds_taken(Service(600, window=60.0), 1100, RETRY_AFTER[said], 0) < 240.0


def test_a_rate_is_believed_when_it_is_told_and_found_again_when_nothing_is_refused() -> None:
    async def scenario() -> None:
        pace, loop = LearntPace(), asyncio.get_running_loop()
        assert not pace.refused(loop.time()), "nothing was let through: there is no rate to learn"
        for _ in range(30):
            pace.begin()
        assert pace.refused(pace.begin(), told=8.0)
        assert pace.rate == pytest.approx(8.0, rel=0.03)
        learnt = pace.rate
        for _ in range(400):
            await asyncio.sleep(0.1)
            pace.begin()
            pace.answered()
        assert learnt is not None
        assert learnt < pace.rate < 40, "it grows where it is in the way, and no further than calls come"

    run_virtually(scenario())


def test_calls_and_tokens_a_minute_are_kept(tmp_path: Path) -> None:
    """At 1,200 a minute the last of 21 calls begins 1 s after the first; of tokens each takes more than 300."""

    def seconds(folder: str, **settings: float) -> float:
        (tmp_path / folder).mkdir()
        with Server(echo) as server, opened(tmp_path / folder, **settings) as session:
            calls = [call(server, str(number)) for number in range(21)]
            began = time.monotonic()
            assert all(make(session, calls))
            return time.monotonic() - began

    # A least time follows from the rate alone: a slow machine only adds to it.
    assert seconds("calls", rpm=1200) >= 0.99
    assert seconds("tokens", tpm=20 * 300 * 60) >= 0.99


@pytest.mark.parametrize("settings", [{"rpm": 0}, {"tpm": -1}, {"rpm": float("nan")}, {"max_cost": -1}])
def test_rates_and_sums_that_cannot_be_meant_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        CallSettings(**settings)  # type: ignore[arg-type]
