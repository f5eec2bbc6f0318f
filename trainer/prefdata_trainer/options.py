"""The command-line options that every trainer has, and how a command is made of them. Loads nothing heavy."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import orjson

from prefdata.rendering.limits import TRUNCATIONS
from prefdata_trainer.flags import PassingCommand, config_option, passed
from prefdata_trainer.settings import RunSettings

Option = Callable[[Any], Any]


class Number(click.FloatRange):
    """A number within a range; ``nan`` and ``inf``, which Python reads as numbers, are none here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number to compute with.", param, ctx)
        return found


POSITIVE = Number(min=0, min_open=True)
COUNT = click.IntRange(min=1)


def _json_object(_context: click.Context, _parameter: click.Parameter, text: Any) -> dict[str, Any]:
    """The value of a flag that takes a JSON object, or a mapping from a configuration file."""
    try:
        value = orjson.loads(text) if isinstance(text, str) else text or {}
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.BadParameter("must be a JSON object, as in '{\"enable_thinking\": false}'")
    return value


def option(*names: str, **how: Any) -> Option:
    """A click option whose default is shown in its help."""
    shown = how.get("default") is not None and not how.get("is_flag")
    return click.option(*names, **({**how, "show_default": True} if shown else how))


FIRST = (
    click.argument("dataset", type=click.Path(path_type=Path)),
    option("-m", "--model", required=True, metavar="MODEL", help="Model to train: a folder or a name on the hub."),
    option(
        "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="ADAPTER", help="Folder to write."
    ),
)
TRAINING = (
    option("--learning-rate", type=POSITIVE, help="[default: 1e-5 with LoRA, 1e-6 with --full]"),
    option("--epochs", type=POSITIVE, default=1.0, help="Passes over the pairs."),
    option("--batch-size", type=COUNT, default=2, help="Pairs a forward pass, on each device."),
    option("--gradient-accumulation", type=COUNT, default=8, help="Forward passes an optimizer step."),
    option("--lora-r", type=COUNT, default=16, help="Rank of the adapter."),
    option("--lora-alpha", type=COUNT, default=32, help="Scale of the adapter (alpha / r)."),
    option("--lora-dropout", type=Number(0, 1), default=0.05, help="Dropout before it."),
    option("--lora-targets", multiple=True, default=["all-linear"], help="Module names; repeatable."),
    option("--full", is_flag=True, help="Train every weight instead of an adapter."),
)
TOKENS = (
    option(
        "--loss-on",
        type=click.Choice(["assistant", "completion"]),
        default="assistant",
        help="Put in the loss what the assistant wrote after the shared prompt, or everything after it.",
    ),
    option("--max-length", type=COUNT, help="Tokens of prompt + completion. [default: what the model reads]"),
    option("--max-prompt-length", type=COUNT, help="Tokens of the prompt."),
    option("--max-completion-length", type=COUNT, help="Tokens of a completion."),
    option("--truncation", type=click.Choice(TRUNCATIONS), default="drop", help="What becomes of longer pairs."),
    option(
        "--unrenderable",
        type=click.Choice(["stop", "drop"]),
        default="stop",
        help="Pairs that the model's chat template does not render with certainty.",
    ),
    option(
        "--chat-template",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Jinja file to use instead of the model's own chat template; it is saved with the adapter.",
    ),
    option(
        "--template-variables",
        type=click.UNPROCESSED,
        metavar="JSON",
        callback=_json_object,
        help="Variables for the template, as in '{\"enable_thinking\": false}'.",
    ),
)
COURSE = (
    option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Seed of every random choice."),
    option("--report-to", multiple=True, metavar="NAME", help="wandb, tensorboard, trackio, mlflow, …; repeatable."),
    option("--save-steps", type=COUNT, default=100, help="Optimizer steps between checkpoints."),
    option(
        "--eval-steps",
        type=COUNT,
        help="Optimizer steps between evaluations, where DATASET has a split eval. [default: --save-steps]",
    ),
    option(
        "--early-stopping",
        type=COUNT,
        metavar="N",
        help="Stop after N evaluations without a lower loss, and keep the best checkpoint.",
    ),
)
RESULT = (
    option("--merge", is_flag=True, help="Write the model with the adapter merged into it, too: ADAPTER/merged."),
    option(
        "--disputed",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Write the N pairs that the trained model disputes most to ADAPTER/disputed.jsonl, for people to judge.",
    ),
    option("--limit", type=COUNT, metavar="N", help="Take only the first N pairs, for a first try."),
    option("--dry-run", is_flag=True, help="Print the plan: pairs, tokens, steps, memory, first loss, and a preview."),
    option("--preview", type=click.IntRange(min=0), default=2, metavar="N", help="Pairs that --dry-run shows."),
    option("--overwrite", is_flag=True, help="Replace finished work at the output."),
    option(
        "--format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="json puts one document on stdout.",
    ),
    option("-q", "--quiet", is_flag=True, help="Print only errors and the result."),
    config_option,
)


def trainer_command(
    name: str,
    method: str,
    settings: type[RunSettings],
    own: Sequence[Option],
    *,
    without: Sequence[str] = (),
    **how: Any,
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command ``prefdata train NAME`` whose help is the docstring of the function that it decorates.

    ``method`` names a ``prefdata_trainer.method.Method`` as ``module:class``; it is imported once everything that is
    cheap to check was checked. ``own`` are the options of this trainer alone, ``without`` shared ones that it lacks.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        def called(context: click.Context, /, **flags: Any) -> None:
            _launch(context, method, settings, flags)

        called.__doc__ = function.__doc__
        called.__name__ = function.__name__
        command: Any = click.pass_context(called)
        for add in reversed((*FIRST, *own, *TRAINING, *TOKENS, *COURSE, *RESULT)):
            command = add(command)
        made = click.command(name, cls=PassingCommand, **how)(command)
        made.params = [parameter for parameter in made.params if parameter.name not in without]
        return made

    return decorate


def _launch(context: click.Context, method: str, kind: type[RunSettings], flags: dict[str, Any]) -> None:
    from prefdata_trainer.checks import cheap_checks

    dataset, output, format = (flags.pop(name) for name in ("dataset", "output", "format"))
    how = {name: flags.pop(name) for name in ("overwrite", "dry_run")}
    shown = {name: flags.pop(name) for name in ("quiet", "preview")}
    settings = kind(**flags, passed=passed(context))
    handle = cheap_checks(dataset, output, settings, **how)

    from prefdata_trainer.run import run

    module, _, name = method.partition(":")
    result = run(getattr(import_module(module), name)(), handle, output, settings, **how, **shown)
    if os.environ.get("RANK", "0") != "0":  # of the processes that a launcher began, one speaks
        return
    if format == "json":
        sys.stdout.buffer.write(orjson.dumps(result.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo("\n".join(result.lines(colour=colour)), color=colour)
