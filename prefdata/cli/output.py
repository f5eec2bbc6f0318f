"""What the commands print: data on stdout, messages on stderr, plain text off a terminal."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from prefdata.errors import PrefdataError


def fail(error: PrefdataError) -> None:
    """Print an expected failure: what happened, and what to do about it."""
    click.echo(f"{click.style('error', fg='red', bold=True)}: {error.message}", err=True)
    if error.hint:
        click.echo(f"  {click.style('help', fg='cyan', bold=True)}: {error.hint}", err=True)


def say(message: str, *, quiet: bool = False) -> None:
    """A message for the person at the terminal, on stderr."""
    if not quiet:
        click.echo(message, err=True)


def print_json(document: Any) -> None:
    """One JSON document on stdout, for scripts."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
