"""How far a run is: a bar on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from prefdata.cli.output import say
from prefdata.endpoint.reporting import CallCounts, Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 10.0
"""Seconds between two plain lines."""


class Meter(Reporter):
    """Prints what a run reports."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        super().__init__()
        self._what, self._quiet = what, quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total: int | None = None
        self._began = self._printed = time.monotonic()

    def say(self, message: str) -> None:
        if self._bar is not None:
            self._bar.console.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)
        else:
            say(f"note: {message}", quiet=self._quiet)

    def begin(self, total: int | None) -> None:
        self._total, self._began, self._printed = total, time.monotonic(), time.monotonic()
        if self._quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(self._what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[calls]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._what, total=total, calls="")
        self._bar.start()

    def progress(self, done: int, counts: CallCounts) -> None:
        now = time.monotonic()
        rate = counts.made / max(now - self._began, 1e-9)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, calls=f"{counts.made} calls, {rate:.1f}/s")
        elif not self._quiet and now - self._printed >= EVERY:
            self._printed = now
            left = ""
            if self._total and done:
                seconds = (now - self._began) * (self._total - done) / done
                left = f", about {_duration(max(seconds, 0.0))} left"
            of = f" of {self._total}" if self._total is not None else ""
            click.echo(f"{self._what}: {done}{of}, {counts.made} calls made, {rate:.1f}/s{left}", err=True)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> [_duration(s) for s in (5, 90, 7300)]
    ['5 s', '2 min', '2.0 h']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
