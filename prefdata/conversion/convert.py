"""``prefdata convert``: a foreign preference file to pairs, or to responses and judgments.

Rows stream, and every one is accounted for: it is in the output, or in the dropped file with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from prefdata.conversion.detection import detect
from prefdata.conversion.reading import raw_rows
from prefdata.conversion.registry import FORMATS, named
from prefdata.conversion.work import DROPPED, JUDGMENTS, ConvertCounts, Tie, To, Work, groups
from prefdata.errors import UsageError
from prefdata.pairing.pairs import PairingSettings, Strategy
from prefdata.records.codec import judgment_from, pair_from, response_set_from
from prefdata.records.publishing import beside
from prefdata.records.sinks import MAIN, sinks
from prefdata.records.sources import sources, spool
from prefdata.types import Judgment, PreferencePair, ResponseSet

Paths = str | Path | Sequence[str | Path]

BROKEN = ("invalid-line", "wrong-shape")
"""Reasons that say that a row is not what the file should hold."""


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What ``convert`` did; records are held in memory only where no output was asked for."""

    format: str
    reason: str
    """Why it is this format."""
    counts: ConvertCounts
    output: Path | None = None
    dropped_output: Path | None = None
    judgments_output: Path | None = None
    pairs: tuple[PreferencePair, ...] = ()
    response_sets: tuple[ResponseSet, ...] = ()
    judgments: tuple[Judgment, ...] = ()
    dropped: tuple[dict[str, Any], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row was of the format; ties and the like are no fault."""
        return not any(self.counts.dropped[reason] for reason in BROKEN)


def convert(
    inputs: Paths,
    *,
    output: str | Path | None = None,
    from_: str = "auto",
    to: To = "pairs",
    tie: Tie = "drop",
    dropped: str | Path | None = None,
    judgments: str | Path | None = None,
    strategy: Strategy = "best-worst",
    min_margin: float = 0.0,
    seed: int = 0,
    overwrite: bool = False,
    limit: int | None = None,
) -> ConvertResult:
    """Write ``inputs`` as pairs (or as responses and ``judgments``) to ``output``; without it the records are returned.

    ``tie`` says what a tie is: dropped with its reason, or a failure; written as judgments, ties are kept. Where a
    format ranks more than two responses, ``strategy``, ``min_margin`` and ``seed`` choose pairs as ``prefdata pair``
    does. ``limit`` takes the first rows only. Raises UsageError, InputError and OutputExistsError.
    """
    names = [str(inputs)] if isinstance(inputs, str | Path) else list(map(str, inputs))
    files = sources(names)
    chosen = None if from_ == "auto" else named(from_)
    if output is None and (dropped is not None or judgments is not None):
        raise UsageError("further files need an output beside them", "pass -o too")
    out = Path(output) if output is not None else None
    companions: dict[str, Path] = {}
    if out is not None:
        companions[DROPPED] = Path(dropped) if dropped is not None else beside(out, DROPPED)
        if to == "responses":
            companions[JUDGMENTS] = Path(judgments) if judgments is not None else beside(out, JUDGMENTS)
    with sinks(out, companions, files, overwrite=overwrite) as into:
        local = [(file.name, spool(file, into.scratch("stdin"))) for file in files]
        found = detect(local, chosen)
        if to == "responses" and not found.format.ranked:
            ranked = ", ".join(name for name, one in FORMATS.items() if one.ranked)
            raise UsageError(f"{found.format.name} holds pairs, no judged responses", f"--to responses takes {ranked}")
        work = Work(found.format, to, tie, PairingSettings(strategy, min_margin, seed), into)
        rows = chain.from_iterable(raw_rows(source, name) for name, source in local)
        for together in groups(islice(rows, limit), found.format):
            work.take(together)
        held = into.held
    return ConvertResult(
        found.format.name,
        found.reason,
        work.counts,
        out,
        companions.get(DROPPED),
        companions.get(JUDGMENTS),
        tuple(map(pair_from, held.get(MAIN, ()) if to == "pairs" else ())),
        tuple(map(response_set_from, held.get(MAIN, ()) if to == "responses" else ())),
        tuple(map(judgment_from, held.get(JUDGMENTS, ()))),
        tuple(held.get(DROPPED, ())),
    )
