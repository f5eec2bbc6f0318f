"""Flags and words that the commands with paid calls share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prefdata.cli.output import print_json, say
from prefdata.endpoint.reporting import CallCounts

if TYPE_CHECKING:
    from prefdata.endpoint.estimate import Estimate

Function = TypeVar("Function", bound=Callable[..., Any])


def _concurrency(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if value.isdecimal() and 1 <= int(value) <= 1000:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 to 1000")


def call_options(function: Function) -> Function:
    """Flags from --concurrency to --prices: how calls are made, and what they may cost."""
    for option in (
        click.option(
            "--prices",
            type=click.Path(path_type=Path),
            metavar="FILE.yaml",
            help="Prices that come before the shipped ones: a line a model, 'MODEL: {input: 2.5, output: 10}', in US "
            "dollars for a million tokens.",
        ),
        click.option(
            "--max-cost",
            type=click.FloatRange(min=0),
            metavar="USD",
            help="Stop before all calls for this output, those of earlier runs included, cost more; a higher limit "
            "continues.",
        ),
        click.option(
            "--tpm",
            type=click.FloatRange(min=0, min_open=True),
            metavar="N",
            help="Tokens a minute at one endpoint, counted as the request's and the most of its answer. "
            "[default: no limit of ours]",
        ),
        click.option(
            "--rpm",
            type=click.FloatRange(min=0, min_open=True),
            metavar="N",
            help="Calls a minute to one endpoint, evenly spread. [default: no limit of ours]",
        ),
        click.option(
            "--batch",
            is_flag=True,
            help="Make the calls by the Batch API: about half the price, answers within 24 hours. The command waits; "
            "stopped and run again, it takes up the same batches.",
        ),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Print the calls, tokens and dollars that the run would take, and make no call.",
        ),
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
    """The calls of a run, and their money, in one line each."""
    tokens = f" ({counts.prompt_tokens:,} + {counts.completion_tokens:,} tokens)" if counts.made else ""
    retried = f", {counts.retried} tried again" if counts.retried else ""
    say(f"calls: {counts.made} made{tokens}, {counts.reused} reused, {failed} failed{retried}", quiet=quiet)
    if counts.paid or counts.saved:
        say(f"money: ${counts.paid:.4f} paid, ${counts.saved:.4f} saved by reuse (by list price)", quiet=quiet)
    if counts.unpriced:
        say(f"money: the price of {counts.unpriced} calls is not known; name it with --prices", quiet=quiet)
    if failed:
        say("  the same command with --retry-failed makes the failed calls again", quiet=quiet)


def print_estimate(estimate: Estimate, format: str) -> None:
    """What a run would take."""
    if format == "json":
        print_json(estimate.document())
        return
    for each in estimate.endpoints:
        parts = [f"{each.calls} calls", f"{each.reused} in the ledger (reused)"]
        if each.failed_before:
            parts.append(f"{each.failed_before} failed before (--retry-failed makes them again)")
        parts.append(f"{each.to_make} to make, and about {each.retries} retries")
        click.echo(f"{each.name} at {each.base_url}: {', '.join(parts)}")
        most = "" if each.most_completion_tokens is None else f" (at most {each.most_completion_tokens:,})"
        click.echo(f"  tokens: about {each.prompt_tokens:,} in, {each.completion_tokens:,} out{most}")
        if each.dollars is None:
            click.echo(f"  dollars: the price of {each.name} is not known; name it with --prices FILE.yaml")
        else:
            click.echo(f"  dollars: about {_money(each.dollars)}{_at_most(each.most_dollars)}")
    if not estimate.endpoints:
        click.echo("no call is needed")
    elif estimate.dollars is not None:
        as_of = f"; shipped prices are of {estimate.prices_as_of}" if estimate.prices_as_of else ""
        batch = " at the price of batches" if estimate.batch else ""
        click.echo(f"in all about {_money(estimate.dollars)}{_at_most(estimate.most_dollars)}{batch}{as_of}")
    if estimate.invalid:
        click.echo(f"{estimate.invalid} lines hold no record, or repeat one, and would be dropped", err=True)


def _money(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.4f}"


def _at_most(dollars: float | None) -> str:
    return "" if dollars is None else f" (at most {_money(dollars)})"
