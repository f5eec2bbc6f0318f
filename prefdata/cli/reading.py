"""How far a file is read: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

EVERY = 10.0
"""Seconds between two plain lines."""


@contextmanager
def byte_progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Something to be told the bytes read so far and how many there are (``None``: not known)."""
    if quiet:
        yield lambda _done, _total: None
    elif sys.stderr.isatty():
        with _bar(what) as update:
            yield update
    else:
        yield _lines(what)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(what: str) -> Callable[[int, int | None], None]:
    began = printed = time.monotonic()

    def update(done: int, total: int | None) -> None:
        nonlocal printed
        now = time.monotonic()
        if now - printed >= EVERY:
            printed = now
            rate = done / (now - began)
            of = f" of {total / 1e6:,.0f}, about {(total - done) / max(rate, 1.0):,.0f} s left" if total else ""
            click.echo(f"{what}: {done / 1e6:,.0f} MB{of}, {rate / 1e6:,.0f} MB/s", err=True)

    return update
