"""How many calls may be in flight at one endpoint, and when: one gate that every call to it passes."""

from __future__ import annotations

import asyncio
from collections import deque

from prefdata.endpoint.pace import LearntPace


class Limiter:
    """``async with limiter:`` around each attempt.

    A fixed limit stays as it is. Without one the limit begins at ``START``, doubles with every round of answers until
    the first refusal, and from then on grows by one a round and shrinks to 0.8 of itself with every refused round
    (additive increase, multiplicative decrease). Where calls are refused for coming too fast and others are answered,
    the rate is learnt instead, and the limit stays. A Retry-After shuts the gate for all calls at once.
    """

    START, LEAST, MOST, SHRINK = 16, 1, 128, 0.8

    def __init__(self, fixed: int | None) -> None:
        self.limit: float = fixed or self.START
        self.in_flight = 0
        self._adaptive = fixed is None
        self._doubling = True
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._opens_at = 0.0
        self._shrunk_at = 0.0
        self._pace = LearntPace()

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        if self.in_flight < int(self.limit) and not self._waiters:
            self.in_flight += 1
        else:
            waiter = loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():  # the place was handed over already
                    await self.__aexit__()
                raise
        try:
            while (wait := self._opens_at - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._pace.turn()
            self._pace.began()
            while (wait := self._opens_at - loop.time()) > 0:  # shut while this call waited its turn
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.in_flight -= 1
        self._wake()

    def succeeded(self) -> None:
        """A call was answered: where the limit was the bottleneck, raise it."""
        self._pace.answered()
        if self._adaptive and self._waiters and self.limit < self.MOST:
            self.limit = min(self.limit + (1 if self._doubling else 1 / self.limit), self.MOST)
            self._wake()

    def refused(self, began: float, retry_after: float | None, *, too_fast: bool = False) -> None:
        """A call that began at ``began`` (loop time) was turned away: shrink once a round, and shut the gate.

        ``too_fast`` says that it was for the rate of calls.
        """
        now = asyncio.get_running_loop().time()
        if retry_after is not None:
            self._opens_at = max(self._opens_at, now + retry_after)
        if self._adaptive and too_fast and self._pace.refused(began):
            self._doubling = False
        elif self._adaptive and began >= self._shrunk_at:
            self.limit = max(self.limit * self.SHRINK, self.LEAST)
            self._doubling = False
            self._shrunk_at = now

    def _wake(self) -> None:
        """Hand free places over, first come, first served."""
        while self._waiters and self.in_flight < int(self.limit):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)
