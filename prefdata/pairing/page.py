"""An agreement report as one HTML page: tables and inline SVG plots, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from prefdata.pairing.agreement import Agreement, JudgeReport
from prefdata.stats import Estimate, Rate

LABEL, PLOT, VALUE, ROW = 250, 430, 170, 26
"""Pixels: the columns of a plot, and the height of one line in it."""

STYLE = """
:root { --ink:#1c2430; --dim:#67717f; --line:#d9dee5; --mark:#2360a5; --band:#2360a555; --back:#fff; --head:#f4f6f9 }
@media (prefers-color-scheme: dark) {
  :root { --ink:#e6e9ee; --dim:#98a3b3; --line:#3a4350; --mark:#7db2f0; --band:#7db2f055; --back:#161b22;
    --head:#1f2630 }
}
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--back); max-width:920px;
  margin:2rem auto; padding:0 1rem }
h1 { font-size:1.5rem } h2 { font-size:1.15rem; margin-top:2.2rem } h3 { font-size:1rem; margin-top:1.6rem }
p.note { color:var(--dim); margin:.2rem 0 .8rem } .wide { overflow-x:auto }
table { border-collapse:collapse; font-size:.87rem; font-variant-numeric:tabular-nums }
th,td { padding:.25rem .7rem .25rem 0; text-align:right; border-bottom:1px solid var(--line); white-space:nowrap }
th:first-child,td:first-child { text-align:left } th { font-weight:600; background:var(--head) }
svg { max-width:100%; height:auto } svg text { font-size:12px; fill:var(--ink) } svg .dim { fill:var(--dim) }
svg .axis { stroke:var(--line) } svg .zero { stroke:var(--dim); stroke-dasharray:3 3 }
svg .band { stroke:var(--mark); stroke-width:2 } svg .mark { fill:var(--mark) }
"""


class Line(NamedTuple):
    """One line of a plot."""

    label: str
    found: Estimate | Rate


def page(found: Agreement) -> str:
    """The whole page."""
    body = "".join([*_sections(found, "h2"), *_groups(found)])
    intro = f"{found.judgments} judgments; judges: {len(found.judges)}; bars are 95% intervals."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Agreement</title><style>{STYLE}</style></head>\n"
        f'<body><h1>Agreement</h1><p class="note">{intro}</p>{body}</body></html>\n'
    )


def _sections(found: Agreement, head: str) -> Iterable[str]:
    against = [Line(one.judge, one.accuracy.mean) for one in found.judges if one.accuracy is not None]
    if against:
        against += [Line(f"({one.name})", one.accuracy.mean) for one in found.baselines]
        note = f"Share of orders right, on {found.gold_couples} couples on which gold has a winner; dashed: chance."
        yield _section(head, "Right, against gold", note, _forest(against, 0, 1, 0.5))
    together = found.together
    lines = [
        Line("Krippendorff's alpha, nominal", together.alpha_nominal),
        Line("Krippendorff's alpha, ordinal", together.alpha_ordinal),
        *([Line("Kendall's W of rankings", together.kendall_w)] if together.ranked_sets else []),
    ]
    if together.units or together.ranked_sets:
        note = f"{together.units} couples with two judges or more"
        note += f", {together.ranked_sets} sets ranked whole." if together.ranked_sets else "."
        yield _section(head, "All judges together", note, _forest(lines, _least(lines), 1, 0))
    if found.between:
        lines = [Line(" – ".join(one.judges), one.kappa) for one in found.between]
        note = "Cohen's kappa of first, second and tie: 0 is chance, 1 is full agreement."
        yield _section(head, "Between judges", note, _forest(lines, _least(lines), 1, 0))
    judges = found.judges
    biases: list[tuple[str, str, list[Line], float | None]] = [
        ("Consistent", "The same outcome with sides swapped.", [Line(j.judge, j.orders_agree) for j in judges], None),
        ("First shown wins", "Dashed: no preference.", [Line(j.judge, j.first_shown) for j in judges], 0.5),
        ("Longer wins", "Dashed: no preference.", [Line(j.judge, j.longer) for j in judges if j.longer], 0.5),
    ]
    for title, note, lines, zero in biases:
        if any(line.found.value is not None for line in lines):
            yield _section(head, title, note, _forest(lines, 0, 1, zero))
    if found.models:
        note = "Bradley-Terry strengths, ties included, in Elo points around 1000."
        lines = [Line(one.model, one.elo) for one in found.models]
        ends = [end for line in lines for end in (line.found.low, line.found.high) if end is not None]
        low, high = (
            100 * round(end / 100 + side) for end, side in ((min([*ends, 950]), -0.5), (max([*ends, 1050]), 0.5))
        )
        plot = _forest(lines, low, high, 1000, percent=False)
        cells = [
            [one.model, str(one.votes), _percent(one.wins), _percent(one.ties), _percent(one.probability)]
            for one in found.models
        ]
        table = _table(["model", "votes", "won", "tied", "mean probability"], cells)
        yield _section(head, "Models", note, plot + table)
    yield _section(head, "Judges", "Shares of verdicts in %.", _table(*_judges(found.judges)))


def _groups(found: Agreement) -> Iterable[str]:
    for by in ("source", "criterion"):
        groups = [group for group in found.groups if group.by == by]
        if not groups:
            continue
        lines = [Line(group.name, group.agreement.together.alpha_ordinal) for group in groups]
        yield _section("h2", f"By {by}", "Krippendorff's alpha, ordinal.", _forest(lines, _least(lines), 1, 0))
        for group in groups:
            inner = "".join(_sections(group.agreement, "h3"))
            yield f"<details><summary>{escape(group.name)}</summary>{inner}</details>"


def _section(head: str, title: str, note: str, content: str) -> str:
    return f'<{head}>{escape(title)}</{head}><p class="note">{escape(note)}</p><div class="wide">{content}</div>\n'


def _forest(lines: Sequence[Line], low: float, high: float, zero: float | None, *, percent: bool = True) -> str:
    """Points with their intervals on one axis from ``low`` to ``high``, a dashed line at ``zero``."""
    height, width = ROW * (len(lines) + 1), LABEL + PLOT + VALUE

    def x(value: float) -> float:
        return round(LABEL + PLOT * (min(max(value, low), high) - low) / (high - low), 1)

    def shown(value: float) -> str:
        return f"{value:.2f}" if percent else f"{value:.0f}"

    bottom = height - ROW + 4
    made = [f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img">']
    for tick in (low, (low + high) / 2, high):
        made.append(f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="4" y2="{bottom}"/>')
        made.append(f'<text class="dim" x="{x(tick)}" y="{bottom + 15}" text-anchor="middle">{shown(tick)}</text>')
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
        said = shown(found.value)
        if found.low is not None and found.high is not None:
            made.append(f'<line class="band" x1="{x(found.low)}" x2="{x(found.high)}" y1="{y}" y2="{y}"/>')
            said += f" ({shown(found.low)} to {shown(found.high)})"
        made.append(f'<circle class="mark" cx="{x(found.value)}" cy="{y}" r="4.5"><title>{title}</title></circle>')
        made.append(f'<text x="{LABEL + PLOT + 12}" y="{y + 4}">{said}</text>')
    return "".join([*made, "</svg>"])


def _least(lines: Sequence[Line]) -> float:
    """The lower end of an axis of coefficients: 0, or -1 where one is below."""
    return -1.0 if any((line.found.low or line.found.value or 0) < 0 for line in lines) else 0.0


def _judges(reports: Sequence[JudgeReport]) -> tuple[list[str], list[list[str]]]:
    head = ["judge", "judgments", "couples", "ties", "both bad", "abstained", "unreadable", "failed"]
    rows = []
    for one in reports:
        rates = (one.ties, one.both_bad, one.abstained, one.unreadable, one.failed)
        rows.append([one.judge, str(one.judgments), str(one.couples), *map(_percent, rates)])
    return head, rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>{cells}</table>"


def _percent(found: Rate | Estimate) -> str:
    return "–" if found.value is None else f"{100 * found.value:.1f}"
