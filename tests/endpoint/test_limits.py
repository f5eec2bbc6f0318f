"""The limiter: what it lets through, when it grows, and when it holds all calls back."""

from __future__ import annotations

import asyncio

from prefdata.endpoint.limits import Limiter


def test_a_fixed_limit_is_used_in_full_never_passed_and_loses_no_call() -> None:
    async def scenario() -> list[int]:
        limiter, seen = Limiter(3), []

        async def call() -> None:
            async with limiter:
                seen.append(limiter.in_flight)
                await asyncio.sleep(0.002)
                limiter.succeeded()

        await asyncio.gather(*(call() for _ in range(20)))
        assert limiter.in_flight == 0
        return seen

    seen = asyncio.run(scenario())
    assert max(seen) == 3
    assert len(seen) == 20


def test_calls_that_are_cancelled_while_they_wait_give_their_place_to_others() -> None:
    async def scenario() -> int:
        limiter, done = Limiter(1), 0

        async def call() -> None:
            nonlocal done
            async with limiter:
                await asyncio.sleep(0.001)
                done += 1

        tasks = [asyncio.ensure_future(call()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert asyncio.run(scenario()) == 5


def test_an_adaptive_limit_doubles_until_refused_then_shrinks_once_a_round_and_creeps() -> None:
    async def scenario() -> None:
        limiter = Limiter(None)
        start = limiter.limit

        async def round_of_calls() -> None:
            async def call() -> None:
                async with limiter:
                    await asyncio.sleep(0.001)
                    limiter.succeeded()

            await asyncio.gather(*(call() for _ in range(4 * int(limiter.limit))))

        await round_of_calls()
        assert 1.5 * start < limiter.limit <= 5 * start
        before, now = limiter.limit, asyncio.get_running_loop().time()
        for _ in range(10):  # all of one round: they began before the first refusal was known
            limiter.refused(now, None)
        assert limiter.limit == before * Limiter.SHRINK
        shrunk = limiter.limit
        await round_of_calls()
        assert shrunk < limiter.limit <= shrunk + 4
        for _ in range(100):
            await asyncio.sleep(0.0001)
            limiter.refused(asyncio.get_running_loop().time(), None)
        assert limiter.limit == Limiter.LEAST

    asyncio.run(scenario())


def test_retry_after_shuts_the_gate_for_every_call() -> None:
    async def scenario() -> None:
        limiter, loop = Limiter(4), asyncio.get_running_loop()
        began = loop.time()
        limiter.refused(began, 0.05)

        async def call() -> float:
            async with limiter:
                return loop.time() - began

        assert min(await asyncio.gather(*(call() for _ in range(8)))) >= 0.05

    asyncio.run(scenario())
