"""``prefdata validate``: check pairs and write a dataset."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from prefdata.cli.common import config, limit, overwrite, quiet, token_options
from prefdata.cli.output import say
from prefdata.errors import UsageError

if TYPE_CHECKING:
    from prefdata.types import Severity
    from prefdata.validation.result import Change, Fixed, Fixes, ValidationResult


def _names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Flags that take lists: repeated, or with commas."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def _severities(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Severity]:
    """``CODE=severity``, repeated or with commas."""
    found: dict[str, Severity] = {}
    for item in _names(_context, _parameter, values):
        name, _, grade = item.partition("=")
        if grade not in ("error", "warning", "info"):
            raise click.BadParameter(f"{item!r} is not CODE=error, CODE=warning or CODE=info")
        found[name.strip()] = cast("Severity", grade)
    return found


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
    "--severity",
    multiple=True,
    callback=_severities,
    metavar="CODE=SEVERITY",
    help="Give rules another severity in this run, as in TXT=info or PRF003=error (which then refuses its rows).",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="error",
    show_default=True,
    help="Exit 1 on findings of this severity or worse.",
)
@click.option("--max-bad", metavar="SHARE", help="Share of rows that may have such findings, as in 0.5% or 0.005.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Findings that are known: they are counted, but neither shown nor held against the run.",
)
@click.option(
    "--write-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the findings of this run as a baseline, to accept them.",
)
@click.option("--fix", is_flag=True, help="Mend in their files what surely means the same afterwards, then validate.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix or --diff: also fixes that may change what a row means.")
@click.option("--diff", is_flag=True, help="Only show what --fix would change; exit 1 where it would change something.")
@click.option(
    "--fixed",
    type=click.Path(path_type=Path),
    metavar="FILE.jsonl",
    help="With --fix: write the mended copy there (of stdin, a URL or a compressed file too) and validate it.",
)
@click.option(
    "--eval-fraction",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="Share of the prompts that go to the split eval with all their pairs, as in 0.05.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="EVAL.jsonl",
    help="File of prompts that are kept for evaluation; rows that hold one are refused. May be repeated.",
)
@click.option(
    "--near-duplicates",
    is_flag=False,
    flag_value=0.8,
    type=float,
    metavar="[SHARE]",
    help="Also tell rows that are nearly the same: whose sides agree to this share at least.  [0.8 without a number]",
)
@token_options
@click.option(
    "--preview",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="With --tokenizer: show of the first N pairs which tokens train and which are masked.",
)
@click.option("--parquet", is_flag=True, help="With -o: the rows as Parquet (zstd) too, in DATASET/parquet, to share.")
@click.option("--chat", is_flag=True, help="Turn pairs of strings into chat messages (the two train differently).")
@click.option(
    "--format",
    "format",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    show_default=True,
    help="json and sarif (2.1.0) put one document on stdout; github annotates a pull request.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write the report as one HTML page with plots; with -o it is in DATASET/report.html anyway.",
)
@click.option("--show", type=click.IntRange(min=0), default=5, show_default=True, help="Findings shown of each rule.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that share the work.  [default: for large inputs one for each processor, 8 at most; else 1]",
)
@limit
@overwrite
@quiet
@config
def command(
    pairs: tuple[str, ...],
    output: Path | None,
    format: str,
    report: Path | None,
    show: int,
    quiet: bool,
    fix: bool,
    unsafe_fixes: bool,
    diff: bool,
    preview: int,
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

    if unsafe_fixes and not (fix or diff):
        raise UsageError("--unsafe-fixes says which fixes are made", "add --fix, or --diff to see them first")
    fixes: Fixes | None = None if not (fix or diff) else "unsafe" if unsafe_fixes else "safe"
    keep_freed_memory()
    if diff:
        return _diff(pairs, fixes or "safe", quiet, options)
    with byte_progress("checking", quiet=quiet) as progress:
        result = validate(
            pairs, output=output, examples=max(show, 20), fix=fixes, report=report, progress=progress, **options
        )
    if result.fixed is not None:
        say(_told(result.fixed), quiet=quiet)
    if format == "text":
        color = _has_color()
        width = shutil.get_terminal_size((100, 20)).columns
        shown = render(result, width=width, color=color, show=0 if quiet else show)
    else:
        shown = FORMATS[format](result)
        if result.why is not None and not quiet:
            say(f"not ok: {result.why}")
    click.echo(shown)
    if format == "text" and options["tokenizer"] and not quiet:
        _tell_tokens(result, preview, pairs[0] if output is None else str(output), options)
    return result.exit_code


def _tell_tokens(result: ValidationResult, count: int, source: str, options: dict[str, Any]) -> None:
    """Print the token figures, and which tokens of the first rows train."""
    from itertools import islice

    from prefdata.validation.report.tokens import figures, previews
    from prefdata.validation.showing import rows_shown
    from prefdata.validation.tokens import TokenSettings

    click.echo("\n" + "\n".join(figures(result.statistics["tokens"])))
    if not count or source == "-" or not result.counts.kept:
        return
    template = options["chat_template"]
    settings = TokenSettings(
        options["tokenizer"], options["max_length"], options["trainer"], None if template is None else str(template)
    )
    rows = islice((shown for shown in rows_shown(source) if shown.row is not None), count)
    click.echo("\n" + "\n".join(previews(rows, settings, colour=_has_color(), chat=options["chat"])))


def _diff(pairs: tuple[str, ...], fixes: Fixes, quiet: bool, options: dict[str, Any]) -> int:
    """Print what ``fixes`` would change; 1 where that is something."""
    from prefdata.validation.fixing import differences
    from prefdata.validation.report.diff import render
    from prefdata.validation.result import Fixed

    found = Fixed()
    asked = {name: options[name] for name in ("select", "ignore", "chat", "limit")}
    asked["severities"] = tuple(options["severity"].items())

    def counted(changes: Iterator[Change]) -> Iterator[Change]:
        for change in changes:
            found.add(change)
            yield change

    with differences(pairs, fixes=fixes, **asked) as changes:
        for line in render(counted(changes), color=_has_color()):
            click.echo(line)
    say(_told(found, "would mend"), quiet=quiet)
    return 1 if found.lines else 0


def _told(fixed: Fixed, did: str = "mended") -> str:
    """What was mended, in one line."""
    if not fixed.lines:
        return "nothing to mend"
    codes = ", ".join(f"{count:,} × {code}" for code, count in sorted(fixed.fixes.items()))
    return f"{did} {fixed.lines:,} {'row' if fixed.lines == 1 else 'rows'} of {', '.join(fixed.files)} ({codes})"


def _has_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
