"""What a run is going to do, as a value that can be printed before anything is loaded or trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefdata.rendering import Preview, RenderReport
from prefdata.rendering.preview import LEGEND
from prefdata_trainer.memory import Memory
from prefdata_trainer.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs, tokens and steps of a run, before it begins."""

    method: str
    """dpo, orpo, kto or reward."""
    dataset: Path
    dataset_sha256: str
    form: str
    settings: RunSettings
    reports: Mapping[str, RenderReport]
    """By split: train, and eval where the dataset has one."""
    steps: int
    processes: int
    first_loss: float | None
    """The loss before the first step, where it does not depend on the model or the data."""
    memory: Memory | None = None
    previews: tuple[Preview, ...] = field(default=())

    @property
    def report(self) -> RenderReport:
        """Of the pairs to train on."""
        return self.reports["train"]

    @property
    def evaluated(self) -> int:
        """Pairs of the split eval."""
        return self.reports["eval"].kept if "eval" in self.reports else 0

    def document(self) -> dict[str, Any]:
        """The plan as a JSON document."""
        found: dict[str, Any] = {
            "method": self.method,
            "dataset": str(self.dataset),
            "dataset_sha256": self.dataset_sha256,
            "form": self.form,
            "pairs": self.report.as_dict(),
            "eval_pairs": self.reports["eval"].as_dict() if "eval" in self.reports else None,
            "steps": self.steps,
            "processes": self.processes,
            "expected_first_loss": self.first_loss,
            "settings": self.settings.document(),
        }
        if self.memory is not None:
            found["memory"] = self.memory.document()
        if self.previews:
            found["preview"] = [preview.document() for preview in self.previews]
        return found

    def lines(self, *, colour: bool = False) -> list[str]:
        """The plan for a person to read."""
        settings, report = self.settings, self.report
        masked = report.completion_tokens - report.trained_tokens
        adapter = "every weight" if settings.full else f"LoRA r {settings.lora_r}, alpha {settings.lora_alpha}"
        reference = getattr(settings, "model_ref", "none")
        lines = [
            f"dataset     {self.dataset} ({self.form}, sha256 {self.dataset_sha256[:12]})",
            f"model       {settings.model} ({adapter})"
            + ("" if reference == "none" else f", reference {reference or 'the model before training'}"),
        ]
        for split, found in self.reports.items():
            name = "pairs" if split == "train" else split
            lines.append(f"{name:11} {found.kept:,} kept, {found.seen - found.kept:,} dropped")
            lines += [f"            {line}" for line in found.summary()]
        of = "sides" if self.method == "kto" else "pairs"
        lines += [
            (
                f"tokens      {report.trained_tokens:,} in the loss, {masked:,} masked after the prompt, "
                f"{report.prompt_tokens:,} of prompt; longest pair {report.longest:,}"
            ),
            (
                f"steps       {self.steps:,}: {settings.epochs:g} epoch(s) of {settings.batch_size} x "
                f"{settings.gradient_accumulation} x {self.processes} {of} a step"
            ),
            f"first loss  {expectation(self.first_loss)}",
        ]
        if self.memory is not None:
            lines.append(f"memory      {self.memory.line()}")
        if self.previews:
            lines += ["", LEGEND[colour]]
        for preview in self.previews:
            lines += ["", *preview.lines(colour=colour)]
        return lines


def expectation(loss: float | None) -> str:
    """What the first loss should be, in words.

    >>> expectation(math.log(2)), expectation(None)
    ('0.6931 expected (ln 2)', 'depends on model and data')
    """
    if loss is None:
        return "depends on model and data"
    return f"{loss:.4f} expected" + (" (ln 2)" if loss == math.log(2) else "")
