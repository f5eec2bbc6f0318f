"""One part of the input, from its bytes to a shard, a quarantine file and the keys of its rows.

A part is a function of the files and settings alone, so that parts may run in any process and in any order; only their
order in the result counts. What a part leaves in ``folder`` is named by its number.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import compress, repeat
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from prefdata.records.arrow import Form, ShardWriter
from prefdata.records.sources import Source, damage_told
from prefdata.types import Severity
from prefdata.validation.baseline import RECORDED, Known, read_baseline, row_hash
from prefdata.validation.batch import Batch
from prefdata.validation.check import Checked, Checker
from prefdata.validation.columns import columns_of
from prefdata.validation.duplicates import MARKS
from prefdata.validation.findings import SEVERITIES, Origin, Outcome, Tally
from prefdata.validation.lines import LineBatch, batches
from prefdata.validation.memory import uncollected
from prefdata.validation.quarantine import record_of
from prefdata.validation.registry import Rule, selected
from prefdata.validation.sampling import Sample, add_rows
from prefdata.validation.splits import HASHES, split_hashes
from prefdata.validation.statistics import SIZES, sizes_of
from prefdata.validation.tokens import TokenCounts, TokenSettings

LINES_PER_BATCH = 512
PART_BYTES = 32 << 20
"""Input bytes of one part, and so of one shard, as long as that does not make too many."""
SHARDS_ALIKE = 64
"""After so many shards of one input whose size is not known they become twice as large."""
BUFFER_BYTES = 1 << 18
SOURCES_COUNTED = 1000
NO_SOURCE, OTHER_SOURCES = "", "…"
MARK: dict[Severity | None, int] = {None: 0, **{severity: 1 + i for i, severity in enumerate(SEVERITIES)}}
"""How the worst severity found in a row is stored."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the result, besides the input."""

    form: Form
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    chat: bool = False
    examples: int = 20
    split: bool = False
    """Whether the hashes are wanted by which rows are split into train and eval."""
    severities: tuple[tuple[str, Severity], ...] = ()
    baseline: str | None = None
    """File of findings that are known."""
    record: bool = False
    """Whether every finding is recorded for a new baseline."""

    against: tuple[str, ...] = ()
    """Files of prompts that are kept for evaluation."""
    near: float | None = None
    """Likeness from which rows are nearly the same, where that is asked for."""
    tokens: TokenSettings | None = None
    """Whose tokens are looked at, where any are."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of the command line that switch rules on."""
        given = {
            "--eval-fraction": self.split,
            "--against": bool(self.against),
            "--near-duplicates": self.near is not None,
            "--tokenizer": self.tokens is not None,
        }
        return tuple(flag for flag, is_given in given.items() if is_given)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that run."""
        return selected(self.select, self.ignore, self.flags, self.severities)

    @property
    def known(self) -> Known:
        """Findings that are known."""
        return frozenset() if self.baseline is None else read_baseline(self.baseline)


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive whole lines of one input: bytes ``start`` to ``end`` (to the end of the file with ``None``)."""

    input: int
    name: str
    """The input as the user named it."""
    path: str
    """Where its bytes are read."""
    start: int = 0
    end: int | None = None
    line: int = 1
    """Number of the first line."""


@dataclass(frozen=True, slots=True)
class Part:
    """Segments that are checked together."""

    number: int
    segments: tuple[Segment, ...]
    limit: int | None = None
    """Lines to take at most."""
    shown: Mapping[str, int] = field(default_factory=dict)
    """Examples of each rule that parts before this one are known to show."""
    bits: int = 0
    """With how many zero bits of its hash a row falls into the sample of the audit, to start with."""


