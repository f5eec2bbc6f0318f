"""What the logged figures warn of, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
from transformers import TrainerCallback

from prefdata.errors import PrefdataError

RECENT = 5
"""Logged entries that a judgement rests on."""
FALLEN = 5.0
"""Nats by which chosen answers may become less likely, in the mean: e^-5 is 1/150."""
SATURATED = 5.0
"""A reward margin at which the gradient of the sigmoid loss is 1 - sigmoid(5) = 0.7% of what it is at the start."""
FLAT = 0.01
"""The share of the first loss by which it must have fallen once a third of the steps is done."""


class Warned(NamedTuple):
    """A warning and its advice."""

    name: str
    message: str
    hint: str


def advice(history: Sequence[Mapping[str, Any]], first_loss: float | None, steps: int) -> list[Warned]:
    """The warnings that the logged entries call for, each once, in the order in which they came up."""
    found: dict[str, Warned] = {}
    logged = [entry for entry in history if "loss" in entry]
    for count in range(RECENT, len(logged) + 1):
        for rule in (_fallen, _saturated, _flat):
            if rule.__name__ not in found and (said := rule(logged[:count], first_loss, steps)):
                found[rule.__name__] = said
    return list(found.values())


def _mean(entries: Sequence[Mapping[str, Any]], name: str) -> float:
    values = [entry[name] for entry in entries[-RECENT:] if name in entry]
    return sum(values) / len(values) if len(values) == RECENT else math.nan


def _at(entries: Sequence[Mapping[str, Any]]) -> int:
    return int(entries[-1]["step"])


def _fallen(logged: Sequence[Mapping[str, Any]], _first: float | None, _steps: int) -> Warned | None:
    ratio = _mean(logged, "logratios/chosen")
    if not ratio < -FALLEN:
        return None
    return Warned(
        "chosen-falls",
        f"at step {_at(logged)} chosen answers are {-ratio:.1f} nats less likely than under the reference",
        "both sides become unlikely, and the model may answer something else (Pal et al. 2024): a higher --beta, a "
        "lower --learning-rate, or imitation beside it: --loss-type sigmoid --loss-type sft --loss-weights 1 "
        "--loss-weights 0.2",
    )


def _saturated(logged: Sequence[Mapping[str, Any]], _first: float | None, steps: int) -> Warned | None:
    margin = _mean(logged, "rewards/margins")
    if not margin > SATURATED or _mean(logged, "rewards/accuracies") < 0.99 or _at(logged) > 0.9 * steps:
        return None
    return Warned(
        "margin-saturated",
        f"at step {_at(logged)} the mean margin is {margin:.1f}: almost nothing is learned from here on",
        "fewer --epochs or a lower --learning-rate; and look whether the sides differ in something trivial (length, a "
        "phrase)",
    )


def _flat(logged: Sequence[Mapping[str, Any]], first: float | None, steps: int) -> Warned | None:
    loss = _mean(logged, "loss")
    if first is None or _at(logged) < steps / 3 or not abs(loss - first) < FLAT * first:
        return None
    return Warned(
        "loss-flat",
        f"at step {_at(logged)} of {steps} the loss is still {loss:.4f}, where it began",
        "a higher --learning-rate or --lora-r; and look whether the pairs contradict each other: prefdata validate",
    )


class Advisor(TrainerCallback):
    """Says each warning once while training goes on, and stops a run whose loss is not a number."""

    def __init__(self, first_loss: float | None, quiet: bool) -> None:
        self.first_loss = first_loss
        self.quiet = quiet
        self.said: set[str] = set()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs.get("logs") or {}
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise PrefdataError(
                f"the loss is {logs['loss']} at step {state.global_step}: nothing can be learned from here on",
                "a lower --learning-rate, --max_grad_norm 0.5 or --dtype float32, with --overwrite to begin anew",
            )
        if state.is_world_process_zero:
            for found in advice(state.log_history, self.first_loss, state.max_steps):
                if found.name not in self.said:
                    self.said.add(found.name)
                    if not self.quiet:
                        click.echo(f"warning: {found.message}\n  help: {found.hint}", err=True)
