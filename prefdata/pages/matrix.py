"""A table of everyone against everyone, each cell as dark as its value is high."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Cell(NamedTuple):
    """One cell: a share in [0, 1], or None where there is nothing to say, and what stands in the tooltip."""

    share: float | None
    title: str = ""


def matrix(names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """``rows[i][j]`` is what i has against j; columns are numbered as the rows are, so that long names fit."""
    heads = "".join(f'<th title="{escape(name)}">{place}</th>' for place, name in enumerate(names, start=1))
    made = [f'<table class="matrix"><tr><th></th>{heads}</tr>']
    for place, (name, cells) in enumerate(zip(names, rows, strict=True), start=1):
        shown = "".join(
            '<td class="dim">–</td>'
            if cell.share is None
            else f'<td style="--share:{cell.share:.3f}" title="{escape(cell.title)}">{100 * cell.share:.0f}</td>'
            for cell in cells
        )
        made.append(f"<tr><td>{place} {escape(name)}</td>{shown}</tr>")
    return "".join([*made, "</table>"])
