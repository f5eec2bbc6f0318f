"""How sure a pair's label is, in the loss: weights, smoothing and offsets. Formulas and sources: docs/training.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from prefdata.errors import UsageError
from prefdata_trainer.settings import DpoSettings

COLUMNS = ["margin", "probability"]
MOST_SMOOTHING = 0.49
"""At 0.5 a label says nothing, and the robust loss divides by 1 - 2 * 0.5."""


def required(settings: DpoSettings) -> set[str]:
    """The columns that every pair must have."""
    found = {settings.weight_by} - {None} if settings.weight_by else set()
    if settings.smoothing and settings.disagreement is None:
        found.add("probability")
    if settings.margin_offset is not None:
        found.add("margin")
    return {str(name) for name in found}


def check(settings: DpoSettings, kept: int, given: Mapping[str, int]) -> None:
    """Raise UsageError where pairs lack a column that the loss needs."""
    for name in sorted(required(settings)):
        missing = kept - given.get(name, 0)
        if missing:
            raise UsageError(
                f"{missing:,} of {kept:,} pairs have no {name}, which the loss was to use",
                "prefdata judge and pair write it where judges give it"
                + ("; or tell one rate for all: --disagreement 0.1" if name == "probability" else ""),
            )


def values(
    settings: DpoSettings, data: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], tuple[float, float, float]] | None:
    """Weight, smoothing and offset of a row; None where none takes part in the loss.

    ``data`` are the rendered pairs by split; the mean of the weights is that of the pairs to train on. Raises
    UsageError where a margin cannot be used: a logarithm of 0 or less, or weights that are all 0.
    """
    if not settings.uses_confidence:
        return None
    mean = 1.0
    if settings.weight_by:
        mean = float(np.mean([_worth(settings, row) for row in data["train"].select_columns(COLUMNS)]))
        if mean <= 0:
            raise UsageError(f"no pair has a {settings.weight_by} that gives it any weight", "leave out --weight-by")
    least = min(min(rows["margin"]) for rows in data.values()) if settings.margin_offset is not None else 1.0
    if settings.offset_of == "log" and least <= 0:
        raise UsageError(
            "a margin of 0 or less has no logarithm", "pass --offset-of linear, or pair again with --min-margin"
        )

    def of_row(row: Mapping[str, Any]) -> tuple[float, float, float]:
        weight = _worth(settings, row) / mean if settings.weight_by else 1.0
        return weight, _smoothing(settings, row), _offset(settings, row)

    return of_row


def _worth(settings: DpoSettings, row: Mapping[str, Any]) -> float:
    """The margin, or 2 p - 1: 0 where the judges were split, 1 where they were sure."""
    return float(max(0.0, row["margin"] if settings.weight_by == "margin" else 2 * row["probability"] - 1))


def _smoothing(settings: DpoSettings, row: Mapping[str, Any]) -> float:
    if settings.smoothing is None:
        return 0.0
    rate = 1 - row["probability"] if settings.disagreement is None else settings.disagreement
    return float(min(max(rate, 0.0), MOST_SMOOTHING if settings.smoothing == "robust" else 1.0))


def _offset(settings: DpoSettings, row: Mapping[str, Any]) -> float:
    if settings.margin_offset is None:
        return 0.0
    margin = row["margin"]
    return float(settings.margin_offset * (math.log(margin) if settings.offset_of == "log" else margin))


def losses(margins: torch.Tensor, confidence: torch.Tensor, smoothing: str | None) -> torch.Tensor:
    """The sigmoid loss of each pair, (pairs,), from reward margins (pairs,) and ``values`` (pairs, 3)."""
    weight, rate, offset = confidence.to(margins.dtype).unbind(dim=1)
    right, wrong = -logsigmoid(margins - offset), -logsigmoid(offset - margins)
    if smoothing == "robust":
        return weight * ((1 - rate) * right - rate * wrong) / (1 - 2 * rate)
    return weight * ((1 - rate) * right + rate * wrong)
