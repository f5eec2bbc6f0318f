"""A DPO run: render, plan, train, measure, write. Imports torch; everything cheap was checked before."""

from __future__ import annotations

import math
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PrinterCallback, set_seed

from prefdata.errors import DatasetError, PrefdataError, RenderingError, UsageError
from prefdata.records.dataset import DatasetHandle
from prefdata.records.ids import content_id, file_sha256
from prefdata.records.output import State, replace_folder, state_folder
from prefdata.rendering import Renderer, RenderReport
from prefdata_trainer import theirs as their_flags
from prefdata_trainer import tokens
from prefdata_trainer.callbacks import WHOLE, Checkpoints, Reporter, last_whole_checkpoint
from prefdata_trainer.fast import Speed, reference_cache, reference_hash
from prefdata_trainer.folder import complete
from prefdata_trainer.loading import (
    check_reference,
    context_length,
    load_model,
    load_tokenizer,
    lora_config,
    training_config,
)
from prefdata_trainer.outcome import Outcome, Plan
from prefdata_trainer.pair_trainer import PairTrainer
from prefdata_trainer.quiet import environment_default, hushed
from prefdata_trainer.settings import DpoSettings
from prefdata_trainer.theirs import Theirs

PACKAGES = ("prefdata", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


def run(
    handle: DatasetHandle, output: Path, settings: DpoSettings, *, overwrite: bool, dry_run: bool, quiet: bool
) -> Outcome | Plan:
    """Carry out a run, or only plan it. A run that was killed is taken up again by the same call."""
    with hushed():
        return _run(handle, output, settings, overwrite, dry_run, quiet)


def _run(
    handle: DatasetHandle, output: Path, settings: DpoSettings, overwrite: bool, dry_run: bool, quiet: bool
) -> Outcome | Plan:
    theirs = their_flags.read(settings.passed, settings)
    tokenizer = load_tokenizer(settings, theirs)
    check_reference(settings, theirs, tokenizer)
    renderer = Renderer(
        tokenizer,
        loss_on=settings.loss_on,
        limits=settings.limits(context_length(settings, theirs)),
        template_variables=settings.template_variables,
    )
    if dry_run:
        return _plan(handle, settings, theirs, tokens.count(handle, renderer, settings.limit))
    processes = PartialState(cpu=not torch.accelerator.is_available())
    if processes.num_processes != int(os.environ.get("WORLD_SIZE", "1")):
        raise PrefdataError(
            f"the launcher began {os.environ['WORLD_SIZE']} processes, of which only {processes.num_processes} found "
            "each other",
            "use torchrun, or accelerate launch with a configuration file",
        )
    state = _state(handle, output, settings, overwrite, processes, quiet) if processes.is_main_process else None
    folder = state_folder(output)
    try:
        with processes.main_process_first():
            report = tokens.render(handle, renderer, settings.limit, folder / "tokens")
        plan = _plan(handle, settings, theirs, report)
        if not quiet and processes.is_main_process:
            click.echo("\n".join(plan.lines()), err=True)
        with environment_default("TENSORBOARD_LOGGING_DIR", str(folder / "runs")):
            outcome = _train(plan, output, folder, theirs, tokenizer, quiet)
        if state is not None:
            complete(folder / "result", outcome, handle.manifest, theirs)
            replace_folder(folder / "result", output)
            state.finish()
        processes.wait_for_everyone()
    except PrefdataError:
        if state is not None and not _begun(folder):
            state.finish()  # what was refused leaves nothing behind that could be continued
        raise
    finally:
        if state is not None:
            state.close()
    return outcome


def _plan(handle: DatasetHandle, settings: DpoSettings, theirs: Theirs, report: RenderReport) -> Plan:
    """The plan, or the reason why there is nothing to train on."""
    refused = report.dropped.get("unrenderable", [])
    if refused and settings.unrenderable == "stop":
        id, message, hint = report.errors[0]
        raise RenderingError(
            f"{len(refused):,} of {report.seen:,} pairs cannot be rendered; pair {id}: {message}",
            f"{hint or 'see the pair'}; or leave such pairs out with --unrenderable drop",
        )
    if report.kept == 0:
        raise DatasetError(
            f"nothing is left of {report.seen:,} pairs: " + "; ".join(report.summary()),
            "raise the limits, choose another --truncation, or another --chat-template",
        )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batches = math.ceil(report.kept / (settings.batch_size * processes))
    if theirs.training.get("dataloader_drop_last"):
        batches = report.kept // (settings.batch_size * processes)
    steps = math.ceil(settings.epochs * max(1, math.ceil(batches / settings.gradient_accumulation)))
    if (most := theirs.training.get("max_steps", 0)) > 0:
        steps = int(most)
    return Plan(handle.path, handle.sha256, handle.form, settings, report, steps, processes)


def _state(
    handle: DatasetHandle, output: Path, settings: DpoSettings, overwrite: bool, processes: PartialState, quiet: bool
) -> State:
    """The state folder: taken up where the very same run was killed; where another was, refused if it got anywhere."""
    told: dict[str, Any] = {**settings.document(), "dataset": handle.sha256, "processes": processes.num_processes}
    told["model_files"] = [_files(name) for name in (settings.model, settings.model_ref) if name]
    told["chat_template_sha256"] = file_sha256(settings.chat_template) if settings.chat_template else None
    del told["reference_cache"]  # its place changes no number
    told = orjson.loads(orjson.dumps(told))  # as it will be read again: lists, not tuples
    folder = state_folder(output)
    path = folder / "settings.json"
    other = path.exists() and content_id(told).encode() not in path.read_bytes()
    anew = other and (overwrite or not _begun(folder))
    state = State(output, told, restart=anew)
    if anew and not quiet:
        click.echo(f"{folder} was begun with other settings: starting anew", err=True)
    if not state.resumed:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
    return state


def _begun(folder: Path) -> bool:
    """Whether a checkpoint was written, so that there is work to lose."""
    return any(folder.glob(f"checkpoints/*/{WHOLE}"))


def _files(model: str) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a model folder's files: a model that was exchanged is another model."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return []
    return sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir())


