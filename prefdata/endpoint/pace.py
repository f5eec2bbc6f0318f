"""How fast calls may begin: a rate that the user sets, or one that is learnt from an endpoint's refusals."""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW = 1.0
"""Seconds over which answers are counted to learn the rate that an endpoint lets through."""
ENOUGH = 5
"""Answers in the window from which on their number is a rate."""


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

    It is then a little less than what was let through lately. From there it creeps, and once nothing was refused for
    some seconds it grows fast: a limit that was met while few answers had come yet is found again. Each time that the
    same limit is met the quiet time doubles, so that a steady one is asked too often only rarely.
    """

    BELOW, CAREFUL, SLOW, FAST, QUIET, LONGEST_QUIET = 0.97, 0.75, 0.005, 0.15, 1.0, 60.0

    def __init__(self) -> None:
        super().__init__(None)
        self._answers: deque[float] = deque()
        self._first: float | None = None
        self._ceiling = 0.0
        self._quiet = self.QUIET
        self._grown_at = self._refused_at = self._learnt_at = 0.0

    def began(self) -> None:
        """A call begins now."""
        if self._first is None:
            self._first = asyncio.get_running_loop().time()

    def answered(self) -> None:
        """A call was answered now."""
        now = self._forget()
        self._answers.append(now)
        if self.rate is not None and now > self._grown_at:
            by = self.FAST if now - self._refused_at > self._quiet else self.SLOW
            self.rate *= 1 + by * min(now - self._grown_at, 1.0)
            self._grown_at = now

    def refused(self, began: float) -> bool:
        """A call that began at ``began`` came too fast; ``False`` where too little is known to set a rate by."""
        now = self._forget()
        self._refused_at = now
        if self.rate is not None and began < self._learnt_at + WINDOW:
            return True  # an endpoint that counts by the second still remembers what came before the rate was set
        if len(self._answers) < ENOUGH or self._first is None:
            return False
        measured = len(self._answers) / min(max(now - self._first, 0.1), WINDOW)
        # Just after too many calls an endpoint lets through less than it will: half that much would be too careful.
        ceiling = measured if self.rate is None else min(max(measured, self.CAREFUL * self.rate), self.rate)
        met_again = self._ceiling and abs(ceiling / self._ceiling - 1) < 0.2
        self._quiet = min(2 * self._quiet, self.LONGEST_QUIET) if met_again else self.QUIET
        self._ceiling = ceiling
        self.rate = max(ceiling * self.BELOW, 1.0)
        self._learnt_at = self._grown_at = now
        self._next = max(self._next, now)
        return True

    def _forget(self) -> float:
        """Drop the answers that are no longer recent; returns the time."""
        now = asyncio.get_running_loop().time()
        while self._answers and self._answers[0] < now - WINDOW:
            self._answers.popleft()
        return now
