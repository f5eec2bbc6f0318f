"""``prefdata convert``: foreign preference files to pairs, or to responses and judgments; pairs to foreign formats.

Rows stream, and every one is accounted for: it is in the output, or in the dropped file with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from prefdata.conversion.detection import detect
from prefdata.conversion.grouping import groups
from prefdata.conversion.hub import Card, check_name, push
from prefdata.conversion.mapping import checked
from prefdata.conversion.outcomes import Export
from prefdata.conversion.registry import EXPORTS, FORMATS, named
from prefdata.conversion.work import DROPPED, JUDGMENTS, TIES, ConvertCounts, Tie, Work
from prefdata.conversion.writing import PARQUET, DatasetInfo, ParquetRows, row_writer
from prefdata.errors import UsageError
from prefdata.pairing.pairs import PairingSettings, Strategy
from prefdata.reading.inputs import raw_rows
from prefdata.reading.rawrow import WHOLE, Part
from prefdata.reading.tables import HUB
from prefdata.records.codec import judgment_from, pair_from, response_set_from
from prefdata.records.progress import Meter, Progress
from prefdata.records.publishing import beside
from prefdata.records.sinks import MAIN, sinks
from prefdata.records.sources import sources, spool
from prefdata.types import Judgment, PreferencePair, ResponseSet

Paths = str | Path | Sequence[str | Path]

BROKEN = ("invalid-line", "wrong-shape", "broken-response")
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
    pushed: str | None = None
    """Where the output stands on the hub."""
    rows: tuple[dict[str, Any], ...] = ()
    """Rows of the foreign format that was asked for."""
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
    to: str = "pairs",
    columns: Mapping[str, str] | None = None,
    as_mapped: bool = False,
    split: str | None = None,
    revision: str | None = None,
    tie: Tie = "drop",
    dropped: str | Path | None = None,
    judgments: str | Path | None = None,
    strategy: Strategy = "best-worst",
    min_margin: float = 0.0,
    length_matched: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
    limit: int | None = None,
    push_to_hub: str | None = None,
    private: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Write ``inputs`` as pairs, as responses and ``judgments``, or in a foreign format; without ``output`` return it.

    An input is a file, a glob, a folder of ``datasets`` or of ``prefdata validate``, or ``hf:owner/name``; ``split``
    and ``revision`` choose a part of these. ``columns`` maps prompt, chosen and rejected (or prompt, completion and
    label) to the columns of files in no known format; sides that look swapped are refused unless ``as_mapped``.

    ``tie`` says what a tie is: dropped with its reason, a failure, or (keep, soft) a record of margin 0, probability
    1/2 and ``metadata.tie``, which no foreign format takes; written as judgments, ties are kept. Where a format ranks
    responses, ``strategy``, ``min_margin``, ``length_matched``, ``seed`` and ``tie`` make pairs as ``prefdata pair``
    does. ``limit`` takes the first rows only. ``push_to_hub`` uploads the output with a data set card.
    ``progress`` is told the bytes read so far and of how many, where that is known.
    Raises UsageError, InputError, OutputExistsError, DatasetError and ServiceError.
    """
    names = [str(inputs)] if isinstance(inputs, str | Path) else list(map(str, inputs))
    files = sources(names)
    part = Part(split, revision)
    if part != WHOLE and not any(name.startswith(HUB) or Path(name).is_dir() for name in names):
        raise UsageError("--split and --revision are of data set folders and hf:owner/name", "leave them out for files")
    chosen = None if from_ == "auto" else named(from_)
    if columns is not None and chosen is not None:
        raise UsageError("--from and --map say two things", "leave out --from")
    renames = None if columns is None else checked(columns)
    export = _export(to)
    if tie not in TIES:
        raise UsageError(f"there is no tie policy {tie!r}", f"choose one of {', '.join(TIES)}")
    settings = PairingSettings(
        strategy, min_margin, seed, tie="drop" if tie == "fail" else tie, length_matched=length_matched
    )
    out = Path(output) if output is not None else None
    if out is None and (dropped is not None or judgments is not None or push_to_hub is not None or to == PARQUET):
        raise UsageError("this needs an output (further files, Parquet, the hub)", "pass -o too")
    if out is not None and (out.suffix == ".parquet") != (to == PARQUET):
        raise UsageError(f"{out} and --to {to} do not fit", "--to parquet writes *.parquet, everything else is JSONL")
    if push_to_hub is not None:
        check_name(push_to_hub)
    companions: dict[str, Path] = {}
    if out is not None:
        companions[DROPPED] = Path(dropped) if dropped is not None else beside(out, DROPPED)
        if to == "responses":
            companions[JUDGMENTS] = Path(judgments) if judgments is not None else beside(out, JUDGMENTS)
    info = DatasetInfo(out, to, overwrite) if out is not None and to.startswith("llamafactory") else None
    with sinks(out, companions, files, overwrite=overwrite) as into:
        local = [(file.name, spool(file, into.scratch("stdin"))) for file in files]
        found = detect(local, chosen, part=part, columns=renames, as_mapped=as_mapped)
        if to == "responses" and not found.format.ranked:
            ranked = ", ".join(name for name, one in FORMATS.items() if one.ranked)
            raise UsageError(f"{found.format.name} holds pairs, no judged responses", f"--to responses takes {ranked}")
        file = into.file(MAIN) if to == PARQUET else None
        table = ParquetRows(file) if file is not None else None
        put = table.put if table is not None else partial(into.write, MAIN)
        write = None if to == "responses" else put if export is None else row_writer(export, put)
        work = Work(found.format, tie, settings, into, write)
        rows = chain.from_iterable(raw_rows(source, name, part) for name, source in local)
        for together in groups(
            Meter(progress, files).over(islice(rows, limit)), found.format, into.scratch("groups.sqlite")
        ):
            work.take(together)
        if table is not None:
            table.close()
        if info is not None:
            info.write()
        held = into.held
    result = ConvertResult(
        found.format.name,
        found.reason,
        work.counts,
        out,
        companions.get(DROPPED),
        companions.get(JUDGMENTS),
        None,
        tuple(held.get(MAIN, ()) if export is not None else ()),
        tuple(map(pair_from, held.get(MAIN, ()) if to == "pairs" else ())),
        tuple(map(response_set_from, held.get(MAIN, ()) if to == "responses" else ())),
        tuple(map(judgment_from, held.get(JUDGMENTS, ()))),
        tuple(held.get(DROPPED, ())),
    )
    if push_to_hub is None:
        return result
    assert out is not None
    about = Card(push_to_hub, out.name, to, found.format.name, found.reason, tuple(names), work.counts)
    return replace(result, pushed=push(about, out, private=private))


def _export(to: str) -> Export | None:
    if to in ("pairs", "responses"):
        return None
    if to not in EXPORTS:
        raise UsageError(f"there is no output format {to!r}", f"choose pairs, responses, {', '.join(EXPORTS)}")
    return EXPORTS[to]
