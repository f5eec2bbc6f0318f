"""``python -m prefdata_trainer.tiny``: the pieces of ``prefdata demo``, each a command that can be typed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click
import orjson

from prefdata.errors import OutputExistsError, PrefdataError
from prefdata_trainer.tiny.corpus import SPLITS, Split
from prefdata_trainer.tiny.corpus import prompts as make_prompts
from prefdata_trainer.tiny.folders import served_names

P = ParamSpec("P")


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Print an expected failure in two lines, and exit with its code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PrefdataError as error:
            click.echo(f"error: {error.message}", err=True)
            if error.hint:
                click.echo(f"  help: {error.hint}", err=True)
            sys.exit(error.exit_code)

    return wrapped


def note(text: str) -> None:
    """One line of progress."""
    click.echo(text, err=True)


@click.group()
def main() -> None:
    """A tiny booking desk: prompts, a model trained from scratch, and a local OpenAI-compatible server for it."""


@main.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the model.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=320, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop sooner on a slow machine.")
@plainly
def train(out: Path, seed: int, steps: int, seconds: float | None) -> None:
    """Train the model from scratch: about half a minute on one core."""
    if out.exists():
        raise OutputExistsError(f"{out} exists already", "name another folder, or remove this one")

    from prefdata_trainer.tiny import model

    model.train(out, seed=seed, steps=steps, seconds=seconds, progress=note)


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--adapter", multiple=True, type=click.Path(path_type=Path), help="PEFT adapter folder; repeatable.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@plainly
def serve(model: Path, adapter: tuple[Path, ...], host: str, port: int) -> None:
    """Serve MODEL, and MODEL with each adapter, each under the name of its folder, until SIGTERM or Ctrl-C."""
    names = served_names(model, adapter)

    from prefdata_trainer.tiny import server

    server.serve(server.load(model, names), host, port, lambda url: click.echo(f"serving {model} at {url}"))


@main.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="JSONL file to write.")
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True, help="They share no city.")
@click.option("--seed", type=int, default=0, show_default=True)
@plainly
def prompts(out: Path, count: int, split: Split, seed: int) -> None:
    """Write prompt records, each with its right reply as reference."""
    from prefdata.records.output import atomic_file

    with atomic_file(out) as file:
        file.writelines(orjson.dumps(record) + b"\n" for record in make_prompts(count, split, seed))
    note(f"{count} prompts in {out}")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("adapter", type=click.Path(path_type=Path))
@click.argument("pairs", type=click.Path(path_type=Path))
@plainly
def accuracy(model: Path, adapter: Path, pairs: Path) -> None:
    """Print how many of PAIRS the ADAPTER orders as they are: chosen above rejected, against MODEL alone."""
    from prefdata_trainer.tiny.accuracy import pair_accuracy

    right, total = pair_accuracy(model, adapter, pairs)
    click.echo(orjson.dumps({"right": right, "pairs": total}))


if __name__ == "__main__":
    main()
