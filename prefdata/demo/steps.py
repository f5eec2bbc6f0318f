"""The commands of the demo, in order: each is a real command in a process of its own, printed before it runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefdata.errors import PrefdataError

RULE = "rule:python:prefdata.demo.task:score"
TINY = ("python", "-m", "prefdata_trainer.tiny")
SAMPLING = ("--temperature", "1", "--max-tokens", "64")
TRAINING = ("--beta", "0.2", "--learning-rate", "3e-3", "--epochs", "2", "--lora-dropout", "0")
BATCHES = ("--batch-size", "16", "--gradient-accumulation", "1")
DPO = ("--loss-type", "sigmoid", "--loss-type", "sft", "--loss-weights", "1", "--loss-weights", "0.2")
SFT = ("--loss-type", "sft")


@dataclass(frozen=True, slots=True)
class Size:
    """How much the demo does."""

    prompts: int = 1000
    """Prompts whose answers are judged and trained on."""
    held_out: int = 400
    """Prompts on which base and tuned are compared; their cities are in no training prompt."""
    samples: int = 4
    """Answers per prompt."""
    steps: int = 240
    """Optimizer steps of the base model's training from scratch."""


class Steps:
    """Runs commands in ``folder`` and says each before it runs."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        # A model this small gains nothing from threads, and loses much where they wait for each other.
        self.environment = {"OMP_NUM_THREADS": "1", **os.environ}

    def run(self, *command: str, title: str | None = None, findings: bool = False, capture: bool = False) -> str:
        """Run ``command``; raises PrefdataError when it fails (exit code 1 is no failure with ``findings``)."""
        self.announce(command, title)
        finished = subprocess.run(
            self._executable(command),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        if finished.returncode == 130:
            raise KeyboardInterrupt
        if finished.returncode != 0 and not (findings and finished.returncode == 1):
            raise PrefdataError(
                f"a step of the demo failed with exit code {finished.returncode}: {shlex.join(command)}",
                f"its own message stands above; run it by itself in {self.folder}",
            )
        return finished.stdout or ""

    @contextmanager
    def serving(self, *command: str, title: str) -> Iterator[str]:
        """A server in the background for as long as the block runs; gives its base URL."""
        self.announce((*command, "&"), title)
        process = subprocess.Popen(
            self._executable(command),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().strip()
            if not ready:
                raise PrefdataError(f"the server of the demo did not start: {shlex.join(command)}")
            self.say(ready)
            yield ready.rsplit(" ", 1)[-1]
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def announce(self, command: Sequence[str], title: str | None) -> None:
        """Say what comes next and the command as a reader would type it."""
        if title:
            self.say(f"\n# {title}")
        self.say("$ " + " ".join(part if part == "&" else shlex.quote(part) for part in command))

    @staticmethod
    def _executable(command: Sequence[str]) -> list[str]:
        """The same command by this very interpreter, whatever the PATH says."""
        if command[0] == "prefdata":
            return [sys.executable, "-m", "prefdata", *command[1:]]
        return [sys.executable, *command[1:]]
