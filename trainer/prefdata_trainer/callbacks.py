"""What happens beside the training loop: progress on stderr, and checkpoints that are known to be whole."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click
import orjson
from accelerate import PartialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from prefdata.records.output import write_json

WHOLE = "whole.json"
SECONDS_BETWEEN_LINES = 10.0


class Checkpoints(TrainerCallback):
    """Marks a checkpoint as whole once all its files are written.

    Steps at which one is saved are logged, too, so that no logged average spans a point from which a run may go on: the
    metrics of an interrupted run are those of an undisturbed one.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log = control.should_log or control.should_save

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        processes = PartialState()
        processes.wait_for_everyone()
        if processes.is_main_process:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(folder / WHOLE, {path.name: path.stat().st_size for path in sorted(folder.iterdir())})


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the latest step that was written to its end; what lies beside it half-written is removed."""
    found = None
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        try:
            files = orjson.loads((path / WHOLE).read_bytes())
            whole = all((path / name).stat().st_size == size for name, size in files.items())
        except (OSError, orjson.JSONDecodeError):
            whole = False
        if not whole:
            shutil.rmtree(path)
        elif found is None:
            found = path
    return found


class Reporter(TrainerCallback):
    """A bar with what is left on a terminal, a plain line now and then elsewhere; both on stderr."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self._bar: Progress | None = None
        self._task: Any = None
        self._last = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.quiet or not state.is_world_process_zero:
            return
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[figures]}"), console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("train", total=state.max_steps, completed=state.global_step, figures="")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs.get("logs")
        if self.quiet or not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        figures = f"loss {logs['loss']:.4f}"
        if "rewards/margins" in logs:
            figures += f"  margin {logs['rewards/margins']:+.3f}  accuracy {logs['rewards/accuracies']:.2f}"
        if self._bar is not None:
            self._bar.update(self._task, figures=figures)
        elif time.monotonic() - self._last > SECONDS_BETWEEN_LINES or state.global_step >= state.max_steps:
            self._last = time.monotonic()
            click.echo(f"step {state.global_step}/{state.max_steps}  {figures}", err=True)

    def stop(self) -> None:
        """Leave the terminal as it was, also where training failed."""
        if self._bar is not None:
            self._bar.stop()
