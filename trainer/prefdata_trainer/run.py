"""A run of any method: render, plan, train, measure, write. Imports torch; everything cheap was checked before."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import click
import orjson
import torch
from accelerate import PartialState
from safetensors import SafetensorError

from prefdata.errors import DatasetError, PrefdataError, RenderingError, UsageError
from prefdata.records.dataset import DatasetHandle
from prefdata.records.ids import content_id, file_sha256
from prefdata.records.output import State, replace_folder, state_folder
from prefdata.rendering import Preview, Renderer, RenderReport
from prefdata_trainer import theirs as their_flags
from prefdata_trainer import tokens
from prefdata_trainer.callbacks import WHOLE
from prefdata_trainer.folder import complete
from prefdata_trainer.loading import (
    check_quantization,
    check_reference,
    load_tokenizer,
    lora_config,
    reach,
    shape,
)
from prefdata_trainer.loop import refused, train
from prefdata_trainer.memory import estimate
from prefdata_trainer.method import Job, Method, reference_of
from prefdata_trainer.outcome import Outcome
from prefdata_trainer.plan import Plan
from prefdata_trainer.quiet import environment_default, hushed
from prefdata_trainer.settings import RunSettings
from prefdata_trainer.theirs import Theirs

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def run(
    method: Method,
    handle: DatasetHandle,
    output: Path,
    settings: RunSettings,
    *,
    overwrite: bool,
    dry_run: bool,
    quiet: bool,
    preview: int = 0,
) -> Outcome | Plan:
    """Carry out a run, or only plan it. A run that was killed is taken up again by the same call.

    Raises KeyboardInterrupt where SIGINT or SIGTERM came while it trained; a checkpoint was written then.
    """
    with hushed():
        theirs = their_flags.read(settings.passed, settings, method.config)
        check_quantization(settings, theirs)
        tokenizer = load_tokenizer(settings, theirs)
        check_reference(settings, theirs, tokenizer)
        length, known = reach(settings, theirs)
        renderer = Renderer(
            tokenizer,
            loss_on=settings.loss_on,
            limits=settings.limits(length),
            template_variables=settings.template_variables,
        )
        if dry_run:
            return _dry_run(method, handle, settings, theirs, renderer, known, preview)
        try:
            return _run(method, handle, output, settings, theirs, renderer, known, overwrite, quiet)
        except (OSError, RuntimeError, SafetensorError) as error:
            if not _unwritable(error):
                raise
            why = error.strerror if isinstance(error, OSError) else "no space is left, or a file may not be so large"
            raise PrefdataError(
                f"{output} cannot be written: {why}",
                "see to space and permissions, and run the same command again: it goes on from the last checkpoint",
            ) from None


def _unwritable(error: Exception) -> bool:
    """Whether files could not be written; torch and safetensors say so in words of their own."""
    if isinstance(error, OSError):
        return error.errno in UNWRITABLE
    said = str(error)
    number = re.search(r"\(os error (\d+)\)", said)  # safetensors
    if number is not None:
        return int(number[1]) in UNWRITABLE
    return "inline_container" in said and "Reader" not in said  # torch's writer of checkpoints


def _dry_run(
    method: Method,
    handle: DatasetHandle,
    settings: RunSettings,
    theirs: Theirs,
    renderer: Renderer,
    known: int | None,
    preview: int,
) -> Plan:
    found = {split: tokens.count(handle, renderer, settings.limit, split, known) for split in tokens.splits(handle)}
    plan = _plan(method, handle, settings, theirs, found)
    report = plan.report
    lora = lora_config(settings, theirs, method.task_type)
    try:
        memory = estimate(
            settings.model,
            told=shape(settings, theirs),
            longest=report.longest,
            scored=report.trained_tokens / report.kept,
            lora=lora,
            copies=2 if reference_of(settings) else 1,
        )
    except ValueError as error:  # PEFT finds no module of that name, and the like
        raise refused(error) from None
    pairs = renderer.pairs(islice(handle.rows(), settings.limit), RenderReport())
    previews = tuple(Preview.of(pair, renderer.tokenizer) for pair in islice(pairs, preview))
    return Plan(**{name: getattr(plan, name) for name in Plan.__slots__} | {"memory": memory, "previews": previews})


def _run(
    method: Method,
    handle: DatasetHandle,
    output: Path,
    settings: RunSettings,
    theirs: Theirs,
    renderer: Renderer,
    known: int | None,
    overwrite: bool,
    quiet: bool,
) -> Outcome:
    processes = PartialState(cpu=not torch.accelerator.is_available())
    if processes.num_processes != int(os.environ.get("WORLD_SIZE", "1")):
        raise PrefdataError(
            f"the launcher began {os.environ['WORLD_SIZE']} processes, of which only {processes.num_processes} found "
            "each other",
            "use torchrun, or accelerate launch with a configuration file",
        )
    main = processes.is_main_process
    state = _state(method, handle, output, settings, overwrite, processes, quiet) if main else None
    folder = state_folder(output)
    try:
        with processes.main_process_first():
            found = {
                split: tokens.render(handle, renderer, settings.limit, folder / "tokens", split, known)
                for split in tokens.splits(handle)
            }
        plan = _plan(method, handle, settings, theirs, found)
        if not quiet and main:
            click.echo("\n".join(plan.lines()), err=True)
        with environment_default("TENSORBOARD_LOGGING_DIR", str(folder / "runs")):
            outcome = train(method, Job(plan, output, folder, theirs, renderer.tokenizer, quiet))
        if state is not None:
            complete(folder / "result", outcome, handle, theirs)
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


def _plan(
    method: Method,
    handle: DatasetHandle,
    settings: RunSettings,
    theirs: Theirs,
    reports: Mapping[str, tokens.Rendered],
) -> Plan:
    """The plan, or the reason why there is nothing to train on."""
    report = reports["train"].report
    for found in (rendered.report for rendered in reports.values()):
        refused = found.dropped.get("unrenderable", [])
        if refused and settings.unrenderable == "stop":
            id, message, hint = found.errors[0]
            raise RenderingError(
                f"{len(refused):,} of {found.seen:,} pairs cannot be rendered; pair {id}: {message}",
                f"{hint or 'see the pair'}; or leave such pairs out with --unrenderable drop",
            )
    if report.kept == 0:
        raise DatasetError(
            f"nothing is left of {report.seen:,} pairs: " + "; ".join(report.summary()),
            "raise the limits, choose another --truncation, or another --chat-template",
        )
    if settings.early_stopping and not ("eval" in reports and reports["eval"].report.kept):
        raise UsageError(
            "--early-stopping needs a split eval, and the dataset has none",
            "make one: prefdata validate PAIRS.jsonl -o DATASET --eval-fraction 0.05",
        )
    for rendered in reports.values():
        method.check(settings, rendered.report, rendered.given)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rows = report.kept * method.rows_of_a_pair
    batches = math.ceil(rows / (settings.batch_size * processes))
    if theirs.training.get("dataloader_drop_last"):
        batches = rows // (settings.batch_size * processes)
        if batches == 0:
            raise UsageError(
                f"--dataloader_drop_last leaves out incomplete batches, and {report.kept:,} pairs make no whole one",
                "leave it out, or pass a smaller --batch-size",
            )
    steps = math.ceil(settings.epochs * max(1, math.ceil(batches / settings.gradient_accumulation)))
    if (most := theirs.training.get("max_steps", 0)) > 0:
        steps = int(most)
    return Plan(
        method.name,
        handle.path,
        handle.sha256,
        handle.form,
        settings,
        {split: rendered.report for split, rendered in reports.items()},
        steps,
        processes,
        method.first_loss(settings),
    )


def _state(
    method: Method,
    handle: DatasetHandle,
    output: Path,
    settings: RunSettings,
    overwrite: bool,
    processes: PartialState,
    quiet: bool,
) -> State:
    """The state folder: taken up where the very same run was killed; where another was, refused if it got anywhere."""
    told: dict[str, Any] = {**settings.document(), "dataset": handle.sha256, "processes": processes.num_processes}
    told["method"] = method.name
    told["model_files"] = [_files(name) for name in (settings.model, reference_of(settings)) if name]
    told.pop("reference_cache", None)  # its place changes no number
    told["chat_template_sha256"] = file_sha256(settings.chat_template) if settings.chat_template else None
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
