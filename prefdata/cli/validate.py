"""``prefdata validate``: check pairs and write a dataset."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from prefdata.cli.common import config, limit, overwrite, quiet
from prefdata.cli.output import say


def _names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Flags that take lists: repeated, or with commas."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


@click.command(short_help="Check pairs and write a dataset that can be trained on.")
@click.argument("pairs", nargs=-1, required=True, metavar="PAIRS...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DATASET", help="Folder to write the dataset to."
)
@click.option(
    "--select", multiple=True, callback=_names, metavar="CODES", help="Run only these rules, by code, name or prefix."
)
@click.option("--ignore", multiple=True, callback=_names, metavar="CODES", help="Leave these rules out.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="error",
    show_default=True,
    help="Exit 1 on findings of this severity or worse.",
)
@click.option("--max-bad", metavar="SHARE", help="Share of rows that may have such findings, as in 0.5% or 0.005.")
@click.option("--chat", is_flag=True, help="Turn pairs of strings into chat messages (the two train differently).")
@click.option(
    "--format",
    "format",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="json puts one document on stdout; github annotates a pull request.",
)
@click.option("--show", type=click.IntRange(min=0), default=5, show_default=True, help="Findings shown of each rule.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the work.")
@limit
@overwrite
@quiet
@config
def command(
    pairs: tuple[str, ...],
    output: Path | None,
    format: str,
    show: int,
    quiet: bool,
    **options: Any,
) -> int:
    """Check preference PAIRS (JSONL files, .gz or .zst, globs, - for stdin) line by line.

    With -o, the rows that hold are written to a dataset that `prefdata train` takes and datasets.load_from_disk
    opens; refused lines are in its quarantine.jsonl, with the reason, and can be mended and validated again. Without
    -o nothing is written.

    `prefdata explain` lists the rules. Exit codes: 0 clean, 1 findings, 2 usage or input.
    """
    from prefdata.cli.reading import byte_progress
    from prefdata.validation.memory import keep_freed_memory
    from prefdata.validation.report import FORMATS
    from prefdata.validation.report.text import render
    from prefdata.validation.validate import validate

    keep_freed_memory()
    with byte_progress("checking", quiet=quiet) as progress:
        result = validate(pairs, output=output, examples=max(show, 20), progress=progress, **options)
    if format == "text":
        color = sys.stdout.isatty() and not _no_color()
        width = shutil.get_terminal_size((100, 20)).columns
        report = render(result, width=width, color=color, show=0 if quiet else show)
    else:
        report = FORMATS[format](result)
        if result.why is not None and not quiet:
            say(f"not ok: {result.why}")
    click.echo(report)
    return result.exit_code


def _no_color() -> bool:
    import os

    return bool(os.environ.get("NO_COLOR"))
