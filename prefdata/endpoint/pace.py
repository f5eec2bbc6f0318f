"""How fast calls may begin: a rate that the user sets, or one that is learnt from an endpoint's refusals."""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW = 1.0
"""Seconds over which begun calls are counted to learn the rate that an endpoint lets through."""
LONG = 10.0
"""Seconds of a run from which on its mean rate tells of a limit with a longer memory."""
ENOUGH = 5
"""Calls in the window from which on their number is a rate."""
SOLID = 20
"""Calls in the window from which on the first measurement of a rate is believed."""


class Pace:
    """Lets ``rate`` units begin a second, evenly spread; ``None`` lets all begin at once."""

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate
        self._next = 0.0

    async def turn(self, units: float = 1.0) -> None:
        """Wait until ``units`` may begin; the place in the queue is taken at once."""
        if self.rate is None:
            return
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + units / self.rate
        if begin > now:
            await asyncio.sleep(begin - now)


class LearntPace(Pace):
    """A rate that is not there until the endpoint refuses a call for coming too fast.

    At that moment the calls that it let through in the last second are what it lets through in a second: exactly so for
    a limit over a sliding second, and about so for a token bucket that has run dry. Calls that came together with the
    refused one may be refused as well; each of them is taken off the count when its refusal arrives. Where the mean
    over the whole run, ten seconds or more, says less (a large bucket, a limit by the minute), that is the rate. Calls
    then begin a little more slowly than the rate, since every refusal may cost a whole second of waiting.

    A limit that was met while few calls had come may be another's doing, and is tested soon by growing; a solid one is
    left alone for half a minute, and for twice that each time that it is met again.
    """

    MARGIN, WIDEST = 0.02, 0.06
    """The share by which calls begin more slowly than the limit: a step for each time that it is met again."""
    CAREFUL = 0.5
    """One round of refusals leaves at least this share of the rate."""
    MOST_LEAST = 25.0
    """Calls a second: the most that a short Retry-After speaks for."""
    GROWTH = 0.5
    """The share by which the rate grows in a second that is one of growth."""
    SOON, QUIET, LONGEST_QUIET = 1.0, 30.0, 240.0
    """Seconds without a refusal before the rate grows: after a limit that few calls met, a solid one, one met often."""

    def __init__(self) -> None:
        super().__init__(None)
        self._begun: deque[float] = deque()
        """Loop times of the last two seconds at which calls began that are not known to have been refused."""
        self._met_at: float | None = None
        """When the first call of the latest round of refusals began."""
        self._round_ends = 0.0
        """Calls that began until then belong to that round."""
        self._first = 0.0
        self._all = 0
        """Calls since ``_first`` that are not known to have been refused."""
        self._mean = 0.0
        """Calls a second since the first one, where that was ``LONG`` seconds ago; else 0."""
        self._before: tuple[float, float] = (0.0, 0.0)
        """Rate and quiet time before the latest round."""
        self._limit = self._floor = 0.0
        self._quiet, self._margin = self.SOON, self.MARGIN
        self._learnt_at = self._grown_at = 0.0

    async def turn(self, units: float = 1.0) -> None:
        """Wait until ``units`` may begin; never more in a second than the limit, not even those that came late."""
        await super().turn(units)
        loop = asyncio.get_running_loop()
        while self.rate is not None:
            window = WINDOW * (1 + self._margin)
            most = max(round(self.rate * window), 1)
            wait = self._begun[-most] + window - loop.time() if len(self._begun) >= most else 0.0
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def begin(self) -> float:
        """A call begins now; returns the loop's time."""
        now = asyncio.get_running_loop().time()
        self._begun.append(now)
        self._first = self._first if self._all else now
        self._all += 1
        while self._begun[0] < now - 2 * WINDOW:
            self._begun.popleft()
        return now

    def answered(self) -> None:
        """A call was answered now."""
        if self.rate is None:
            return
        now = asyncio.get_running_loop().time()
        # Only as far as calls come: a rate that nothing reaches is not tested.
        if now - self._learnt_at > self._quiet and self.rate < 1 + len(self._begun):
            self.rate *= 1 + self.GROWTH * min(now - self._grown_at, 1.0)
        self._grown_at = now

    def refused(self, began: float, told: float | None = None, retry_after: float | None = None) -> bool:
        """A call that began at ``began`` came too fast; ``told`` is the rate that the endpoint names, if it does.

        Where it asks to wait ``retry_after`` seconds only, it means no very low rate.
        ``False`` where too little is known to set a rate by.
        """
        self._forget(began)
        now = asyncio.get_running_loop().time()
        if self._met_at is None or began > self._round_ends:
            span = began - self._first
            grown = self.rate is not None and self.rate > 1.1 * self._limit
            self._mean = self._all / span if span >= LONG and not grown else 0.0
            if grown:  # what went before was our own slowness
                self._all = 0
            if now - self._learnt_at >= WINDOW:
                self._before = self._limit, self._quiet
            self._floor = self.CAREFUL * (self.rate or 0.0)
            self._met_at, self._round_ends = began, now
        lately = sum(self._met_at - WINDOW < each <= self._met_at for each in self._begun)
        if lately < ENOUGH and self.rate is None and told is None:
            self._met_at = None
            return False
        # Just after a refusal an endpoint may let through less than it will.
        limit = self._mean if 0 < self._mean < 0.8 * lately else max(float(lately), self._floor)
        least = min(0.5 / max(retry_after, 0.001), self.MOST_LEAST) if retry_after is not None else 1.0
        self._learn(max(limit if told is None else min(limit, told), least), now, solid=lately >= SOLID)
        return True

    def _learn(self, limit: float, now: float, *, solid: bool) -> None:
        before, quiet = self._before
        again = abs(limit - before) < 0.2 * before
        if again:
            limit = (limit + before) / 2  # a moment's measure of what is known already
            if now - self._learnt_at >= WINDOW:
                self._margin = min(self._margin + self.MARGIN, self.WIDEST)
            self._quiet = min(2 * quiet, self.LONGEST_QUIET) if quiet >= self.QUIET else self.QUIET
        else:
            self._quiet = self.QUIET if solid else self.SOON
            self._margin = self.MARGIN
        self._limit, self.rate = limit, limit / (1 + self._margin)
        self._learnt_at = self._grown_at = now
        self._next = max(self._next, now)

    def _forget(self, began: float) -> None:
        """A call that was refused is none that was let through."""
        for place in range(len(self._begun) - 1, -1, -1):
            if self._begun[place] == began:
                del self._begun[place]
                self._all = max(self._all - 1, 0)
                return
