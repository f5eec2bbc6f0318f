"""What happens beside the training loop: progress on stderr, checkpoints that are known to be whole, a clean stop."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import orjson
from accelerate import PartialState
from accelerate.utils import gather_object
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from prefdata.records.output import write_json

WHOLE = "whole.json"
SECONDS_BETWEEN_LINES = 10.0
FIGURES = (
    ("loss", "loss", ".4f"),
    ("margin", "rewards/margins", "+.3f"),
    ("margin", "margin", "+.3f"),
    ("accuracy", "rewards/accuracies", ".2f"),
    ("accuracy", "accuracy", ".2f"),
    ("logp chosen", "logps/chosen", ".1f"),
    ("rejected", "logps/rejected", ".1f"),
    ("KL", "kl/reference", ".4f"),
)
"""What is shown of a log entry: its name, its key and its format."""


class Checkpoints(TrainerCallback):
    """Marks a checkpoint as whole once all its files are written.

    Steps at which one is saved are logged, too, so that no logged average spans a point from which a run may go on: the
    metrics of an interrupted run are those of an undisturbed one. So is the last step, whatever is saved: the results
    tell its loss.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log = control.should_log or control.should_save or state.global_step >= state.max_steps

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


class Stop(TrainerCallback):
    """Turns the first SIGINT or SIGTERM into a checkpoint after the step at hand; the second stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self.training = False
        """Whether the optimizer and all else stand, and steps are taken."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.training = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for a while. Only a program's main thread gets any."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, _number: int, _frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if PartialState().num_processes > 1:  # a launcher's processes hear of it at different steps
            self.asked = any(gather_object([self.asked]))
        if self.asked:
            control.should_save = control.should_training_stop = True


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
        if self.quiet or not state.is_world_process_zero or not logs:
            return
        if "eval_loss" in logs:
            told = "  ".join(
                f"{name} {logs['eval_' + key]:{form}}" for name, key, form in FIGURES if "eval_" + key in logs
            )
            click.echo(f"eval at step {state.global_step}  {told}", err=True)
        if "loss" not in logs:
            return
        figures = "  ".join(f"{name} {logs[key]:{form}}" for name, key, form in FIGURES if key in logs)
        if self._bar is not None:
            self._bar.update(self._task, figures=figures)
        elif time.monotonic() - self._last > SECONDS_BETWEEN_LINES or state.global_step >= state.max_steps:
            self._last = time.monotonic()
            click.echo(f"step {state.global_step}/{state.max_steps}  {figures}", err=True)

    def stop(self) -> None:
        """Leave the terminal as it was, also where training failed."""
        if self._bar is not None:
            self._bar.stop()
