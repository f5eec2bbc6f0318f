"""What a run has done, as a value that can be printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefdata_trainer.method import Method
from prefdata_trainer.plan import Plan

FIRST_LOSS_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run."""

    plan: Plan
    method: Method
    output: Path
    metrics: list[dict[str, float]]
    """What was logged, step by step."""
    pairs: dict[str, Any]
    """Columns of per_pair.parquet."""
    versions: dict[str, str]
    trained_parameters: int
    all_parameters: int
    divergence: float | None
    """KL to the reference in nats a token, where it was measured."""
    best_step: int | None
    """The step whose checkpoint is the result, where that was decided by evaluations."""
    warnings: list[str]
    speed: dict[str, Any]
    """What was done to be quicker, and what was not and why."""

    @property
    def losses(self) -> list[tuple[int, float]]:
        """Step and loss, where it was logged."""
        return [(int(entry["step"]), entry["loss"]) for entry in self.metrics if "loss" in entry]

    def results(self) -> dict[str, float]:
        """The figures of the run; a pair whose margin is 0 counts half towards accuracy."""
        found = {"first_loss": self.losses[0][1], "last_loss": self.losses[-1][1], **self._of_split("train")}
        if "eval" in self.pairs["split"]:
            found |= {f"eval_{name}": value for name, value in self._of_split("eval").items()}
            evaluated = [entry["eval_loss"] for entry in self.metrics if "eval_loss" in entry]
            found["eval_loss"] = evaluated[-1]
        if self.divergence is not None:
            found["kl_to_reference"] = self.divergence
        return found

    def _of_split(self, split: str) -> dict[str, float]:
        of_split = np.asarray(self.pairs["split"]) == split
        before, after = (np.asarray(self.pairs[f"margin_{when}"])[of_split] for when in ("before", "after"))
        return {
            "margin_before": float(before.mean()),
            "margin_after": float(after.mean()),
            "accuracy_before": accuracy(before),
            "accuracy_after": accuracy(after),
            **{
                f"{side}_reward_after": float(np.mean(np.asarray(self.pairs[f"{side}_reward_after"])[of_split]))
                for side in ("chosen", "rejected")
            },
        }

    def document(self) -> dict[str, Any]:
        """The outcome as a JSON document."""
        return {
            "output": str(self.output),
            **self.plan.document(),
            "results": self.results(),
            "warnings": self.warnings,
            "best_step": self.best_step,
            "trained_parameters": self.trained_parameters,
            "all_parameters": self.all_parameters,
            "speed": self.speed,
            "versions": self.versions,
        }

    def lines(self, *, colour: bool = False) -> list[str]:
        """The outcome for a person to read."""
        found = self.results()
        share = 100 * self.trained_parameters / self.all_parameters
        lines = [
            (
                f"trained     {self.output}: {self.plan.report.kept:,} pairs, {self.losses[-1][0]:,} steps, "
                f"{self.trained_parameters:,} parameters ({share:.2g}%)"
            ),
            f"loss        {found['first_loss']:.4f} at the first step, {found['last_loss']:.4f} at the last",
            f"margin      {found['margin_before']:+.4f} before, {found['margin_after']:+.4f} after (mean over pairs)",
            (
                f"accuracy    {found['accuracy_before']:.1%} before, {found['accuracy_after']:.1%} after, on the pairs "
                "trained on (ties count half)"
            ),
        ]
        if "eval_loss" in found:
            lines.append(
                f"held out    {found['eval_accuracy_before']:.1%} before, {found['eval_accuracy_after']:.1%} after, on "
                f"{self.plan.evaluated:,} pairs of the split eval; loss {found['eval_loss']:.4f}"
            )
        if self.best_step is not None:
            lines.append(f"best        the checkpoint of step {self.best_step:,}, by its loss on the split eval")
        if "kl_to_reference" in found:
            lines.append(
                f"KL          {found['kl_to_reference']:.4f} nats a token from the reference, on tokens of the data"
            )
        expected = self.plan.first_loss
        if expected is not None and abs(found["first_loss"] - expected) > FIRST_LOSS_TOLERANCE:
            lines.append(
                f"warning     the first loss should be {expected:.4f}: policy and reference differed at the start"
            )
        return [*lines, *(f"warning     {message}" for message in self.warnings)]


def accuracy(margins: Any) -> float:
    """The share of pairs whose chosen side has the higher reward; ties count half.

    >>> accuracy(np.array([1.0, 0.0, -1.0, 2.0]))
    0.625
    """
    return float(np.mean((margins > 0) + 0.5 * (margins == 0)))
