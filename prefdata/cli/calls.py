"""Flags and words that the commands with paid calls share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from prefdata.cli.output import say
from prefdata.endpoint.reporting import CallCounts

Function = TypeVar("Function", bound=Callable[..., Any])


def _concurrency(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if value.isdecimal() and 1 <= int(value) <= 1000:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 to 1000")


def call_options(function: Function) -> Function:
    """--concurrency, --timeout, --retries and --retry-failed."""
    for option in (
        click.option("--retry-failed", is_flag=True, help="Make calls again that failed in an earlier run."),
        click.option(
            "--retries",
            type=click.IntRange(min=0),
            default=5,
            show_default=True,
            help="How often a call is tried again after a timeout, a broken answer, HTTP 429 or 5xx.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=300.0,
            show_default=True,
            help="Seconds for one attempt at a call, from connecting to the last byte.",
        ),
        click.option(
            "--concurrency",
            callback=_concurrency,
            default="auto",
            metavar="auto|N",
            show_default=True,
            help="Calls in flight at one endpoint; auto grows until the endpoint pushes back.",
        ),
    ):
        function = option(function)
    return function


def say_calls(counts: CallCounts, failed: int, *, quiet: bool) -> None:
    """The calls of a run, in one line."""
    tokens = f" ({counts.prompt_tokens:,} + {counts.completion_tokens:,} tokens)" if counts.made else ""
    retried = f", {counts.retried} tried again" if counts.retried else ""
    say(f"calls: {counts.made} made{tokens}, {counts.reused} reused, {failed} failed{retried}", quiet=quiet)
    if failed:
        say("  the same command with --retry-failed makes the failed calls again", quiet=quiet)
