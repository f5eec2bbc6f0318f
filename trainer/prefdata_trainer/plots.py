"""The curves of a run as one picture: loss, rewards, log-probabilities, and the margin of every pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from prefdata_trainer.outcome import Outcome

CHOSEN, REJECTED, MARGIN, PALE = "#1a7f5a", "#c2452d", "#2b5aa0", "#9aa3ad"
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929b",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e7eaee",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.color": "#4c545c",
    "ytick.color": "#4c545c",
}


def draw(outcome: Outcome, path: Path) -> None:
    """Write the four panels as a PNG of 1600 x 1040 pixels."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.5), dpi=160, layout="constrained")
        axes = figure.subplots(2, 2)
        _loss(axes[0, 0], outcome)
        _rewards(axes[0, 1], outcome)
        _logps(axes[1, 0], outcome)
        _margins(axes[1, 1], outcome)
        for axis in (axes[0, 0], axes[0, 1], axes[1, 0]):
            axis.set_xlabel("optimizer step")
        # Without the version and date that matplotlib puts in, the same run gives the same bytes.
        figure.savefig(path, metadata={"Software": None, "Creation Time": None})


def _series(outcome: Outcome, name: str) -> tuple[list[int], list[float]]:
    entries = [entry for entry in outcome.metrics if name in entry]
    return [int(entry["step"]) for entry in entries], [entry[name] for entry in entries]


def _line(axis: Any, outcome: Outcome, name: str, **style: Any) -> None:
    """One curve; a long one as its running mean over what was logged."""
    steps, values = _series(outcome, name)
    window = len(values) // 12
    if window > 1:
        axis.plot(steps, values, linewidth=0.9, alpha=0.3, color=style["color"])
        padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="edge")
        values = list(np.convolve(padded, np.ones(window) / window, mode="valid"))
    axis.plot(steps, values, linewidth=1.7, marker="o" if len(steps) < 15 else None, markersize=3, **style)


def _loss(axis: Any, outcome: Outcome) -> None:
    axis.set_title("Loss")
    _line(axis, outcome, "loss", color=MARGIN)
    expected = outcome.plan.first_loss
    if expected is not None:
        axis.axhline(expected, color=PALE, linewidth=1, linestyle="--", label=f"before training: {expected:.3f}")
        axis.legend()


def _rewards(axis: Any, outcome: Outcome) -> None:
    axis.set_title("Rewards  (beta x log-ratio to the reference)")
    _line(axis, outcome, "rewards/chosen", color=CHOSEN, label="chosen")
    _line(axis, outcome, "rewards/rejected", color=REJECTED, label="rejected")
    _line(axis, outcome, "rewards/margins", color=MARGIN, label="margin", linestyle="--")
    axis.axhline(0, color=PALE, linewidth=1)
    axis.legend()


def _logps(axis: Any, outcome: Outcome) -> None:
    axis.set_title("Log-probability of a completion")
    _line(axis, outcome, "logps/chosen", color=CHOSEN, label="chosen")
    _line(axis, outcome, "logps/rejected", color=REJECTED, label="rejected")
    axis.legend()


def _margins(axis: Any, outcome: Outcome) -> None:
    axis.set_title("Margin of every pair")
    before, after = (np.asarray(outcome.pairs[f"margin_{when}"]) for when in ("before", "after"))
    low, high = (float(edge(np.concatenate([before, after]))) for edge in (np.min, np.max))
    bins = np.linspace(low, high if high > low else low + 1, int(np.clip(2 * np.sqrt(len(after)), 8, 40)) + 1)
    axis.hist(after, bins=bins, color=MARGIN, edgecolor="white", linewidth=0.4, label="after")
    if np.ptp(before) > 0:
        axis.hist(before, bins=bins, histtype="step", color="#333a42", linewidth=1.4, label="before")
    else:
        axis.axvline(float(before[0]), color="#333a42", linewidth=1.4, label=f"before: {before[0]:g}")
    axis.set_xlabel("chosen reward - rejected reward")
    axis.set_ylabel("pairs")
    axis.legend()
