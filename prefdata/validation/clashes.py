"""Rows that clash with other rows: found when all parts are done, and their lines fetched again for the record."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby, tee
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from prefdata.errors import InputError
from prefdata.types import Severity
from prefdata.validation.baseline import Known, row_hash
from prefdata.validation.buckets import Buckets, SpillingSort, placed_keys, read_keys
from prefdata.validation.cycles import Cycle, cycles
from prefdata.validation.duplicates import ID, KEY_COLUMNS, MARKS, PROMPT, Group, Keys, groups, same_ids
from prefdata.validation.findings import SEVERITIES, Found, Origin, Outcome, Tally
from prefdata.validation.inputs import Input
from prefdata.validation.lines import BOM, LineBatch, line_at
from prefdata.validation.near import near_duplicates
from prefdata.validation.quarantine import record_of, unwrapped
from prefdata.validation.registry import DatasetHit, Hit, Rule, Stage
from prefdata.validation.work import NO_SOURCE, Done, Segment, part_file, read, source_of

OTHERS_NAMED = 3
PARTS_OPEN = 32
"""Parts whose keys and places are open at once."""


@dataclass(slots=True)
class Clash:
    """A row in which a rule over all rows found something."""

    ordinal: int
    """The row's place among all rows that the row rules kept."""
    found: list[Found] = field(default_factory=list)
    outcome: Outcome = "kept"
    duplicate_of: int | None = None


_Stored = tuple[str, Hit, tuple[int, ...], int]
"""Code of the rule, the hit, the first rows that it clashes with, and how many there are."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a clashing row: its physical place, and its record for quarantine.jsonl or dropped.jsonl."""

    input: int
    line: int
    outcome: Outcome
    record: bytes
    source: str


class Rows:
    """All rows that the row rules kept: their keys, and where each stands; read from what the parts left."""

    def __init__(self, parts: Sequence[Done], inputs: Sequence[Input], folder: Path) -> None:
        self._parts, self._inputs = parts, inputs
        self.folder = folder
        self._firsts = np.cumsum([0, *(part.kept for part in parts)])
        # The parts may be more than files that may be open at once.
        self._keys = lru_cache(PARTS_OPEN)(lambda index: _Numbers(self.keys[index], KEY_COLUMNS))
        self._where = lru_cache(PARTS_OPEN)(lambda index: _Numbers(part_file(folder, parts[index].number, "where"), 3))

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def keys(self) -> list[Path]:
        """The files in which the parts left the keys of their rows."""
        return [part_file(self.folder, part.number, "keys") for part in self._parts]

    def worst(self, ordinal: int) -> Severity | None:
        """The severity of the worst finding that a row had so far."""
        part, row = self.part_of(ordinal)
        code = self._keys(part).row(row)[MARKS]
        return SEVERITIES[code - 1] if code else None

    def part_of(self, ordinal: int) -> tuple[int, int]:
        """The index of the part that holds a row, and the row's place in it."""
        index = int(np.searchsorted(self._firsts, ordinal, side="right")) - 1
        return index, ordinal - int(self._firsts[index])

    def place(self, ordinal: int) -> tuple[int, int, int]:
        """Input, line and byte of the physical line that holds a row."""
        part, row = self.part_of(ordinal)
        index, line, byte = self._where(part).row(row)
        return index, line, byte

    def origin(self, ordinal: int) -> Origin:
        """Where a row stands, or stood before it was quarantined and taken in again."""
        part, row = self.part_of(ordinal)
        known = self._parts[part].origins.get(row)
        if known is not None:
            return known
        index, line, byte = self.place(ordinal)
        return Origin(self._inputs[index].name, line, byte)

    def raws(self, ordinals: Iterable[int]) -> Iterator[bytes]:
        """The raw lines of rows in ascending order, read again as they are asked for."""
        with ExitStack() as stack:
            at, lines = -1, None
            for ordinal in ordinals:
                index, line, byte = self.place(ordinal)
                if lines is None or index != at:
                    stack.close()
                    at, lines = index, stack.enter_context(_LinesAgain(index, self._inputs[index]))
                raw = lines.line(line, byte)
                part, row = self.part_of(ordinal)
                yield unwrapped(orjson.loads(raw.removeprefix(BOM)))[0] if row in self._parts[part].origins else raw


class _LinesAgain:
    """The lines of an input once more, in ascending order."""

    def __init__(self, index: int, given: Input) -> None:
        self._segment = Segment(index, given.name, given.source.name)
        self._file = given.source.open() if given.source.seekable else None
        self._batches: Iterator[LineBatch] = iter(())
        self._batch: LineBatch | None = None

    def __enter__(self) -> _LinesAgain:
        if self._file is None:
            self._batches = read(self._segment)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def line(self, number: int, byte: int) -> bytes:
        """The line with this number, which starts at ``byte``; raises InputError where there is none any more."""
        raw = line_at(self._file, byte) if self._file is not None else self._next(number)
        if not raw:
            raise InputError(
                f"{self._segment.name} was changed while it was read", "wait for what writes it, and try again"
            )
        return raw

    def _next(self, number: int) -> bytes:
        while self._batch is None or number >= self._batch.line + len(self._batch.raws):
            if (batch := next(self._batches, None)) is None:
                return b""
            self._batch = batch
        return self._batch.raws[number - self._batch.line]


