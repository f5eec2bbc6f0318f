"""``prefdata judge``: response sets to judgments and pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefdata.cli import common
from prefdata.cli.calls import call_options, print_estimate, say_calls
from prefdata.cli.output import print_json, say
from prefdata.cli.pairing import length_matched as length_matched_option
from prefdata.cli.pairing import min_margin as min_margin_option
from prefdata.cli.pairing import strategy as strategy_option
from prefdata.cli.pairing import tie as tie_option
from prefdata.cli.progress import Meter
from prefdata.judging.judges import ORDERS, Orders
from prefdata.pairing.pairs import Strategy, TiePolicy

if TYPE_CHECKING:
    from prefdata.judging.calibration import Calibration
    from prefdata.judging.tally import JudgeResult


def _list_templates(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from prefdata.judging.template import built_in, load_template

    for name, path in built_in().items():
        click.echo(f"{name:20} {load_template(name).document.get('description', '')}\n{'':20} {path}")
    context.exit()


@click.command("judge", short_help="Judge responses with models or rules, and build pairs.")
@click.argument("responses")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where the pairs go (JSONL).")
@click.option(
    "--judge",
    multiple=True,
    required=True,
    metavar="JUDGE",
    help="llm:MODEL, llm:NAME=MODEL@BASE_URL, local:FOLDER (a causal language model in this process), reward:FOLDER "
    "(a reward model), rule:exact-match, rule:regex:PATTERN, rule:length:MIN-MAX or rule:python:MODULE:FUNCTION; "
    "repeat it for a jury.",
)
@click.option(
    "--template",
    metavar="NAME|FILE.yaml",
    help="What a language model is asked. [default: pairwise; pairwise-logprob for local:]",
)
@click.option(
    "--templates",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_templates,
    help="List the built-in templates and exit.",
)
@click.option(
    "--orders",
    type=click.Choice(ORDERS),
    default="both",
    show_default=True,
    help="Show every two responses in both orders, in one that is drawn, or (adaptive) in one, and in the other only "
    "where the first verdict is not clear.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Answers to every question, of which the majority counts; with --orders adaptive more than one is asked for "
    "only where the two orders disagree.",
)
@click.option(
    "--criteria",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to judge by, a line 'NAME: MEANING' each or a YAML mapping, for a template that lists criteria.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    default=16,
    show_default=True,
    help="Calls that a local: or reward: model answers at once.",
)
@strategy_option
@min_margin_option
@tie_option
@length_matched_option
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="HUMAN.jsonl",
    help="Judgments by people of some of the responses: how the judges agree with them is printed before the rest is "
    "judged, with a recommendation, and a jury's votes are weighed by it.",
)
@click.option("--calibrate-only", is_flag=True, help="Judge only what --calibrate names, report, and make no pair.")
@click.option(
    "--judgments", type=click.Path(path_type=Path), help="Where the judgments go. [default: beside the output]"
)
@click.option(
    "--dropped",
    type=click.Path(path_type=Path),
    help="Where lines and response sets without a pair go, each with its reason. [default: beside the output]",
)
@click.option("--reparse", is_flag=True, help="Read the answers of an earlier run again and make no call.")
@call_options
@common.seed
@common.limit
@common.overwrite
@common.output_format
@common.quiet
@common.config
def command(
    responses: str,
    output: Path,
    judge: tuple[str, ...],
    template: str | None,
    orders: Orders,
    samples: int,
    criteria: Path | None,
    batch_size: int,
    strategy: Strategy,
    min_margin: float,
    tie: TiePolicy,
    length_matched: float | None,
    calibrate: Path | None,
    calibrate_only: bool,
    judgments: Path | None,
    dropped: Path | None,
    reparse: bool,
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
    seed: int,
    limit: int | None,
    overwrite: bool,
    format: str,
    quiet: bool,
) -> int:
    """Judge the response sets in RESPONSES (one JSON record a line) and build preference pairs.

    Verdicts that depend on the shown order, ties and answers that hold no verdict never become pairs: each goes to the
    dropped file with its reason. Finished calls are kept in OUTPUT.state/ledger.jsonl: a run that was stopped continues
    by itself, and no call is paid twice. The key of OpenAI, or of OPENAI_BASE_URL, is OPENAI_API_KEY; that of another
    endpoint is <NAME>_API_KEY.

    Exit code 1 says that lines were no response sets, that calls failed, or that not one verdict could be read.
    """
    from prefdata.judging.judge import JudgeOptions, estimate
    from prefdata.judging.judge import judge as run

    options: JudgeOptions = {
        "template": template,
        "orders": orders,
        "samples": samples,
        "criteria": criteria,
        "batch_size": batch_size,
        "strategy": strategy,
        "min_margin": min_margin,
        "tie": tie,
        "length_matched": length_matched,
        "calibrate": calibrate,
        "calibrate_only": calibrate_only,
        "calibrated": _print_calibration if format == "text" else None,
        "seed": seed,
        "concurrency": concurrency,
        "timeout": timeout,
        "retries": retries,
        "retry_failed": retry_failed,
        "batch": batch,
        "rpm": rpm,
        "tpm": tpm,
        "max_cost": max_cost,
        "prices": prices,
        "reporter": Meter("judge", quiet=quiet),
    }
    if dry_run:
        print_estimate(estimate(responses, output, judge=judge, limit=limit, **options), format)
        return 0
    result = run(
        responses,
        output,
        judge=judge,
        judgments=judgments,
        dropped=dropped,
        reparse=reparse,
        limit=limit,
        overwrite=overwrite,
        **options,
    )
    if format == "json":
        print_json(result.document())
    elif not calibrate_only:
        _print(result, quiet)
    return 0 if result.ok else 1


def _print_calibration(found: Calibration) -> None:
    """Data, and so on stdout, as that of ``prefdata agree``."""
    from prefdata.cli.agree import blocks, kappa, percent, table

    for block in blocks(found.agreement):
        click.echo(block + "\n")
    alphas = [[name, kappa(alpha)] for name, alpha in found.alphas.items()]
    click.echo("With people: Krippendorff's alpha, ordinal (95% interval)\n" + table(["", "alpha"], alphas) + "\n")
    rows = []
    for each in found.options:
        money = "-" if each.dollars is None else f"${each.dollars:.2f}"
        rates = [percent(each.decided), percent(each.right), kappa(each.score)]
        rows.append([" + ".join(each.judges), str(each.samples), *rates, f"{each.tokens:.0f}", money])
    head = ["judges", "samples", "makes a pair %", "pair is right %", "score", "tokens", "per 1,000"]
    click.echo(
        f"Choices, on {found.options[0].couples} couples that people decided (95% interval)\n" + table(head, rows)
    )
    for name, weight in found.weights.items():
        click.echo(f"weight of {name}: {weight:.2f}")
    best = found.recommendation
    click.echo(f"\nrecommended: {' + '.join(best.judges)}, --samples {best.samples}, --min-margin {best.min_margin:g}")
    for reason in best.reasons:
        click.echo(f"  {reason}")
    click.echo()


def _print(result: JudgeResult, quiet: bool) -> None:
    tally = result.tally
    click.echo(f"{tally.pairs} pairs from {tally.with_pairs} of {tally.sets} response sets: {result.output}", err=True)
    if tally.dropped:
        click.echo(f"no pair from {tally.sets - tally.with_pairs}: {result.dropped}", err=True)
        for reason, number in tally.dropped.most_common():
            click.echo(f"  {number:>8}  {reason}", err=True)
    if tally.invalid:
        click.echo(f"{tally.invalid} lines hold no response set: {result.dropped}", err=True)
    unreadable = f", {tally.unreadable} of them unreadable" if tally.unreadable else ""
    say(f"{tally.judgments} judgments{unreadable}: {result.judgments}", quiet=quiet)
    if tally.mute:
        click.echo(
            "not ok: not one verdict could be read\n  help: compare the field raw of these judgments with the verdict "
            "of the template, mend it, and run again with --reparse, which pays for nothing",
            err=True,
        )
    if result.calls.made or result.calls.reused or tally.failed:
        say_calls(result.calls, tally.failed, quiet=quiet)
    if tally.spared:
        say(f"adaptive orders did without {tally.spared} calls that both orders would have taken", quiet=quiet)
    for flag, number in sorted(tally.suspicious.items()):
        click.echo(f"{number} judgments were shown a response that may speak to the judge ({flag})", err=True)
    if tally.constant:
        model = f" from {tally.constant_model}" if tally.constant_model else ""
        click.echo(f"the very same response{model} stands under {tally.constant} different prompts", err=True)
    for name, counts in sorted(tally.orders.items()):
        words = []
        if counts.consistency is not None:
            words.append(f"both orders agree in {counts.consistency:.1%} of {counts.compared}")
        if counts.first_preferred is not None:
            words.append(f"the response shown first wins {counts.first_preferred:.1%} of {counts.decisive}")
        if words:
            say(f"{name}: {'; '.join(words)}", quiet=quiet)
