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
    "legend.frameon": True,  # a curve that runs behind it would be taken for a line through its words
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fontsize": 8,
    "xtick.color": "#4c545c",
    "ytick.color": "#4c545c",
}
PANEL = (5.0, 3.25)
"""Width and height of a panel in inches, at 160 pixels an inch."""
PANELS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Loss": (("loss", "train", MARGIN), ("eval_loss", "held out", REJECTED)),
    "{score}": (
        ("rewards/chosen", "chosen", CHOSEN),
        ("rewards/rejected", "rejected", REJECTED),
        ("rewards/margins", "margin", MARGIN),
        ("margin", "margin", MARGIN),
        ("mean_reward", "mean of both sides", PALE),
    ),
    "Log-probability of a completion": (
        ("logps/chosen", "chosen", CHOSEN),
        ("logps/rejected", "rejected", REJECTED),
    ),
    "Pairs ranked as in the data": (
        ("rewards/accuracies", "train", MARGIN),
        ("accuracy", "train", MARGIN),
        ("eval_rewards/accuracies", "held out", REJECTED),
        ("eval_accuracy", "held out", REJECTED),
    ),
    "KL to the reference, nats a token": (("kl/reference", "on tokens of the data", MARGIN),),
}
"""Panels by title, each with its curves: the logged name, the label and the colour."""


def draw(outcome: Outcome, path: Path) -> None:
    """Write a PNG of the panels whose figures the run has logged, and of the margins of all pairs."""
    logged = set().union(*outcome.metrics)
    panels = {title: [c for c in curves if c[0] in logged] for title, curves in PANELS.items()}
    panels = {title: curves for title, curves in panels.items() if curves}
    columns = 2 if len(panels) < 4 else 3
    rows = -(-(len(panels) + 1) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(columns * PANEL[0], rows * PANEL[1]), dpi=160, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for axis, (title, curves) in zip(axes, panels.items(), strict=False):
            axis.set_title(title.format(score=outcome.method.score.capitalize()))
            axis.set_xlabel("optimizer step")
            for name, label, color in curves:
                _line(axis, outcome, name, color=color, label=label)
            if title == "Loss" and outcome.plan.first_loss is not None:
                label = f"before training: {outcome.plan.first_loss:.3f}"
                axis.axhline(outcome.plan.first_loss, color=PALE, linewidth=1, linestyle="--", label=label)
            axis.legend()
        _margins(axes[len(panels)], outcome)
        for axis in axes[len(panels) + 1 :]:
            axis.set_visible(False)
        # Without the version and date that matplotlib puts in, the same run gives the same bytes.
        figure.savefig(path, metadata={"Software": None, "Creation Time": None})


def _line(axis: Any, outcome: Outcome, name: str, **style: Any) -> None:
    """One curve; a long one as its running mean over what was logged."""
    points: dict[int, float] = {}
    for entry in outcome.metrics:
        if name in entry:  # at the last step an earlier checkpoint may have been evaluated again
            points.setdefault(int(entry["step"]), entry[name])
    steps, values = list(points), list(points.values())
    window = len(values) // 12
    if window > 1:
        axis.plot(steps, values, linewidth=0.9, alpha=0.3, color=style["color"])
        padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="edge")
        values = list(np.convolve(padded, np.ones(window) / window, mode="valid"))
    axis.plot(steps, values, linewidth=1.7, marker="o" if len(steps) < 15 else None, markersize=3, **style)


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
    axis.set_xlabel(f"{outcome.method.score} of chosen - of rejected")
    axis.set_ylabel("pairs")
    axis.legend()
