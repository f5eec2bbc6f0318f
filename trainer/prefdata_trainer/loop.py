"""From a plan to a trained model: load, train or continue, measure every pair before and after."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from datasets import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, set_seed

from prefdata.errors import MissingExtraError, PrefdataError, UsageError
from prefdata_trainer.advice import Advisor, advice
from prefdata_trainer.callbacks import Checkpoints, Reporter, Stop, last_whole_checkpoint
from prefdata_trainer.loading import lora_config, training_config
from prefdata_trainer.merging import merge
from prefdata_trainer.method import Job, Method, Scores
from prefdata_trainer.outcome import Outcome
from prefdata_trainer.tokens import SIDES

PACKAGES = ("prefdata", "torch", "transformers", "trl", "peft", "accelerate", "datasets")
REFUSALS = (ValueError, NotImplementedError, ImportError)
OF_THE_CLOCK = ("_runtime", "_per_second", "num_tokens")
"""Ends of the names of logged figures that are about time, or that TRL counts from 0 again after a resume."""


def train(method: Method, job: Job) -> Outcome:
    """Train, and write weights and tokenizer to ``job.folder/result``.

    Raises UsageError for settings that TRL or PEFT refuse, PrefdataError where the loss becomes NaN, KeyboardInterrupt
    where SIGINT or SIGTERM came; a checkpoint was written then.
    """
    plan, settings, theirs = job.plan, job.plan.settings, job.theirs
    data = {
        split: Dataset.from_file(str(job.folder / "tokens" / f"{split}.arrow"))
        for split, report in plan.reports.items()
        if report.kept
    }
    config = training_config(
        method, settings, theirs, job.folder / "checkpoints", job.output.name, plan.steps, plan.evaluated
    )
    lora = lora_config(settings, theirs, method.task_type)
    set_seed(config.seed)  # before a reward model gets its head
    model = method.load(settings, theirs)
    reporter, stop = Reporter(job.quiet), Stop()
    callbacks: list[Any] = [stop, Checkpoints(), Advisor(plan.first_loss, job.quiet), reporter]
    if settings.early_stopping:
        callbacks.append(EarlyStoppingCallback(settings.early_stopping))
    try:
        trainer = method.trainer(job, config, model, data, lora, callbacks)
    except REFUSALS as error:
        raise refused(error) from None
    trainer.remove_callback(PrinterCallback)  # it prints every log on stdout
    before = {split: method.scores(trainer, rows, settings, trained=False) for split, rows in data.items()}
    checkpoint = last_whole_checkpoint(job.folder / "checkpoints") if trainer.is_world_process_zero() else None
    checkpoint = trainer.accelerator.gather_for_metrics([checkpoint], use_gather_object=True)[0]
    if checkpoint is not None and not job.quiet and trainer.is_world_process_zero():
        click.echo(f"continuing at step {Path(checkpoint).name.rpartition('-')[2]}", err=True)
    # What came before (reference log-probabilities computed, or found on disk) has drawn random numbers, or has not.
    set_seed(config.seed)
    try:
        with stop.listening():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except REFUSALS as error:
        if stop.training:
            raise
        raise refused(error) from None
    finally:
        reporter.stop()
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        raise KeyboardInterrupt
    if "eval" in data and not _evaluated(trainer):
        trainer.evaluate()
    after = {split: method.scores(trainer, rows, settings, trained=True) for split, rows in data.items()}
    result = job.folder / "result"
    if trainer.is_world_process_zero():  # a slower process would remove what this one is about to write
        shutil.rmtree(result, ignore_errors=True)
    trainer.save_model(str(result))
    divergence = trainer.divergence() if hasattr(trainer, "divergence") else None
    trained, everything = _sizes(trainer, settings.full)
    if settings.merge and trainer.is_world_process_zero():
        merge(trainer, method, settings, theirs, result)
    history = [entry for entry in trainer.state.log_history if "train_runtime" not in entry]
    logged = [{name: value for name, value in entry.items() if not name.endswith(OF_THE_CLOCK)} for entry in history]
    return Outcome(
        plan=plan,
        method=method,
        output=job.output,
        metrics=logged,
        pairs=_columns(data, before, after),
        versions={name: version(name) for name in PACKAGES},
        trained_parameters=trained,
        all_parameters=everything,
        divergence=divergence,
        best_step=_best(trainer.state),
        speed=trainer.speed.found if hasattr(trainer, "speed") else {},
        warnings=[found.message for found in advice(logged, plan.first_loss, trainer.state.max_steps)],
    )


def refused(error: Exception) -> PrefdataError:
    """What the libraries say of settings, of which they look at some only when the optimizer is made."""
    why = " ".join(str(error).split())
    if isinstance(error, ImportError):
        return MissingExtraError(
            f"these settings need a package that is not installed: {why}", "install it, or use others"
        )
    return UsageError(f"TRL or PEFT refuses these settings: {why}")


def _evaluated(trainer: Any) -> bool:
    """Whether the model as it is now was evaluated: at the last step, and no earlier checkpoint was loaded since."""
    last = any("eval_loss" in e and e["step"] == trainer.state.global_step for e in trainer.state.log_history)
    return last and _best(trainer.state) in (None, trainer.state.global_step)


def _best(state: Any) -> int | None:
    """The step of the checkpoint that early stopping kept."""
    found = state.best_model_checkpoint
    return int(found.rpartition("-")[2]) if found else None


def _sizes(trainer: Any, full: bool) -> tuple[int, int]:
    model = trainer.accelerator.unwrap_model(trainer.model)
    if full:
        return (sum(weight.numel() for weight in model.parameters()),) * 2
    trained, everything = model.get_nb_trainable_parameters()
    return int(trained), int(everything)


def _columns(data: dict[str, Dataset], before: dict[str, Scores], after: dict[str, Scores]) -> dict[str, Any]:
    """The columns of per_pair.parquet: all pairs of train, then all of eval."""
    found: dict[str, list[Any]] = {}
    for split, rows in data.items():
        lengths = {side: [sum(mask) for mask in rows[f"{side}_in_loss"]] for side in SIDES}
        columns: dict[str, Any] = {
            "id": rows["id"][:],
            "split": [split] * len(rows),
            "margin_before": before[split][:, 0] - before[split][:, 1],
            "margin_after": after[split][:, 0] - after[split][:, 1],
            "chosen_reward_after": after[split][:, 0],
            "rejected_reward_after": after[split][:, 1],
            **{f"{side}_tokens": lengths[side] for side in SIDES},
            "length_difference": np.subtract(lengths["chosen"], lengths["rejected"]),
            "turn_depth": rows["depth"][:],
            "source": rows["source"][:],
            "margin": rows["margin"][:],
            "probability": rows["probability"][:],
        }
        for name, values in columns.items():
            found.setdefault(name, []).extend(values.tolist() if isinstance(values, np.ndarray) else values)
    return found
