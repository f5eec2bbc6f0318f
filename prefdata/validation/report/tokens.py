"""Tokens for a person: figures over all rows, and which tokens of a few rows train under which trainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prefdata.rendering.preview import LEGEND
from prefdata.rendering.report import REASONS
from prefdata.validation.row import row_of
from prefdata.validation.showing import Shown
from prefdata.validation.tokens import COUNTED, TokenSettings, preview_of

TRAINERS = {"prefdata": "prefdata train dpo", "trl": "stock TRL"}
NAMES = {"prompt": "prompt", "completion": "both answers", "trained": "in the loss", "masked": "masked"}


def figures(document: Mapping[str, Any]) -> Iterator[str]:
    """The token figures of a result (``result.statistics["tokens"]``) as lines."""
    limit = f", at most {document['max_length']:,}" if document["max_length"] else ""
    yield f"tokens of {document['tokenizer']} under {TRAINERS[document['trainer']]}{limit}: {document['pairs']:,} pairs"
    for name in COUNTED:
        figure = document[name]
        if figure:
            told = "  ".join(f"{key} {figure[key]:,}" for key in ("min", "p5", "p50", "p95", "max"))
            yield f"  {NAMES.get(name, 'signal'):13} mean {figure['mean']:,.1f}  {told}"
    if document["signal"]:
        yield "  (signal: tokens in the loss from where the two sides part on)"
    for reason, count in document["left_out"].items():
        yield f"  left out {count:,}: {REASONS[reason]}"


def previews(rows: Iterable[Shown], settings: TokenSettings, *, colour: bool, chat: bool = False) -> Iterator[str]:
    """Which tokens of rows train and which are masked; first what the marks mean."""
    yield f"what {TRAINERS[settings.trainer]} trains on ({LEGEND[colour]})"
    for shown in rows:
        if shown.row is None:
            continue
        row = row_of(shown.row.document, chat=True) if chat else shown.row
        preview, reason = preview_of(row, shown.id or shown.place, settings)
        if preview is None:
            yield f"{shown.place}: nothing: {REASONS.get(reason or '', reason)}"
            continue
        yield from preview.lines(colour=colour)
        if reason:
            yield f"  {REASONS[reason]}"
