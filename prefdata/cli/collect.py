"""``prefdata collect``: prompts to response sets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from prefdata.cli import common
from prefdata.cli.calls import call_options, print_estimate, say_calls
from prefdata.cli.output import print_json
from prefdata.cli.progress import Meter


@click.command("collect", short_help="Sample responses to prompts from models at OpenAI-compatible endpoints.")
@click.argument("prompts")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where the responses go (JSONL).")
@click.option(
    "--model",
    multiple=True,
    required=True,
    metavar="MODEL",
    help="MODEL, MODEL@BASE_URL or NAME=MODEL@BASE_URL; repeat it for several models.",
)
@click.option(
    "--column",
    metavar="NAME",
    help="The column (or JSON key) with the prompts, as text or lists of messages. [default: rows are records with "
    "prompt, id, reference, tools, metadata; of a data set, the column prompt]",
)
@click.option("--split", help="Split of a data set. [default: train, or the only one]")
@click.option("--revision", help="Revision of a data set on the hub.")
@click.option(
    "-n", "--samples", type=click.IntRange(min=1), default=4, show_default=True, help="Samples a prompt and model."
)
@click.option("--temperature", type=click.FloatRange(min=0), help="Sampling temperature. [default: the server's]")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest response. [default: the server's]")
@click.option("--top-p", type=click.FloatRange(0, 1), help="Nucleus sampling. [default: the server's]")
@click.option("--system", help="System message for prompts that have none of their own.")
@click.option(
    "--seed",
    type=int,
    help="Makes the sampling seed that is sent with each prompt, another for each; sample i adds i. [default: none]",
)
@call_options
@common.limit
@common.overwrite
@common.output_format
@common.quiet
@common.config
def command(
    prompts: str,
    output: Path,
    model: tuple[str, ...],
    column: str | None,
    split: str | None,
    revision: str | None,
    samples: int,
    temperature: float | None,
    max_tokens: int | None,
    top_p: float | None,
    system: str | None,
    seed: int | None,
    concurrency: int | None,
    timeout: float,
    retries: int,
    retry_failed: bool,
    batch: bool,
    dry_run: bool,
    rpm: float | None,
    tpm: float | None,
    max_cost: float | None,
    prices: Path | None,
    limit: int | None,
    overwrite: bool,
    format: str,
    quiet: bool,
) -> int:
    """Sample N responses to each of the PROMPTS from one or several models.

    PROMPTS is a JSONL, JSON, CSV, TSV, Parquet or Arrow file (plain, .gz or .zst, a glob, or - for stdin), a folder
    that prefdata validate or datasets wrote, or hf:owner/name. A prompt is text or a list of messages.

    Refusals, empty answers and failed calls are recorded as failures, never as responses. Finished calls are kept in
    OUTPUT.state/ledger.jsonl: a run that was stopped continues by itself, and no call is paid twice. The key of OpenAI,
    or of OPENAI_BASE_URL, is OPENAI_API_KEY; that of another endpoint is <NAME>_API_KEY.

    Exit code 1 says that lines were no prompts, or that calls failed.
    """
    from prefdata.collection.collect import collect, estimate

    if dry_run:
        found = estimate(
            prompts,
            output,
            model=model,
            column=column,
            split=split,
            revision=revision,
            n=samples,
            max_tokens=max_tokens,
            system=system,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            retry_failed=retry_failed,
            batch=batch,
            prices=prices,
            limit=limit,
        )
        print_estimate(found, format)
        return 0
    result = collect(
        prompts,
        output,
        model=model,
        column=column,
        split=split,
        revision=revision,
        n=samples,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        system=system,
        seed=seed,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        batch=batch,
        rpm=rpm,
        tpm=tpm,
        max_cost=max_cost,
        prices=prices,
        limit=limit,
        overwrite=overwrite,
        reporter=Meter("collect", quiet=quiet),
    )
    if format == "json":
        document = asdict(result) | {"ok": result.ok, "output": str(output), "dropped": str(result.dropped)}
        print_json(document)
        return 0 if result.ok else 1
    cut = f", {result.cut} of them cut off at the token limit" if result.cut else ""
    click.echo(f"{result.responses} responses to {result.prompts} prompts{cut}: {output}", err=True)
    for reason, number in result.failures.items():
        click.echo(f"  {number:>8}  {reason}", err=True)
    if result.repeated:
        click.echo(f"{result.repeated} rows repeat a prompt and were left out: {result.dropped}", err=True)
    if result.invalid:
        click.echo(f"{result.invalid} lines hold no prompt: {result.dropped}", err=True)
    say_calls(result.calls, result.failures.get("call-failed", 0), quiet=quiet)
    return 0 if result.ok else 1
