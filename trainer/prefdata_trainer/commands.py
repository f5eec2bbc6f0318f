"""``prefdata train dpo``: parses and prints. Importing this module loads no deep-learning package."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from prefdata.rendering.limits import TRUNCATIONS
from prefdata_trainer.flags import PassingCommand, config_option, passed
from prefdata_trainer.settings import LOSSES, DpoSettings

POSITIVE = click.FloatRange(min=0, min_open=True)
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


@click.command(
    "dpo",
    cls=PassingCommand,
    short_help="Direct Preference Optimization of a causal language model, with LoRA by default.",
    epilog="Flags of TRL's DPOConfig and ModelConfig and of PEFT's LoraConfig follow DATASET by their own names, as in "
    "--warmup_steps 10 --use_dora true --load_in_4bit --precompute_ref_log_probs false.",
)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("-m", "--model", required=True, metavar="MODEL", help="Model to train: a folder or a name on the hub.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="ADAPTER", help="Folder to write."
)
@click.option("--model-ref", metavar="MODEL", help="Separate reference model. [default: the model before training]")
@click.option("--beta", type=POSITIVE, default=0.1, show_default=True, help="How strongly the reference holds.")
@click.option("--learning-rate", type=POSITIVE, help="[default: 1e-5 with LoRA, 1e-6 with --full]")
@click.option("--epochs", type=POSITIVE, default=1.0, show_default=True, help="Passes over the pairs.")
@click.option("--batch-size", type=COUNT, default=2, show_default=True, help="Pairs a forward pass, on each device.")
@click.option(
    "--gradient-accumulation", type=COUNT, default=8, show_default=True, help="Forward passes an optimizer step."
)
@click.option("--lora-r", type=COUNT, default=16, show_default=True, help="Rank of the adapter.")
@click.option("--lora-alpha", type=COUNT, default=32, show_default=True, help="Scale of the adapter (alpha / r).")
@click.option("--lora-dropout", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Dropout before it.")
@click.option(
    "--lora-targets", multiple=True, default=["all-linear"], show_default=True, help="Module names; repeatable."
)
@click.option("--full", is_flag=True, help="Train every weight instead of an adapter.")
@click.option(
    "--loss-type",
    type=click.Choice(LOSSES),
    multiple=True,
    default=["sigmoid"],
    show_default=True,
    help="A loss of TRL's; repeatable, and then summed.",
)
@click.option("--loss-weights", type=float, multiple=True, help="Weight of each --loss-type, in order.")
@click.option(
    "--loss-on",
    type=click.Choice(["assistant", "completion"]),
    default="assistant",
    show_default=True,
    help="Put in the loss what the assistant wrote after the shared prompt, or everything after it.",
)
@click.option("--max-length", type=COUNT, help="Tokens of prompt + completion. [default: what the model reads]")
@click.option("--max-prompt-length", type=COUNT, help="Tokens of the prompt.")
@click.option("--max-completion-length", type=COUNT, help="Tokens of a completion.")
@click.option(
    "--truncation",
    type=click.Choice(TRUNCATIONS),
    default="drop",
    show_default=True,
    help="What becomes of longer pairs.",
)
@click.option(
    "--unrenderable",
    type=click.Choice(["stop", "drop"]),
    default="stop",
    show_default=True,
    help="Pairs that the model's chat template does not render with certainty.",
)
@click.option(
    "--chat-template",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Jinja file to use instead of the model's own chat template; it is saved with the adapter.",
)
@click.option(
    "--template-variables",
    type=click.UNPROCESSED,
    metavar="JSON",
    callback=_json_object,
    help="Variables for the template, as in '{\"enable_thinking\": false}'.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random choice.")
@click.option("--report-to", multiple=True, metavar="NAME", help="wandb, tensorboard, trackio, mlflow, …; repeatable.")
@click.option("--save-steps", type=COUNT, default=100, show_default=True, help="Optimizer steps between checkpoints.")
@click.option(
    "--fast/--no-fast", default=True, show_default=True, help="Compute TRL's own loss and gradient in less time."
)
@click.option(
    "--prefix-sharing",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Compute what both sides of a pair begin with once: where it is less work and the model allows it, or always.",
)
@click.option(
    "--group-by-length/--no-group-by-length",
    default=None,
    help="Batches of pairs of similar length. [default: where the losses are means over pairs]",
)
@click.option(
    "--reference-cache",
    metavar="DIR",
    help="Where the reference's log-probabilities are kept for later runs, or off. [default: prefdata/references in "
    "the user's cache folder]",
)
@click.option("--limit", type=COUNT, metavar="N", help="Take only the first N pairs, for a first try.")
@click.option("--dry-run", is_flag=True, help="Print the plan: pairs, tokens, steps, expected first loss.")
@click.option("--overwrite", is_flag=True, help="Replace finished work at the output.")
@click.option(
    "--format",
    "format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json puts one document on stdout.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only errors and the result.")
@config_option
@click.pass_context
def dpo(
    context: click.Context,
    /,
    dataset: Path,
    output: Path,
    format: str,
    dry_run: bool,
    overwrite: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Train on DATASET, a folder written by prefdata validate, and write ADAPTER.

    Only a dataset whose manifest and hashes hold is taken. Tokens are those of the model's own chat template; the loss
    is on what the assistant wrote after the shared prompt. Killed and run again, the same command continues from the
    last whole checkpoint, kept in ADAPTER.state until ADAPTER is finished.
    """
    from prefdata_trainer.checks import cheap_checks

    settings = DpoSettings(**flags, passed=passed(context))
    handle = cheap_checks(dataset, output, settings, overwrite=overwrite, dry_run=dry_run)

    from prefdata_trainer.dpo import run

    result = run(handle, output, settings, overwrite=overwrite, dry_run=dry_run, quiet=quiet)
    if os.environ.get("RANK", "0") != "0":  # of the processes that a launcher began, one speaks
        return
    if format == "json":
        sys.stdout.buffer.write(orjson.dumps(result.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        click.echo("\n".join(result.lines()))
