"""The formats, and which of them a file is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

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
NAMES = {
    "prompt": ("prompt", "question", "instruction", "query", "input", "user", "user_prompt"),
    "chosen": ("chosen", "chosen_response", "preferred", "preferred_response", "better", "accepted", "winner", "good"),
    "rejected": ("rejected", "rejected_response", "dispreferred", "non_preferred", "worse", "loser", "bad"),
}
"""Names that columns have elsewhere."""
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
    """The format called ``name``, or known by it; raises UsageError."""
    names = {alias: format_ for format_ in FORMATS.values() for alias in (format_.name, *format_.aliases)}
    if name not in names:
        near = get_close_matches(name, names, 1)
        raise UsageError(
            f"there is no format {name!r}",
            f"did you mean {near[0]}? --formats lists them all"
            if near
            else f"choose auto or one of {', '.join(FORMATS)}",
        )
    return names[name]


def detected(rows: Sequence[Row], file: str) -> Detection:
    """The format of the first rows of a file; raises UsageError where none fits or two fit about as well."""
    ranked = sorted(
        ((sum(map(format_.detect, rows)) / len(rows), format_) for format_ in FORMATS.values()), key=lambda one: -one[0]
    )
    (best, format_), (next_best, other) = ranked[:2]
    if best < SURE:
        there = sorted({name for row in rows for name in row})
        raise UsageError(
            f"{file} is in no format that is known (columns: {', '.join(there[:12])})", _way_out(rows, there)
        )
    if best - next_best < APART:
        raise UsageError(
            f"{file} could be {format_.name} ({best:.0%}) or {other.name} ({next_best:.0%})", "choose one with --from"
        )
    return Detection(format_, best, f"recognised by {format_.signature} in {len(rows)} rows ({best:.0%})")


def _way_out(rows: Sequence[Row], there: Sequence[str]) -> str:
    """What to do with rows of no known format, by the names of their columns."""
    if len(there) == 1:
        (only,) = there
        if separator := next((mark for mark in ";\t|" if mark in only), None):
            return f"the columns are separated by {separator!r}: save the file with commas, or with tabs as .tsv"
        if any(isinstance(row[only], list) for row in rows):
            return f"its rows seem to stand inside {only!r}: write them one a line (jq -c '.[\"{only}\"][]' FILE)"
    if {"prompt", "responses"} <= set(there):
        return "these are response sets of ours: prefdata judge, or prefdata pair with judgments, makes pairs of them"
    if {"response_set_id", "ranking"} <= set(there):
        return "these are judgments of ours: prefdata pair RESPONSES JUDGMENTS makes pairs of them"
    if empty := [name for name in there if all(row.get(name) is None for row in rows)]:
        return f"{', '.join(empty)}: empty in each of the first {len(rows)} rows"
    if proposed := _proposed(there):
        return "map its columns, perhaps " + " ".join(f"--map {ours}={column}" for ours, column in proposed.items())
    if (near := _nearest(set(there))) is not None:
        format_, missing = near
        return f"{format_.name} is nearest, but for the columns {', '.join(missing)}; else map its columns with --map"
    return "map its columns: --map prompt=COLUMN --map chosen=COLUMN --map rejected=COLUMN"


def _proposed(there: Sequence[str]) -> dict[str, str]:
    """A map of columns whose names leave no doubt; empty where one of prompt, chosen and rejected has none or two."""
    made = {}
    for ours, words in NAMES.items():
        said = [column for column in there if column.lower().replace("-", "_") in words]
        if len(said) != 1:
            return {}
        made[ours] = said[0]
    return made


def _nearest(there: set[str]) -> tuple[Format, list[str]] | None:
    """The format that lacks the fewest columns of its example, at most two, and has at least twice as many of them."""
    found = []
    for format_ in FORMATS.values():
        for example in format_.examples:
            missing = sorted(example.keys() - there)
            if 0 < len(missing) <= 2 and len(example) >= 3 * len(missing):
                found.append((len(missing), format_.name, format_, missing))
    return min(found, key=lambda one: one[:2])[2:] if found else None
