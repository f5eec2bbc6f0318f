"""The negative control of the demo: pairs whose sides are swapped by the toss of a coin carry no preference."""

from __future__ import annotations

import random
from pathlib import Path

import click
import orjson

from prefdata.records.output import atomic_file


def shuffle(pairs: Path, out: Path, seed: int) -> tuple[int, int]:
    """Write ``pairs`` to ``out`` with the sides of about half of them swapped; returns (swapped, all)."""
    coin = random.Random(seed)
    swapped = total = 0
    with pairs.open("rb") as lines, atomic_file(out) as file:
        for line in lines:
            row = orjson.loads(line)
            total += 1
            if coin.random() < 0.5:
                row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
                row.pop("id", None)
                swapped += 1
            file.write(orjson.dumps(row) + b"\n")
    return swapped, total


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True)
def main(pairs: Path, out: Path, seed: int) -> None:
    """Write PAIRS to OUT with the sides of about half of them swapped at random."""
    swapped, total = shuffle(pairs, out, seed)
    click.echo(f"{swapped} of {total} pairs have their sides swapped: {out}")


if __name__ == "__main__":
    main()
