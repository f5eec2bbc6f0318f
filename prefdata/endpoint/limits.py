"""How many calls may be in flight at one endpoint, and when: one gate that every call to it passes."""

from __future__ import annotations

import asyncio
from collections import deque

from prefdata.endpoint.pace import LearntPace


class Limiter:
    """``async with limiter:`` around each attempt, which says ``begin``, and then ``succeeded`` or ``refused``.

    A fixed limit stays as it is. Without one the limit begins at ``START``, doubles with every round of answers until
    the first refusal, and from then on grows by one a round and shrinks to 0.8 of itself with every refused round
    (additive increase, multiplicative decrease). Where calls are refused for coming too fast and others are answered,
    the rate is learnt instead, and the limit stays. A refusal shuts the gate for all calls at once: for as long as its
    Retry-After says; else, where it was for the rate, for ``first_wait`` seconds, twice that after the next round of
    refusals without an answer, and so on up to ``LONGEST_WAIT``.
    """

    START, LEAST, MOST, SHRINK = 16, 1, 128, 0.8
    LONGEST_WAIT = 30.0

    def __init__(self, fixed: int | None, first_wait: float = 0.25) -> None:
        self.limit: float = fixed or self.START
        self.in_flight = 0
        self.turned_away = 0
        """Rounds of calls in a row that were refused for coming too fast, with no answer between them."""
        self._adaptive, self._first_wait = fixed is None, first_wait
        self._doubling = True
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._opens_at = 0.0
        self._shrunk_at = self._shut_at = 0.0
        self._pace = LearntPace()

    async def __aenter__(self) -> None:
        if self.in_flight < int(self.limit) and not self._waiters:
            self.in_flight += 1
        else:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():  # the place was handed over already
                    await self.__aexit__()
                raise
        try:
            await self._open()
            while self._pace.rate is not None:
                await self._pace.turn()
                if not await self._open():
                    break  # a turn that was taken before the gate shut is worth nothing: all would begin as it opens
        except asyncio.CancelledError:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.in_flight -= 1
        self._wake()

    async def _open(self) -> bool:
        """Wait until the gate is open; returns whether it was shut."""
        loop, shut = asyncio.get_running_loop(), False
        while (wait := self._opens_at - loop.time()) > 0:
            await asyncio.sleep(wait)
            shut = True
        return shut

    def begin(self) -> float:
        """The call is sent now; returns the loop's time, by which a refusal is told of later."""
        return self._pace.begin()

    def succeeded(self) -> None:
        """A call was answered: where the limit was the bottleneck, raise it."""
        self._pace.answered()
        self.turned_away = 0
        if self._adaptive and self._waiters and self.limit < self.MOST:
            self.limit = min(self.limit + (1 if self._doubling else 1 / self.limit), self.MOST)
            self._wake()

    def refused(
        self, began: float, retry_after: float | None, *, too_fast: bool = False, rate: float | None = None
    ) -> None:
        """A call that began at ``began`` (loop time) was turned away: shrink once a round, and shut the gate.

        ``too_fast`` says that it was for the rate of calls, and ``rate`` which one would do, where the endpoint tells.
        """
        now, shut = asyncio.get_running_loop().time(), retry_after
        if too_fast and began >= self._shut_at:
            self.turned_away += 1
            self._shut_at = now
            if retry_after is None:
                shut = min(self._first_wait * 2 ** (self.turned_away - 1), self.LONGEST_WAIT)
        if shut is not None:
            self._opens_at = max(self._opens_at, now + shut)
        if too_fast and self._pace.refused(began, rate, retry_after):
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
