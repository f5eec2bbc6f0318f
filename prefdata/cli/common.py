"""Flags that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

Function = TypeVar("Function", bound=Callable[..., Any])

output_format = click.option(
    "--format",
    "format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json puts one document on stdout.",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace finished work at the output.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print only errors and the result.")
limit = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Take only the first N input lines, for a first try."
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random choice.")


def token_options(function: Function) -> Function:
    """``--tokenizer`` and what belongs to it: as whose tokens rows are looked at."""
    for option in reversed(
        [
            click.option(
                "--tokenizer",
                metavar="MODEL",
                help="Look at tokens too: the tokenizer of a model's folder or hub name.",
            ),
            click.option(
                "--max-length",
                type=click.IntRange(min=1),
                metavar="N",
                help="Tokens of prompt and completion together.",
            ),
            click.option(
                "--trainer",
                type=click.Choice(["prefdata", "trl"]),
                default="prefdata",
                show_default=True,
                help="Whose tokens and mask: those of prefdata train dpo, or of stock TRL.",
            ),
            click.option(
                "--chat-template",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                metavar="FILE",
                help="Jinja file to use in place of the model's own chat template.",
            ),
        ]
    ):
        function = option(function)
    return function


def config(function: Function) -> Function:
    """``--config FILE.yaml``: flags by name; the command line overrides it."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="YAML file of flags by name; the command line overrides it.",
    )(function)


def _read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise click.BadParameter(f"{path} must hold flags by name, as in 'seed: 7'")
    by_flag: dict[str, str] = {}
    repeated = {each.name for each in context.command.params if isinstance(each, click.Option) and each.multiple}
    for parameter in context.command.params:
        for flag in (*parameter.opts, parameter.name or ""):
            by_flag[flag.lstrip("-").replace("-", "_")] = parameter.name or ""
    unknown = [str(key) for key in values if str(key).replace("-", "_") not in by_flag]
    if unknown:
        raise click.BadParameter(f"{path} holds flags that {context.info_name} does not have: {', '.join(unknown)}")
    given = {by_flag[str(key).replace("-", "_")]: value for key, value in values.items()}
    for name in repeated & given.keys():
        if isinstance(given[name], str | int | float):  # one of what may be several
            given[name] = [given[name]]
    context.default_map = {**(context.default_map or {}), **given}
