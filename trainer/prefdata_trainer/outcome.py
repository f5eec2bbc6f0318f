"""What a run is going to do, and what it has done, as values that can be printed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefdata.rendering import RenderReport
from prefdata_trainer.settings import DpoSettings

FIRST_LOSS = {
    "sigmoid": math.log(2),
    "robust": math.log(2),
    "sigmoid_norm": math.log(2),
    "aot": math.log(2),
    "aot_unpaired": math.log(2),
    "hinge": 1.0,
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "bco_pair": 2 * math.log(2),
    "nca_pair": 2 * math.log(2),
}
"""The loss of TRL's DPOTrainer where policy and reference agree, so that both log-ratios are 0."""


def expected_first_loss(settings: DpoSettings) -> float | None:
    """The loss before the first step: ln 2 for DPO; None where it depends on the model or the data."""
    if settings.model_ref is not None or any(name not in FIRST_LOSS for name in settings.loss_type):
        return None
    if {"init_lora_weights", "use_weighting"} & set(settings.passed):
        return None
    weights = settings.loss_weights or (1.0,) * len(settings.loss_type)
    return sum(weight * FIRST_LOSS[name] for name, weight in zip(settings.loss_type, weights, strict=True))


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs, tokens and steps of a run, before it begins."""

    dataset: Path
    dataset_sha256: str
    form: str
    settings: DpoSettings
    report: RenderReport
    steps: int
    processes: int

    def document(self) -> dict[str, Any]:
        """The plan as a JSON document."""
        return {
            "dataset": str(self.dataset),
            "dataset_sha256": self.dataset_sha256,
            "form": self.form,
            "pairs": self.report.as_dict(),
            "steps": self.steps,
            "processes": self.processes,
            "expected_first_loss": expected_first_loss(self.settings),
            "settings": self.settings.document(),
        }

    def lines(self) -> list[str]:
        """The plan for a person to read."""
        settings, report = self.settings, self.report
        masked = report.completion_tokens - report.trained_tokens
        first = expected_first_loss(settings)
        adapter = "every weight" if settings.full else f"LoRA r {settings.lora_r}, alpha {settings.lora_alpha}"
        dropped = report.seen - report.kept
        return [
            f"dataset     {self.dataset} ({self.form}, sha256 {self.dataset_sha256[:12]})",
            f"model       {settings.model} ({adapter}), reference {settings.model_ref or 'the model before training'}",
            f"pairs       {report.kept:,} kept, {dropped:,} dropped",
            *(f"            {line}" for line in report.summary()),
            (
                f"tokens      {report.trained_tokens:,} in the loss, {masked:,} masked after the prompt, "
                f"{report.prompt_tokens:,} of prompt; longest pair {report.longest:,}"
            ),
            (
                f"steps       {self.steps:,}: {settings.epochs:g} epoch(s) of {settings.batch_size} x "
                f"{settings.gradient_accumulation} x {self.processes} pairs a step"
            ),
            f"first loss  {_expectation(first)}",
        ]


def _expectation(loss: float | None) -> str:
    """What the first loss should be, in words.

    >>> _expectation(math.log(2)), _expectation(None)
    ('0.6931 expected (ln 2)', 'depends on model and data')
    """
    if loss is None:
        return "depends on model and data"
    return f"{loss:.4f} expected" + (" (ln 2)" if loss == math.log(2) else "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run."""

    plan: Plan
    output: Path
    metrics: list[dict[str, float]]
    """What was logged, step by step."""
    pairs: dict[str, Any]
    """Columns of per_pair.parquet."""
    versions: dict[str, str]
    trained_parameters: int
    all_parameters: int
    speed: dict[str, Any]
    """What was done to be quicker, and what was not and why."""

    @property
    def losses(self) -> list[tuple[int, float]]:
        """Step and loss, where it was logged."""
        return [(int(entry["step"]), entry["loss"]) for entry in self.metrics if "loss" in entry]

    def results(self) -> dict[str, float]:
        """The figures of the run; a pair whose margin is 0 counts half towards accuracy."""
        before, after = (np.asarray(self.pairs[f"margin_{when}"]) for when in ("before", "after"))
        return {
            "first_loss": self.losses[0][1],
            "last_loss": self.losses[-1][1],
            "margin_before": float(before.mean()),
            "margin_after": float(after.mean()),
            "accuracy_before": accuracy(before),
            "accuracy_after": accuracy(after),
            "chosen_reward_after": float(np.mean(self.pairs["chosen_reward_after"])),
            "rejected_reward_after": float(np.mean(self.pairs["rejected_reward_after"])),
        }

    def document(self) -> dict[str, Any]:
        """The outcome as a JSON document."""
        return {
            "output": str(self.output),
            **self.plan.document(),
            "results": self.results(),
            "trained_parameters": self.trained_parameters,
            "all_parameters": self.all_parameters,
            "speed": self.speed,
            "versions": self.versions,
        }

    def lines(self) -> list[str]:
        """The outcome for a person to read."""
        found = self.results()
        share = 100 * self.trained_parameters / self.all_parameters
        lines = [
            (
                f"trained     {self.output}: {self.plan.report.kept:,} pairs, {self.plan.steps:,} steps, "
                f"{self.trained_parameters:,} parameters ({share:.2g}%)"
            ),
            f"loss        {found['first_loss']:.4f} at the first step, {found['last_loss']:.4f} at the last",
            f"margin      {found['margin_before']:+.4f} before, {found['margin_after']:+.4f} after (mean over pairs)",
            (
                f"accuracy    {found['accuracy_before']:.1%} before, {found['accuracy_after']:.1%} after, on the pairs "
                "trained on (ties count half)"
            ),
        ]
        expected = expected_first_loss(self.plan.settings)
        if expected is not None and abs(found["first_loss"] - expected) > FIRST_LOSS_TOLERANCE:
            lines.append(
                f"warning     the first loss should be {expected:.4f}: policy and reference differed at the start"
            )
        return lines


FIRST_LOSS_TOLERANCE = 0.01


def accuracy(margins: Any) -> float:
    """The share of pairs whose chosen side has the higher reward; ties count half.

    >>> accuracy(np.array([1.0, 0.0, -1.0, 2.0]))
    0.625
    """
    return float(np.mean((margins > 0) + 0.5 * (margins == 0)))
