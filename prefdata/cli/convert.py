"""``prefdata convert``: foreign preference files to pairs, or to responses and judgments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefdata.cli import common
from prefdata.cli.output import print_json, say
from prefdata.cli.pairing import length_matched as length_matched_option
from prefdata.cli.pairing import min_margin as min_margin_option
from prefdata.cli.pairing import strategy as strategy_option
from prefdata.cli.reading import byte_progress
from prefdata.conversion.mapping import check_save, given, save
from prefdata.conversion.registry import EXPORTS, FORMATS
from prefdata.conversion.work import TIES, Tie
from prefdata.pairing.pairs import Strategy

if TYPE_CHECKING:
    from prefdata.conversion.convert import ConvertResult


def _list_formats(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo("Read:")
        for name, format_ in FORMATS.items():
            also = f" (or {', '.join(format_.aliases)})" if format_.aliases else ""
            click.echo(f"  {name:24}{format_.summary}{also}\n{'':26}recognised by {format_.signature}")
        click.echo("\nWritten (--to):")
        for name, export in EXPORTS.items():
            click.echo(f"  {name:24}{export.summary}")
        context.exit()


@click.command("convert", short_help="Turn a foreign preference format into pairs, or pairs into one.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where the records go (JSONL).")
@click.option(
    "--from",
    "from_",
    metavar="FORMAT",
    default="auto",
    show_default=True,
    help="The format of INPUTS; auto says what it found and why. --formats lists them.",
)
@click.option(
    "--to",
    type=click.Choice(["pairs", "responses", *EXPORTS]),
    default="pairs",
    show_default=True,
    help="responses writes responses and judgments, which keeps every rank and tie; the others are foreign formats.",
)
@click.option(
    "--map",
    "maps",
    metavar="OURS=COLUMN",
    multiple=True,
    help="For a file in no known format: prompt, chosen and rejected, or prompt, completion and label. Repeatable.",
)
@click.option("--map-file", type=click.Path(path_type=Path), help="The same as YAML; --map overrides it.")
@click.option("--save-map", type=click.Path(path_type=Path), help="Write the map as YAML.")
@click.option("--as-mapped", is_flag=True, help="Take the map as it is, even where the sides look swapped.")
@click.option("--split", help="Of a data set folder or hf:owner/name. [default for hf: train]")
@click.option("--revision", help="Of hf:owner/name: a branch, tag or commit.")
@click.option("--push-to-hub", metavar="OWNER/NAME", help="Upload the output with a data set card.")
@click.option("--private", is_flag=True, help="Make the repository of --push-to-hub private.")
@click.option(
    "--tie",
    type=click.Choice(TIES),
    default="drop",
    show_default=True,
    help="What a tie is, for pairs: dropped with its reason; (keep) a tie record with margin 0, probability 0.5 and "
    "metadata.tie; (soft) the same, and every pair that judges made has their probability; or the end of the run.",
)
@click.option(
    "--dropped",
    type=click.Path(path_type=Path),
    help="Where preferences without a pair go, each with its reason. [default: beside the output]",
)
@click.option(
    "--judgments",
    type=click.Path(path_type=Path),
    help="Where judgments go with --to responses. [default: beside the output]",
)
@strategy_option
@min_margin_option
@length_matched_option
@click.option(
    "--formats",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the formats, and exit.",
)
@common.seed
@common.limit
@common.overwrite
@common.output_format
@common.quiet
@common.config
def command(
    inputs: tuple[str, ...],
    output: Path,
    from_: str,
    to: str,
    maps: tuple[str, ...],
    map_file: Path | None,
    save_map: Path | None,
    as_mapped: bool,
    split: str | None,
    revision: str | None,
    push_to_hub: str | None,
    private: bool,
    tie: Tie,
    dropped: Path | None,
    judgments: Path | None,
    strategy: Strategy,
    min_margin: float,
    length_matched: float | None,
    seed: int,
    limit: int | None,
    overwrite: bool,
    format: str,
    quiet: bool,
) -> int:
    """Turn INPUTS of a foreign preference format into pairs, or pairs into a foreign format.

    An input is JSONL, a JSON array, CSV, TSV, Parquet or Arrow, a folder that datasets or prefdata validate wrote, or
    hf:owner/name (hf:owner/name#config).

    Every row is in the output or, with its reason, in the dropped file. Exit code 1 says that some rows are broken or
    not of the format.

    \b
      prefdata convert hh.jsonl.gz -o pairs.jsonl
      prefdata convert mine.csv -o pairs.jsonl --map prompt=question --map chosen=good --map rejected=poor
      prefdata convert votes.parquet -o responses.jsonl --to responses
      prefdata convert dataset -o train.jsonl --to openai
    """
    from prefdata.conversion.convert import convert

    columns = given(map_file, maps)
    if save_map is not None:
        check_save(columns, save_map, inputs, output)
    with byte_progress("converting", quiet=quiet) as progress:
        result = convert(
            inputs,
            output=output,
            from_=from_,
            to=to,
            columns=columns,
            as_mapped=as_mapped,
            split=split,
            revision=revision,
            push_to_hub=push_to_hub,
            private=private,
            tie=tie,
            dropped=dropped,
            judgments=judgments,
            strategy=strategy,
            min_margin=min_margin,
            length_matched=length_matched,
            seed=seed,
            overwrite=overwrite,
            limit=limit,
            progress=progress,
        )
    if save_map is not None and columns is not None:
        save(columns, save_map)
    if format == "json":
        paths = {"output": result.output, "dropped": result.dropped_output, "judgments": result.judgments_output}
        written = {name: str(path) for name, path in paths.items() if path is not None}
        print_json(
            {
                "format": result.format,
                "reason": result.reason,
                "files": written,
                "pushed": result.pushed,
                **result.counts.record(),
            }
        )
    else:
        _print(result, quiet)
    return 0 if result.ok else 1


def _print(result: ConvertResult, quiet: bool) -> None:
    counts = result.counts
    say(f"format {result.format}: {result.reason}", quiet=quiet)
    if result.judgments_output is not None:
        made = f"{counts.response_sets} response sets: {result.output}"
        made += f"\n{counts.judgments} judgments: {result.judgments_output}"
    else:
        made = f"{counts.pairs} pairs from {counts.kept} of {counts.preferences} preferences: {result.output}"
    click.echo(f"{counts.rows} rows\n{made}", err=True)
    if counts.unplaced_pairs:
        click.echo(f"{counts.unplaced_pairs} more pairs have no place in the format: {result.dropped_output}", err=True)
    if counts.broken_responses:
        number = counts.broken_responses
        what = "1 response is no text: kept and marked, no pair comes of it"
        if number > 1:
            what = f"{number} responses are no text: kept and marked, no pair comes of them"
        click.echo(what, err=True)
    if result.pushed is not None:
        click.echo(f"uploaded: {result.pushed}", err=True)
    if counts.dropped:
        click.echo(f"no pair from {sum(counts.dropped.values())}: {result.dropped_output}", err=True)
        for reason, number in counts.dropped.most_common():
            click.echo(f"  {number:>8}  {reason}", err=True)
