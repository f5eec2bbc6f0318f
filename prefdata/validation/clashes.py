"""Rows that clash with other rows: found when all parts are done, and their lines fetched again for the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from prefdata.types import Severity
from prefdata.validation.baseline import Known, row_hash
from prefdata.validation.buckets import Buckets, read_keys
from prefdata.validation.cycles import Cycle, cycles
from prefdata.validation.duplicates import ID, KEY_COLUMNS, MARKS, PROMPT, Group, Keys, groups, same_ids
from prefdata.validation.findings import SEVERITIES, Found, Origin, Outcome, Tally
from prefdata.validation.inputs import Input
from prefdata.validation.lines import BOM, line_at
from prefdata.validation.near import near_duplicates
from prefdata.validation.quarantine import record_of, unwrapped
from prefdata.validation.registry import DatasetHit, Rule, Stage
from prefdata.validation.work import NO_SOURCE, Done, Segment, part_file, read, source_of

OTHERS_NAMED = 3
PARTS_MAPPED = 32
"""Parts whose keys and places are mapped into memory at once."""


@dataclass(slots=True)
class Clash:
    """A row in which a rule over all rows found something."""

    ordinal: int
    """The row's place among all rows that the row rules kept."""
    found: list[Found] = field(default_factory=list)
    outcome: Outcome = "kept"
    duplicate_of: int | None = None


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
        # A file that stays mapped stays open: the parts may be more than files that may be open at once.
        self._keys = lru_cache(PARTS_MAPPED)(lambda index: _mapped(self.keys[index], KEY_COLUMNS))
        self._where = lru_cache(PARTS_MAPPED)(lambda index: _mapped(part_file(folder, parts[index].number, "where"), 3))

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def keys(self) -> list[Path]:
        """The files in which the parts left the keys of their rows."""
        return [part_file(self.folder, part.number, "keys") for part in self._parts]

    def worst(self, ordinal: int) -> Severity | None:
        """The severity of the worst finding that a row had so far."""
        part, row = self.part_of(ordinal)
        code = int(self._keys(part)[row, MARKS])
        return SEVERITIES[code - 1] if code else None

    def part_of(self, ordinal: int) -> tuple[int, int]:
        """The index of the part that holds a row, and the row's place in it."""
        index = int(np.searchsorted(self._firsts, ordinal, side="right")) - 1
        return index, ordinal - int(self._firsts[index])

    def place(self, ordinal: int) -> tuple[int, int, int]:
        """Input, line and byte of the physical line that holds a row."""
        part, row = self.part_of(ordinal)
        index, line, byte = self._where(part)[row].tolist()
        return index, line, byte

    def origin(self, ordinal: int) -> Origin:
        """Where a row stands, or stood before it was quarantined and taken in again."""
        part, row = self.part_of(ordinal)
        known = self._parts[part].origins.get(row)
        if known is not None:
            return known
        index, line, byte = self.place(ordinal)
        return Origin(self._inputs[index].name, line, byte)

    def raws(self, ordinals: Sequence[int]) -> Iterator[bytes]:
        """The raw lines of rows in ascending order, read again."""
        at = 0
        while at < len(ordinals):
            index, *_ = self.place(ordinals[at])
            stop, places = at, []
            while stop < len(ordinals) and (place := self.place(ordinals[stop]))[0] == index:
                places.append(place[1:])
                stop += 1
            for ordinal, raw in zip(ordinals[at:stop], self._lines(index, places), strict=True):
                part, row = self.part_of(ordinal)
                yield unwrapped(orjson.loads(raw.removeprefix(BOM)))[0] if row in self._parts[part].origins else raw
            at = stop

    def _lines(self, index: int, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        source = self._inputs[index].source
        if source.seekable:
            with source.open() as file:
                for _, byte in places:
                    yield line_at(file, byte)
            return
        wanted = {number for number, _ in places}
        last = max(wanted)
        for batch in read(Segment(index, source.name, source.name)):
            for line, raw in enumerate(batch.raws, start=batch.line):
                if line in wanted:
                    yield raw
            if batch.line + len(batch.raws) > last:
                return


def find_clashes(rows: Rows, rules: Sequence[Rule], near: float | None = None) -> list[Clash]:
    """Every clash, in the order of the input; ``near`` is the likeness from which rows are told as nearly the same."""
    clashes: dict[int, Clash] = {}
    for stage, things in _things(rows, near):
        asked = [rule for rule in rules if rule.stage == stage]
        for thing in things if asked else ():
            for rule in asked:
                for found in rule.check(thing):
                    _add(clashes.setdefault(found.ordinal, Clash(found.ordinal)), rule, found, rows)
    return [clashes[ordinal] for ordinal in sorted(clashes)]


def _things(rows: Rows, near: float | None) -> Iterator[tuple[Stage, Iterable[Any]]]:
    """What the rules over all rows look at, by their stage; looked for only when it is asked for."""
    by_prompt = Buckets(rows.keys, len(rows), rows.folder, PROMPT)
    yield "dataset", _in_each(by_prompt, groups)
    by_id = Buckets(rows.keys, len(rows), rows.folder, ID)
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
    for keys, ordinals in buckets:
        for thing in find(keys):
            yield replace(thing, ordinals=tuple(ordinals[list(thing.ordinals)].tolist()))


def _add(clash: Clash, rule: Rule, found: DatasetHit, rows: Rows) -> None:
    message = (found.hit.message or rule.message).format(others=_named(rows, found.others))
    clash.found.append((rule, replace(found.hit, message=message)))
    if rule.action == "quarantine":
        clash.outcome = "quarantined"
    elif rule.action == "drop" and clash.outcome == "kept":
        clash.outcome, clash.duplicate_of = "dropped", found.others[0]


def settle(
    clashes: Sequence[Clash],
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
    for clash, raw in zip(clashes, rows.raws([clash.ordinal for clash in clashes]), strict=True):
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


def masks(clashes: Sequence[Clash], rows: Rows, parts: Sequence[Done]) -> dict[str, npt.NDArray[np.bool_]]:
    """For each shard that loses rows, which of its rows stay."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for clash in clashes:
        if clash.outcome == "kept":
            continue
        part, row = rows.part_of(clash.ordinal)
        for name, count, _ in parts[part].shards:
            if row < count:
                found.setdefault(name, np.ones(count, np.bool_))[row] = False
                break
            row -= count
    return found


def _named(rows: Rows, others: Sequence[int]) -> str:
    names = [str(rows.origin(other)) for other in others[:OTHERS_NAMED]]
    more = len(others) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _mapped(path: Path, columns: int) -> npt.NDArray[np.int64]:
    """What a part left, a row for each of its rows."""
    return np.memmap(path, np.int64, mode="r").reshape(-1, columns)
