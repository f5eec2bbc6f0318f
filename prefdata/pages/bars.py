"""Histograms and bars as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from prefdata.pages.plots import LABEL, PLOT, ROW, VALUE

HEIGHT, LEFT, FOOT = 170, 60, 44
"""Pixels: of the drawing, of the axis of counts, of the axis of values with its caption."""
KINDS = ("mark", "other")


class Counts(NamedTuple):
    """How many values fall into each of equal steps from ``start``; the last bin holds all that lie beyond it too."""

    start: float
    step: float
    counts: Sequence[int]
    below: bool = False
    """Whether the first bin holds all that lie below it."""
    beyond: bool = False
    """Whether the last bin holds more than its step."""


def histogram(series: Sequence[tuple[str, Counts]], caption: str, *, zero: bool = False) -> str:
    """One or two series over the same steps, side by side in each; with ``zero`` a dashed line stands at 0."""
    first = series[0][1]
    bins, width = len(first.counts), LABEL + PLOT + VALUE
    inner = width - LEFT - 10
    tallest = max((count for _, one in series for count in one.counts), default=0) or 1
    top = 14 if len(series) == 1 else 30

    def x(value: float) -> float:
        return round(LEFT + inner * (value - first.start) / (first.step * bins), 1)

    bottom = top + HEIGHT
    made = [f'<svg viewBox="0 0 {width} {bottom + FOOT}" width="{width}" role="img"><title>{escape(caption)}</title>']
    for share in (0.5, 1.0):
        y = round(bottom - HEIGHT * share, 1)
        made.append(f'<line class="axis" x1="{LEFT}" x2="{width - 10}" y1="{y}" y2="{y}"/>')
        made.append(f'<text class="dim" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{_short(tallest * share)}</text>')
    for place, (name, one) in enumerate(series):
        kind = KINDS[place % len(KINDS)]
        if len(series) > 1:
            left = LEFT + 130 * place
            made.append(f'<rect class="{kind}" x="{left}" y="4" width="12" height="12"/>')
            made.append(f'<text x="{left + 18}" y="14">{escape(name)}</text>')
        made.extend(_bars(one, place, len(series), x, bottom, tallest, name, kind))
    made.append(f'<line class="axis" x1="{LEFT}" x2="{width - 10}" y1="{bottom}" y2="{bottom}"/>')
    if zero and first.start < 0 < first.start + first.step * bins:
        made.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="{top - 8}" y2="{bottom}"/>')
    every = max(1, -(-bins // 8))
    for index in range(0, bins + 1, every):
        value = first.start + first.step * index
        sign = "≥ " if first.beyond and index + every > bins and index == bins - 1 else ""
        made.append(
            f'<text class="dim" x="{x(value)}" y="{bottom + 16}" text-anchor="middle">{sign}{_short(value)}</text>'
        )
    made.append(
        f'<text class="dim" x="{LEFT + inner / 2}" y="{bottom + 36}" text-anchor="middle">{escape(caption)}</text>'
    )
    return "".join([*made, "</svg>"])


def _bars(
    one: Counts, place: int, many: int, x: object, bottom: float, tallest: int, name: str, kind: str
) -> Sequence[str]:
    assert callable(x)
    made = []
    for index, count in enumerate(one.counts):
        if not count:
            continue
        start, end = x(one.start + one.step * index), x(one.start + one.step * (index + 1))
        wide = (end - start) / many
        height = round(max(0.75, HEIGHT * count / tallest), 1)
        low, high = one.start + one.step * index, one.start + one.step * (index + 1)
        said = _short(low) if one.step == 1 else f"{_short(low)} to {_short(high)}"
        if one.below and index == 0:
            said = f"below {_short(high)}"
        if one.beyond and index == len(one.counts) - 1:
            said = f"{_short(low)} or more"
        title = escape(f"{name}: {said}: {count:,}")
        made.append(
            f'<rect class="{kind}" x="{start + wide * place + 0.5:.1f}" y="{bottom - height:.1f}" '
            f'width="{max(1.0, wide - 1):.1f}" height="{height}"><title>{title}</title></rect>'
        )
    return made


def bars(rows: Sequence[tuple[str, int]], *, kinds: Sequence[str] = ()) -> str:
    """One bar for each label, with its count; ``kinds`` are classes for their colours."""
    height, width = ROW * max(1, len(rows)), LABEL + PLOT + VALUE
    largest = max((count for _, count in rows), default=0) or 1
    made = [f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img">']
    for place, (label, count) in enumerate(rows):
        y = ROW * place
        kind = kinds[place] if kinds else "mark"
        short = label if len(label) <= 36 else label[:35] + "…"
        long = round(max(1.0, PLOT * count / largest), 1)
        title = f"<title>{escape(f'{label}: {count:,}')}</title>"
        made.append(f'<text x="0" y="{y + 17}">{escape(short)}{title}</text>')
        made.append(f'<rect class="{kind}" x="{LABEL}" y="{y + 5}" width="{long}" height="16">{title}</rect>')
        made.append(f'<text x="{LABEL + long + 8}" y="{y + 17}">{count:,}</text>')
    return "".join([*made, "</svg>"])


def _short(value: float) -> str:
    """A number in few signs: 1.5k for 1,500.

    >>> _short(1500), _short(20), _short(-2500000.0)
    ('1.5k', '20', '-2.5M')
    """
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"
