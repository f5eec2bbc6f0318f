"""One self-contained HTML page: nothing is loaded from elsewhere, and it is readable in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
:root { --ink:#1c2430; --dim:#67717f; --line:#d9dee5; --mark:#2360a5; --other:#b3591c; --bad:#b3261e;
  --band:#2360a555; --back:#fff; --head:#f4f6f9 }
@media (prefers-color-scheme: dark) {
  :root { --ink:#e6e9ee; --dim:#98a3b3; --line:#3a4350; --mark:#7db2f0; --other:#f0a66d;
    --bad:#f28b82; --band:#7db2f055; --back:#161b22;
    --head:#1f2630 }
}
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--back); max-width:920px;
  margin:2rem auto; padding:0 1rem }
h1 { font-size:1.5rem } h2 { font-size:1.15rem; margin-top:2.2rem } h3 { font-size:1rem; margin-top:1.6rem }
p.note { color:var(--dim); margin:.2rem 0 .8rem } .wide { overflow-x:auto }
table { border-collapse:collapse; font-size:.87rem; font-variant-numeric:tabular-nums }
th,td { padding:.25rem .7rem .25rem 0; text-align:right; border-bottom:1px solid var(--line); white-space:nowrap }
th:first-child,td:first-child { text-align:left } th { font-weight:600; background:var(--head) }
svg { max-width:100%; min-width:640px; height:auto; display:block } svg + table { margin-top:.8rem }
table.matrix td { text-align:center; padding:.25rem .55rem; border:0 } table.matrix td:first-child { text-align:left }
table.matrix th { text-align:center; background:none } table.matrix td.dim { color:var(--dim) }
table.matrix td[style] { background:color-mix(in srgb, var(--mark) calc(var(--share) * 60%), transparent) }
summary { cursor:pointer; padding:.2rem 0 } .wide + details { margin-top:.8rem }
svg text { font-size:12px; fill:var(--ink) } svg .dim { fill:var(--dim) }
svg .axis { stroke:var(--line) } svg .zero { stroke:var(--dim); stroke-dasharray:3 3 }
svg .band { stroke:var(--mark); stroke-width:2 } svg .mark { fill:var(--mark) }
svg .other { fill:var(--other) } svg .bad { fill:var(--bad) }
pre { background:var(--head); padding:.5rem .7rem; overflow-x:auto; font-size:.82rem; margin:.3rem 0 .6rem }
pre mark { background:none; color:var(--bad); font-weight:700; text-decoration:underline }
.verdict { border-left:4px solid var(--mark); background:var(--head); padding:.5rem .8rem }
.verdict.no { border-color:var(--bad) } code { font-size:.9em; overflow-wrap:anywhere }
"""


def page(title: str, intro: str, body: str) -> str:
    """The whole page; ``body`` is HTML, the rest is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f'<body><h1>{escape(title)}</h1><p class="note">{escape(intro)}</p>{body}</body></html>\n'
    )


def section(title: str, note: str, content: str, *, head: str = "h2") -> str:
    """A part of a page under a heading; ``content`` is HTML."""
    # What is wider than a narrow screen is scrolled by keyboard too.
    wide = f'<div class="wide" role="region" aria-label="{escape(title)}" tabindex="0">{content}</div>'
    return f'<{head}>{escape(title)}</{head}><p class="note">{escape(note)}</p>{wide}\n'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>{cells}</table>"
