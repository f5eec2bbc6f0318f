"""A command line in two parts: our own flags, and TRL's and PEFT's, which are handed on unread.

Which flags TRL and PEFT have is known only once they are imported, and that takes seconds: everything that can be
checked before is checked before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
import yaml

THEIR_NAMES = {
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "num_train_epochs": "epochs",
    "lora_target_modules": "lora_targets",
    "target_modules": "lora_targets",
    "r": "lora_r",
    "model_name_or_path": "model",
    "ref_model": "model_ref",
}
"""TRL's and PEFT's names of flags that we have under another."""

Words = dict[str, tuple[str, ...]]
PASSED = "prefdata.passed"
_OPTION = re.compile(r"--?[A-Za-z]")


class PassingCommand(click.Command):
    """A click command that keeps long options which it does not have in ``context.meta[PASSED]``, by snake_case name.

    Such an option takes all words up to the next option, so positional arguments come before it.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        mine, theirs = self.split(args)
        ctx.meta[PASSED] = theirs
        return super().parse_args(ctx, mine)

    def split(self, args: Sequence[str]) -> tuple[list[str], Words]:
        """Our words, TRL's spelling of our flags turned into ours, and the others by name."""
        options = {
            name: option
            for option in self.params
            for name in (*option.opts, *option.secondary_opts)  # --fast and --no-fast
            if name.startswith("--")
        }
        mine: list[str] = []
        theirs: dict[str, list[str]] = {}
        taker: list[str] | None = None  # where plain words go: to another's flag, or (None) to ours
        repeated: str | None = None  # our repeatable flag, given several words at once as TRL allows
        for word in args:
            if not _OPTION.match(word):
                if taker is not None:
                    taker.append(word)
                elif repeated and mine[-1] != repeated:
                    mine += [repeated, word]
                else:
                    mine.append(word)
                continue
            name, equals, value = word.removeprefix("--").partition("=")
            flag = "--" + THEIR_NAMES.get(name.replace("-", "_"), name).replace("_", "-")
            taker = repeated = None
            if not word.startswith("--"):
                mine.append(word)
            elif option := options.get(flag):
                mine.append(flag + equals + value)
                several = isinstance(option, click.Option) and option.multiple and not equals and "--" + name != flag
                repeated = flag if several else None
            elif word == "--help":
                mine.append(word)
            else:
                taker = theirs.setdefault(name.replace("-", "_"), [])
                taker.extend([value] if equals else [])
        return mine, {name: tuple(words) for name, words in theirs.items()}


def config_option(function: Any) -> Any:
    """``--config FILE.yaml``: our flags, TRL's and PEFT's by name; the command line overrides it."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="YAML file of flags by name, ours, TRL's or PEFT's; the command line overrides it.",
    )(function)


def _read(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise click.BadParameter(f"{path} must hold flags by name, as in 'beta: 0.1'")
    environment = values.pop("env", None) or {}  # as TRL's own configuration files have it
    if not isinstance(environment, dict):
        raise click.BadParameter(f"{path}: env must hold variables by name, as in 'env: {{WANDB_PROJECT: mine}}'")
    for name, value in environment.items():
        os.environ[str(name)] = str(value)
    by_flag = {flag.lstrip("-").replace("-", "_"): p for p in context.command.params for flag in p.opts}
    defaults: dict[str, Any] = {}
    theirs: Words = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        name = THEIR_NAMES.get(name, name)
        if name in by_flag:
            option = by_flag[name]
            several = isinstance(option, click.Option) and option.multiple  # one value stands for itself, as in TRL
            defaults[option.name or ""] = [value] if several and not isinstance(value, list | None) else value
        else:
            theirs[name] = words(value)
    context.default_map = {**(context.default_map or {}), **defaults}
    context.meta[PASSED] = {**theirs, **context.meta.get(PASSED, {})}


def words(value: Any) -> tuple[str, ...]:
    """A value from YAML as the words of a command line.

    >>> words(True), words([1, 2]), words({"a": 1})
    (('true',), ('1', '2'), ('{"a":1}',))
    """
    if isinstance(value, list):
        return tuple(word for item in value for word in words(item))
    return (value if isinstance(value, str) else orjson.dumps(value).decode(),)


def passed(context: click.Context) -> Mapping[str, tuple[str, ...]]:
    """The flags of TRL and PEFT that were given, on the command line or in the configuration file."""
    found: Mapping[str, tuple[str, ...]] = context.meta.get(PASSED, {})
    return found
