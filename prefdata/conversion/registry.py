"""The formats, and which of them a file is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefdata.conversion.formats import (
    alpaca_eval,
    arena,
    argilla,
    axolotl,
    helpsteer,
    hh,
    kto,
    llamafactory,
    llmbar,
    ms_swift,
    nectar,
    oasst,
    openai,
    orca,
    pandalm,
    pku,
    shp,
    trl,
    ultrafeedback,
    ultrafeedback_binarized,
    webgpt,
)
from prefdata.conversion.outcomes import Export, Format, Row
from prefdata.errors import UsageError

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        trl.FORMAT,
        kto.FORMAT,
        hh.FORMAT,
        openai.FORMAT,
        ultrafeedback.FORMAT,
        ultrafeedback_binarized.FORMAT,
        argilla.FORMAT,
        orca.FORMAT,
        llamafactory.FORMAT,
        llamafactory.SHAREGPT_FORMAT,
        kto.LLAMAFACTORY_FORMAT,
        axolotl.FORMAT,
        ms_swift.FORMAT,
        arena.FORMAT,
        arena.ARENA_140K,
        shp.FORMAT,
        helpsteer.FORMAT,
        helpsteer.THREE_FORMAT,
        nectar.FORMAT,
        webgpt.FORMAT,
        pku.BETTER,
        pku.SAFER,
        oasst.FORMAT,
        pandalm.FORMAT,
        alpaca_eval.FORMAT,
        llmbar.FORMAT,
    )
}
EXPORTS: dict[str, Export] = {
    export.name: export
    for export in (
        trl.EXPORT,
        trl.IMPLICIT,
        openai.EXPORT,
        llamafactory.EXPORT,
        llamafactory.SHAREGPT_EXPORT,
        axolotl.EXPORT,
        kto.EXPORT,
        trl.PARQUET,
    )
}
SAMPLE = 20
"""Rows that are looked at to tell the format."""
SURE = 0.5
APART = 0.15
"""How much likelier than the next the format must be."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The format found, and why."""

    format: Format
    confidence: float
    """Mean over the rows looked at."""
    reason: str


def named(name: str) -> Format:
    """The format called ``name``; raises UsageError."""
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}", f"choose auto or one of {', '.join(FORMATS)}")
    return FORMATS[name]


def detected(rows: Sequence[Row], file: str) -> Detection:
    """The format of the first rows of a file; raises UsageError where none fits or two fit about as well."""
    ranked = sorted(
        ((sum(map(format_.detect, rows)) / len(rows), format_) for format_ in FORMATS.values()), key=lambda one: -one[0]
    )
    (best, format_), (next_best, other) = ranked[:2]
    if best < SURE:
        columns = ", ".join(sorted({name for row in rows for name in row})[:12])
        raise UsageError(
            f"{file} is in no format that is known (columns: {columns})",
            "map its columns: --map prompt=COLUMN --map chosen=COLUMN --map rejected=COLUMN",
        )
    if best - next_best < APART:
        raise UsageError(
            f"{file} could be {format_.name} ({best:.0%}) or {other.name} ({next_best:.0%})", "choose one with --from"
        )
    return Detection(format_, best, f"recognised by {format_.signature} in {len(rows)} rows ({best:.0%})")