def _train(plan: Plan, output: Path, folder: Path, theirs: Theirs, tokenizer: Any, quiet: bool) -> Outcome:
    settings = plan.settings
    config = training_config(settings, theirs, folder / "checkpoints", output.name, plan.steps)
    model = load_model(settings.model, settings, theirs)
    lora = lora_config(settings, theirs)
    reference = load_model(settings.model_ref, settings, theirs) if settings.model_ref else None
    speed = _speed(settings, theirs, config, model if reference is None else reference, folder, quiet)
    reporter = Reporter(quiet)
    try:
        trainer: Any = PairTrainer(
            model=model,
            ref_model=reference,
            args=config,
            data_collator=tokens.PairCollator(tokenizer.pad_token_id, _whole(config.pad_to_multiple_of)),
            train_dataset=Dataset.from_file(str(folder / "tokens" / "train.arrow")),
            processing_class=tokenizer,
            callbacks=[Checkpoints(), reporter],
            peft_config=lora,
            speed=speed,
        )
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"TRL or PEFT refuses these settings: {' '.join(str(error).split())}") from None
    trainer.remove_callback(PrinterCallback)  # it prints every log on stdout
    same_at_start = settings.model_ref is None and theirs.lora.get("init_lora_weights", True) is True
    precomputed = "ref_chosen_logps" in trainer.train_dataset.column_names and config.ld_alpha is None
    if precomputed:
        columns = ("ref_chosen_logps", "ref_rejected_logps")
        referred = np.stack([np.asarray(trainer.train_dataset[name], np.float64) for name in columns], axis=1)
    else:
        referred = trainer.logps(reference=True)
    before = referred if same_at_start else trainer.logps(reference=False)
    checkpoint = last_whole_checkpoint(folder / "checkpoints") if trainer.is_world_process_zero() else None
    checkpoint = trainer.accelerator.gather_for_metrics([checkpoint], use_gather_object=True)[0]
    if checkpoint is not None and not quiet and trainer.is_world_process_zero():
        click.echo(f"continuing at step {Path(checkpoint).name.rpartition('-')[2]}", err=True)
    # What came before (reference log-probabilities computed, or found on disk) has drawn random numbers, or has not.
    set_seed(config.seed)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    finally:
        reporter.stop()
    after = trainer.logps(reference=False)
    shutil.rmtree(folder / "result", ignore_errors=True)
    trainer.save_model(str(folder / "result"))
    rewards = {when: settings.beta * (logps - referred) for when, logps in (("before", before), ("after", after))}
    rows = trainer.train_dataset
    pairs = {
        "id": rows["id"][:],
        "margin_before": rewards["before"][:, 0] - rewards["before"][:, 1],
        "margin_after": rewards["after"][:, 0] - rewards["after"][:, 1],
        "chosen_reward_after": rewards["after"][:, 0],
        "rejected_reward_after": rewards["after"][:, 1],
        **{f"{side}_tokens": [sum(mask) for mask in rows[f"{side}_in_loss"]] for side in tokens.SIDES},
    }
    # Left out: TRL counts ``num_tokens`` from 0 again after a resume, and the last entry of all is about time.
    history = [entry for entry in trainer.state.log_history if "train_runtime" not in entry]
    logged = [{name: value for name, value in entry.items() if name != "num_tokens"} for entry in history]
    trained, everything = trainer.model.get_nb_trainable_parameters() if lora else (model.num_parameters(),) * 2
    versions = {name: version(name) for name in PACKAGES}
    return Outcome(plan, output, logged, pairs, versions, trained, everything, speed.found)


def _speed(settings: DpoSettings, theirs: Theirs, config: Any, reference: Any, folder: Path, quiet: bool) -> Speed:
    """What the run may do to be quicker; ``reference`` is the model that the cache of log-probabilities is keyed by."""
    on_main = PartialState().is_main_process
    return Speed(
        settings.fast,
        settings.prefix_sharing,
        settings.group_by_length,
        reference_cache(settings.reference_cache, folder / "references"),
        reference_hash(reference, theirs.lora.get("init_lora_weights")) if config.precompute_ref_log_probs else "",
        (lambda line: click.echo(line, err=True)) if on_main and not quiet else (lambda _: None),
    )


def _whole(value: int | str | None) -> int | None:
    return None if value is None else int(value)
