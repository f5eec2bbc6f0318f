"""``prefdata demo``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefdata.cli.common import config, output_format, overwrite, seed
from prefdata.cli.output import print_json, say

if TYPE_CHECKING:
    from prefdata.stats import Rate


@click.command(short_help="Run the whole road on an embedded default, each step printed.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("prefdata-demo"),
    show_default=True,
    help="Folder for all files of the demo.",
)
@click.option(
    "--shuffle-labels",
    is_flag=True,
    help="Negative control: swap chosen and rejected at random before training, which must show no gain.",
)
@seed
@overwrite
@output_format
@config
def command(output: Path, shuffle_labels: bool, seed: int, overwrite: bool, format: str) -> None:
    """Run the whole road in a few minutes: no key, no GPU, no model hub.

    A tiny language model is trained from scratch and served locally; its answers are collected, judged by a rule,
    paired, validated and trained on; then base and tuned answer held-out prompts, judged by the same rule. Each
    command is printed as you could type it, and every file stays in the output folder.
    """
    from prefdata.demo.run import demo

    result = demo(output, say, seed=seed, shuffle_labels=shuffle_labels, overwrite=overwrite)
    if format == "json":
        print_json({**asdict(result), "folder": str(result.folder)})
        return
    rows = {
        "before: the base model": result.correct["base"],
        f"after: DPO{' on shuffled labels' if result.shuffled else ''}": result.correct["tuned"],
        "control: SFT on the chosen side alone": result.correct["control"],
    }
    others = {
        "held-out pairs that the adapter orders right": result.pair_accuracy,
        "chosen answers trained on, themselves correct": result.chosen_correct,
    }
    click.echo(f"\nCorrect answers to held-out prompts, with 95% Wilson intervals ({result.seconds:.0f} s in all)\n")
    for name, measured in (*rows.items(), *others.items()):
        click.echo(f"  {name:48}{_line(measured)}")
    click.echo(f"\nLook around in {output}: pairs.jsonl, dataset/manifest.json, tuned/README.md, tuned/curves.png")


def _line(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return "nothing to measure"
    return f"{rate.value:6.1%}  [{rate.low:6.1%}, {rate.high:6.1%}]  {rate.count:5} of {rate.total}"