class Clashes:
    """What rules over all rows found, by row, in memory that does not grow with it."""

    def __init__(self, rows: Rows, rules: Sequence[Rule]) -> None:
        self._rows = rows
        self._rules = {rule.code: rule for rule in rules}
        self._found: SpillingSort[_Stored] = SpillingSort(rows.folder, len(rows))
        self._gone = array("q")

    def add(self, rule: Rule, found: DatasetHit) -> None:
        """Add what a rule found; of one row in the order of the rules."""
        others = found.others[:OTHERS_NAMED]
        self._found.add(found.ordinal, (rule.code, found.hit, others, len(found.others)))
        if rule.action != "keep":
            self._gone.append(found.ordinal)

    def gone(self) -> npt.NDArray[np.int64]:
        """Places of the rows that do not stay, among all rows, ascending."""
        return np.unique(np.frombuffer(self._gone, np.int64)) if self._gone else np.empty(0, np.int64)

    def __iter__(self) -> Iterator[Clash]:
        """Every clash, in the order of the input."""
        for ordinal, items in groupby(self._found, key=itemgetter(0)):
            clash = Clash(ordinal)
            for _, (code, hit, others, count) in items:
                rule = self._rules[code]
                message = (hit.message or rule.message).format(others=_named(self._rows, others, count))
                clash.found.append((rule, replace(hit, message=message)))
                if rule.action == "quarantine":
                    clash.outcome = "quarantined"
                elif rule.action == "drop" and clash.outcome == "kept":
                    clash.outcome, clash.duplicate_of = "dropped", others[0]
            yield clash


def find_clashes(rows: Rows, rules: Sequence[Rule], near: float | None = None) -> Clashes:
    """Every clash; ``near`` is the likeness from which rows are told as nearly the same."""
    clashes = Clashes(rows, rules)
    for stage, things in _things(rows, near):
        asked = [rule for rule in rules if rule.stage == stage]
        for thing in things if asked else ():
            for rule in asked:
                for found in rule.check(thing):
                    clashes.add(rule, found)
    return clashes


def _things(rows: Rows, near: float | None) -> Iterator[tuple[Stage, Iterable[Any]]]:
    """What the rules over all rows look at, by their stage; looked for only when it is asked for."""
    by_prompt = Buckets(placed_keys(rows.keys), len(rows), KEY_COLUMNS, PROMPT, rows.folder, "prompt")
    yield "dataset", _in_each(by_prompt, groups)
    with_id = placed_keys(rows.keys, with_id=True)
    by_id = Buckets(with_id, len(rows), KEY_COLUMNS, ID, rows.folder, "id")
    yield "ids", _in_each(by_id, same_ids)
    by_id.remove()
    yield "cycles", _in_each(by_prompt, cycles)
    by_prompt.remove()
    if near is not None:
        keys = [read_keys(path) for path in rows.keys]
        yield "near", near_duplicates(np.concatenate(keys), rows.raws, near) if keys else ()


def _in_each(
    buckets: Buckets, find: Callable[[Keys], Iterator[Group]] | Callable[[Keys], Iterator[Cycle]]
) -> Iterator[Group | Cycle]:
    """What is found in each bucket, told by the places of its rows among all rows."""
    for keys in buckets:
        for thing in find(keys):
            yield replace(thing, ordinals=tuple(keys[list(thing.ordinals), MARKS].tolist()))


def settle(
    clashes: Clashes,
    rows: Rows,
    tally: Tally,
    *,
    named: bool = True,
    known: Known = frozenset(),
    record: Callable[[str, str], None] | None = None,
) -> Iterator[Settled]:
    """Read each clashing line again and count what was found in it, in the order of the input.

    ``named`` says whether rows name their sources; ``known`` are findings of the baseline; ``record`` is told code and
    content hash of every finding.
    """
    each, again = tee(clashes)
    for clash, raw in zip(each, rows.raws(clash.ordinal for clash in again), strict=True):
        origin = rows.origin(clash.ordinal)
        findings, _ = tally.add(raw, origin, clash.found, clash.outcome, known, rows.worst(clash.ordinal))
        if record is not None:
            row = row_hash(raw)
            for finding in findings:
                record(finding.code, row)
        of = rows.origin(clash.duplicate_of) if clash.outcome == "dropped" and clash.duplicate_of is not None else None
        index, line, _ = rows.place(clash.ordinal)
        written = record_of(raw, origin, findings, duplicate_of=of)
        source = source_of(orjson.loads(raw.removeprefix(BOM))) if named else NO_SOURCE
        yield Settled(index, line, clash.outcome, written, source)


def masks(gone: npt.NDArray[np.int64], parts: Sequence[Done]) -> dict[str, npt.NDArray[np.bool_]]:
    """For each shard that loses rows, which of its rows stay; ``gone`` are the places of those that do not."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    first = 0
    for name, count, _ in (shard for part in parts for shard in part.shards):
        within = gone[slice(*np.searchsorted(gone, (first, first + count)))]
        if len(within):
            found[name] = np.ones(count, np.bool_)
            found[name][within - first] = False
        first += count
    return found


def _named(rows: Rows, others: Sequence[int], count: int) -> str:
    names = [str(rows.origin(other)) for other in others]
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


class _Numbers:
    """Rows of 64-bit numbers in a file that a part left, read one by one.

    They are not mapped into memory: all pages that were looked at would count as memory of this process.
    """

    def __init__(self, path: Path, columns: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._row = struct.Struct(f"={columns}q")

    def row(self, index: int) -> tuple[int, ...]:
        """The numbers of one row."""
        self._file.seek(index * self._row.size)
        return self._row.unpack(self._file.read(self._row.size))

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