@dataclass(slots=True)
class Lines:
    """The receipt of one input, or of a part of it: ``kept + quarantined + dropped + blank = lines``."""

    lines: int = 0
    kept: int = 0
    quarantined: int = 0
    dropped: int = 0
    blank: int = 0

    def add(self, other: Lines) -> None:
        """Add another receipt to this one."""
        for name in ("lines", "kept", "quarantined", "dropped", "blank"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def balanced(self) -> bool:
        """Whether every line is accounted for once."""
        return self.kept + self.quarantined + self.dropped + self.blank == self.lines


class Shard(NamedTuple):
    """A file of rows in Arrow that a part left."""

    name: str
    rows: int
    sha256: str


@dataclass(slots=True)
class Done:
    """What a part came to."""

    number: int
    tally: Tally
    lines: dict[int, Lines] = field(default_factory=dict)
    """By input."""
    shards: list[Shard] = field(default_factory=list)
    origins: dict[int, Origin] = field(default_factory=dict)
    """Where rows from quarantine records stood before, by the row's place among the rows kept."""
    sources: Counter[str] = field(default_factory=Counter)
    """Rows by their ``source``."""
    sample: Sample = field(default_factory=lambda: Sample([]))
    tokens: TokenCounts = field(default_factory=TokenCounts)

    @property
    def kept(self) -> int:
        """Rows kept."""
        return sum(lines.kept for lines in self.lines.values())


def run_part(part: Part, settings: Settings, folder: Path, *, write: bool, progress: Callable[[int], None]) -> Done:
    """Check one part; with ``write`` its rows go to shards and its refused lines to a file.

    ``progress`` is told the bytes of input read. Raises InputError where compressed data is damaged.
    """
    with uncollected(), _Writer(part, settings, folder, write) as writer:
        left = part.limit
        for segment in part.segments:
            for batch in read(segment):
                if left is not None:
                    if len(batch.raws) > left:
                        del batch.raws[left:]
                        batch.ended = True
                    left -= len(batch.raws)
                if batch.raws:
                    writer.take(segment, batch)
                    progress(batch.end - batch.byte)
                if left == 0:
                    break
            if left == 0:
                break
        return writer.done


def read(segment: Segment, size: int = LINES_PER_BATCH) -> Iterator[LineBatch]:
    """The lines of a segment in batches of at most ``size``; raises InputError where they cannot all be read."""
    with Source(segment.path).open() as file, damage_told(segment.name):
        if segment.start:
            file.seek(segment.start)
        yield from batches(file, size, line=segment.line, byte=segment.start, end=segment.end)


class _Writer:
    """Where the rows and lines of one part go."""

    def __init__(self, part: Part, settings: Settings, folder: Path, write: bool) -> None:
        self.done = Done(part.number, Tally(settings.examples, part.shown))
        self._checker = Checker(
            settings.rules, settings.form, chat=settings.chat, against=settings.against, tokens=settings.tokens
        )
        self.done.sample.bits = part.bits
        self.done.tokens = self._checker.token_counts
        self._known = settings.known
        self._form = settings.form
        self._folder = folder
        self._write = write
        self._shard: ShardWriter | None = None
        self._shard_bytes = 0
        self._files = ExitStack()
        self._keys = self._open("keys")
        self._where = self._open("where")
        self._refused = self._open("refused") if write else None
        self._refused_where = self._open("refused-where")
        self._sizes = self._open(SIZES) if write else None
        self._split = self._open(HASHES) if settings.split else None
        self._recorded = self._open(RECORDED) if settings.record else None

    def _open(self, what: str) -> IO[bytes]:
        path = part_file(self._folder, self.done.number, what)
        return self._files.enter_context(path.open("wb", buffering=BUFFER_BYTES))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_shard()
        self._files.close()

    def take(self, segment: Segment, batch: LineBatch) -> None:
        """Check a batch of lines and put each where it belongs."""
        checked = self._checker.check(batch)
        receipt = self.done.lines.setdefault(segment.input, Lines())
        receipt.lines += len(batch.raws)
        receipt.blank += checked.blank
        offsets = _offsets(batch)
        worst = self._note(segment, batch, checked, offsets) if checked.found else {}
        receipt.quarantined += len(checked.refused)
        if checked.rows is not None:
            receipt.kept += self._keep(segment, batch, checked, offsets, worst)
        self._shard_bytes += batch.end - batch.byte
        if segment.end is None and self._shard_bytes >= PART_BYTES << len(self.done.shards) // SHARDS_ALIKE:
            self._close_shard()

    def _note(
        self, segment: Segment, batch: LineBatch, checked: Checked, offsets: npt.NDArray[np.int64]
    ) -> dict[int, Severity]:
        """Count what was found; gives the worst severity of each line's findings, those that are known left out."""
        worst: dict[int, Severity] = {}
        for index in sorted(checked.found):
            raw = checked.raws.get(index, batch.raws[index])
            origin = checked.origins.get(index) or Origin(segment.name, batch.line + index, int(offsets[index]))
            refused = index in checked.refused
            outcome: Outcome = "quarantined" if refused else "kept"
            findings, severity = self.done.tally.add(raw, origin, checked.found[index], outcome, self._known)
            if severity is not None:
                worst[index] = severity
            if self._recorded is not None:
                self._recorded.write(orjson.dumps([row_hash(raw), [f.code for f in findings]]) + b"\n")
            if refused:
                self._refused_where.write(struct.pack("=qq", segment.input, batch.line + index))
                if self._refused is not None:
                    self._refused.write(record_of(raw, origin, findings, length=batch.overlong.get(index)))
        return worst

    def _keep(
        self,
        segment: Segment,
        batch: LineBatch,
        checked: Checked,
        offsets: npt.NDArray[np.int64],
        worst: Mapping[int, Severity],
    ) -> int:
        rows = checked.rows
        assert rows is not None
        lines = np.array(checked.lines, np.int64)
        mask = None
        if checked.refused:
            mask = [line not in checked.refused for line in checked.lines]
            lines = lines[mask]
        if not len(lines):
            return 0
        columns, keys = columns_of(rows, mask)
        if worst:
            keys[:, MARKS] = [MARK[worst.get(line)] for line in lines.tolist()]
        self._keys.write(keys.tobytes())
        add_rows(self.done.sample, keys, rows, mask, self.done.kept)
        if self._sizes is not None:
            sizes = sizes_of(rows)
            self._sizes.write((sizes if mask is None else sizes[mask]).tobytes())
        if self._split is not None:
            prompts = rows.prompts if mask is None else list(compress(rows.prompts, mask))
            self._split.write(split_hashes(prompts).tobytes())
        numbers, places = lines + batch.line, offsets[lines]
        where = np.column_stack((np.full(len(lines), segment.input, np.int64), numbers, places))
        self._where.write(where.tobytes())
        self._count_sources(rows, mask)
        columns |= {"source_file": segment.name, "source_line": numbers, "source_byte": places}
        if checked.origins:
            self._put_back(columns, lines, checked.origins, segment)
        if self._write:
            if self._shard is None:
                name = f"{self.done.number:06}-{len(self.done.shards):04}.arrow"
                self._shard = ShardWriter(self._folder / name, self._form)
            self._shard.append_columns(len(lines), columns)
        return len(lines)

    def _put_back(
        self, columns: dict[str, Any], lines: npt.NDArray[np.int64], origins: dict[int, Origin], segment: Segment
    ) -> None:
        """Rows from quarantine records keep the place where they stood first."""
        files = [segment.name] * len(lines)
        numbers, places = columns["source_line"].copy(), columns["source_byte"].copy()
        kept = self.done.kept
        for row, line in enumerate(lines.tolist()):
            if (origin := origins.get(line)) is not None:
                files[row], numbers[row], places[row] = origin.file, origin.line, origin.byte
                self.done.origins[kept + row] = origin
        columns |= {"source_file": files, "source_line": numbers, "source_byte": places}

    def _count_sources(self, rows: Batch, kept: list[bool] | None) -> None:
        if "metadata" in rows.fields:
            names: Iterable[str] = map(source_of, rows.documents)
        elif "source" in rows.fields:
            names = (name or NO_SOURCE for name in rows.column("source"))
        else:
            names = repeat(NO_SOURCE, len(rows))
        counted = Counter(names if kept is None else compress(names, kept))
        for name, count in counted.items():
            known = name in self.done.sources or len(self.done.sources) < SOURCES_COUNTED
            self.done.sources[name if known else OTHER_SOURCES] += count

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self.done.shards.append(Shard(self._shard.path.name, self._shard.rows, self._shard.sha256))
            self._shard = None
        self._shard_bytes = 0


def part_file(folder: Path, number: int, what: str) -> Path:
    """A file that part ``number`` leaves."""
    return folder / f"{number:06}.{what}"


def source_of(document: dict[str, Any]) -> str:
    """The source that a row names, itself or in its metadata."""
    metadata = document.get("metadata")
    source = document.get("source") or (metadata.get("source") if metadata else None)
    return source if isinstance(source, str) and source else NO_SOURCE


def _offsets(batch: LineBatch) -> npt.NDArray[np.int64]:
    """Byte offset of each line of a batch."""
    lengths = np.fromiter(map(len, batch.raws), np.int64, len(batch.raws))
    lengths += 1
    offsets = np.cumsum(lengths)
    offsets += batch.byte - lengths
    return offsets
