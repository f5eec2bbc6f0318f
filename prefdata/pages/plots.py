"""Plots as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from prefdata.stats import Estimate, Rate

LABEL, PLOT, VALUE, ROW = 250, 430, 170, 26
"""Pixels: the columns of a plot, and the height of one line in it."""


class Line(NamedTuple):
    """One line of a plot."""

    label: str
    found: Estimate | Rate


def forest(lines: Sequence[Line], low: float, high: float, zero: float | None, *, digits: int = 2) -> str:
    """Points with their intervals on one axis from ``low`` to ``high``, a dashed line at ``zero``.

    Values are written with ``digits`` after the point.
    """
    height, width = ROW * (len(lines) + 1), LABEL + PLOT + VALUE

    def x(value: float) -> float:
        return round(LABEL + PLOT * (min(max(value, low), high) - low) / (high - low), 1)

    def shown(value: float) -> str:
        return f"{value:.{digits}f}"

    bottom = height - ROW + 4
    described = "; ".join(f"{label}: {_said(found, shown)}" for label, found in lines)
    made = [f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{escape(described)}">']
    for tick in (low, (low + high) / 2, high):
        made.append(f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="4" y2="{bottom}"/>')
        made.append(f'<text class="dim" x="{x(tick)}" y="{bottom + 15}" text-anchor="middle">{tick:g}</text>')
    if zero is not None:
        made.append(f'<line class="zero" x1="{x(zero)}" x2="{x(zero)}" y1="4" y2="{bottom}"/>')
    for place, (label, found) in enumerate(lines):
        y = 4 + ROW * place + ROW / 2
        short = label if len(label) <= 36 else label[:35] + "…"
        title = escape(f"{label}: {found.value}")
        made.append(f'<text x="0" y="{y + 4}">{escape(short)}<title>{title}</title></text>')
        if found.value is None:
            made.append(f'<text class="dim" x="{LABEL + PLOT + 12}" y="{y + 4}">undefined</text>')
            continue
        if found.low is not None and found.high is not None:
            made.append(f'<line class="band" x1="{x(found.low)}" x2="{x(found.high)}" y1="{y}" y2="{y}"/>')
        made.append(f'<circle class="mark" cx="{x(found.value)}" cy="{y}" r="4.5"><title>{title}</title></circle>')
        made.append(f'<text x="{LABEL + PLOT + 12}" y="{y + 4}">{_said(found, shown)}</text>')
    return "".join([*made, "</svg>"])


def _said(found: Estimate | Rate, shown: Callable[[float], str]) -> str:
    """A value and its interval in words."""
    if found.value is None:
        return "undefined"
    if found.low is None or found.high is None:
        return shown(found.value)
    return f"{shown(found.value)} ({shown(found.low)} to {shown(found.high)})"


def least(lines: Sequence[Line]) -> float:
    """The lower end of an axis of coefficients: 0, or -1 where one is below."""
    return -1.0 if any((line.found.low or line.found.value or 0) < 0 for line in lines) else 0.0
