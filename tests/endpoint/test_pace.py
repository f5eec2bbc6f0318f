"""How fast calls begin: a rate that was asked for, and one that is learnt from refusals."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import prefdata.endpoint.client  # noqa: F401 - its import takes most of a second, which is no part of a rate
from prefdata.endpoint.caller import CallSettings
from prefdata.endpoint.pace import LearntPace, Pace
from prefdata.errors import UsageError
from tests.endpoint.test_session import call, echo, make, opened
from tests.servers import Server


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


def test_a_rate_is_learnt_from_what_was_let_through_and_found_again_when_nothing_is_refused() -> None:
    async def scenario() -> None:
        pace, loop = LearntPace(), asyncio.get_running_loop()
        assert not pace.refused(loop.time()), "nothing was answered: there is no rate to learn"
        pace.began()
        await asyncio.sleep(0.1)
        for _ in range(20):
            pace.answered()
        assert pace.rate is None
        assert pace.refused(loop.time())
        learnt = pace.rate
        assert learnt is not None
        assert 20 * 0.9 < learnt <= 20 / 0.1
        assert pace.refused(loop.time())
        assert pace.rate == learnt, "what was sent before, or just after, teaches nothing new"
        for _ in range(13):
            await asyncio.sleep(0.1)
            pace.answered()
        assert pace.rate > learnt

    asyncio.run(scenario())


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
