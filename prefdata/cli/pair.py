"""``prefdata pair``: judgments of any judges and people to pairs."""

from __future__ import annotations

from pathlib import Path

import click

from prefdata.cli import common
from prefdata.cli.output import print_json, say
from prefdata.cli.pairing import length_matched as length_matched_option
from prefdata.cli.pairing import min_margin as min_margin_option
from prefdata.cli.pairing import strategy as strategy_option
from prefdata.cli.pairing import tie as tie_option
from prefdata.cli.reading import byte_progress
from prefdata.pairing.pair import PairResult, pair
from prefdata.pairing.pairs import Strategy, TiePolicy
from prefdata.pairing.ranking import RANKINGS, Ranking


@click.command("pair", short_help="Build pairs from judgments of any judges and people.")
@click.argument("responses")
@click.argument("judgments", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where the pairs go (JSONL).")
@click.option(
    "--dropped",
    type=click.Path(path_type=Path),
    help="Where response sets without a pair go, each with its reason. [default: beside the output]",
)
@strategy_option
@min_margin_option
@tie_option
@length_matched_option
@click.option(
    "--ranking",
    type=click.Choice(RANKINGS),
    default="majority",
    show_default=True,
    help="How judgments rank the responses of a set.",
)
@click.option(
    "--weights",
    metavar="FILE|auto",
    help="Weights of the judges' votes (YAML, 'human:ann: 0.8'), or auto: by agreement with the other judges.",
)
@click.option(
    "--gold",
    metavar="FILE",
    multiple=True,
    help="Judgments that are right: each judge's vote weighs by how often it agrees with them.",
)
@click.option(
    "--criterion",
    metavar="NAME",
    help="Pair by the judgments of one criterion, or by the ratings on it. [default: by the verdicts on the whole]",
)
@common.seed
@common.limit
@common.overwrite
@common.output_format
@common.quiet
@common.config
def command(
    responses: str,
    judgments: tuple[str, ...],
    output: Path,
    dropped: Path | None,
    strategy: Strategy,
    min_margin: float,
    tie: TiePolicy,
    length_matched: float | None,
    ranking: Ranking,
    weights: str | None,
    gold: tuple[str, ...],
    criterion: str | None,
    seed: int,
    limit: int | None,
    overwrite: bool,
    format: str,
    quiet: bool,
) -> int:
    """Build pairs from RESPONSES and the JUDGMENTS of any judges and people.

    Orders are combined for each judge, judges by majority (or weight); ties and verdicts that depend on the order
    become no pairs unless --tie says so. Each pair names its judgments. Exit code 1 says that lines could not be read
    or judgments belong to no response.
    """
    with byte_progress("pairing", quiet=quiet) as progress:
        result = pair(
            responses,
            judgments,
            output=output,
            dropped=dropped,
            strategy=strategy,
            min_margin=min_margin,
            tie=tie,
            length_matched=length_matched,
            ranking=ranking,
            weights=weights,
            gold=gold or None,
            criterion=criterion,
            seed=seed,
            overwrite=overwrite,
            limit=limit,
            progress=progress,
        )
    if format == "json":
        files = {"output": str(output), "dropped_output": str(result.dropped_output)}
        print_json({**result.counts.record(), **files, "weights": dict(result.weights)})
    else:
        _print(result, quiet)
    return 0 if result.ok else 1


def _print(result: PairResult, quiet: bool) -> None:
    counts = result.counts
    click.echo(
        f"{counts.pairs} pairs from {counts.paired} of {counts.response_sets} response sets: {result.output}", err=True
    )
    if counts.dropped:
        click.echo(f"no pair from {sum(counts.dropped.values())}: {result.dropped_output}", err=True)
        for reason, number in counts.dropped.most_common():
            click.echo(f"  {number:>8}  {reason}", err=True)
    say(f"{counts.used} of {counts.judgments} judgments used", quiet=quiet)
    for reason, number in counts.unused.most_common():
        say(f"  {number:>8}  {reason}", quiet=quiet)
    for name, weight in result.weights.items():
        say(f"  {weight:>8.2f}  weight of {name}", quiet=quiet)
    if counts.invalid_lines:
        click.echo(
            f"{counts.invalid_lines} lines hold no record (reason invalid-line in {result.dropped_output})", err=True
        )
