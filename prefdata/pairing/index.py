"""Judgments found by response set: an SQLite file on disk, so that memory holds those of one set at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, get_args

import orjson

from prefdata.pairing.criteria import criteria_of
from prefdata.pairing.votes import judge_name
from prefdata.records.codec import judgment_from
from prefdata.records.progress import Meter
from prefdata.records.rows import BOM, Row, nothing_to_do, read_rows
from prefdata.records.sources import Source
from prefdata.types import Judgment

Part = Literal["judgments", "gold"]
PARTS: tuple[Part, ...] = get_args(Part)


class Placed(NamedTuple):
    """A judgment and the line that it stands on."""

    file: str
    line: int
    raw: bytes
    judgment: Judgment


class JudgmentIndex:
    """Judgments on disk by the id of their response set; the file is new and belongs to this index."""

    def __init__(self, path: Path) -> None:
        self.criteria: set[str | None] = set()
        """What the judgments speak of: criteria, and None for the whole."""
        self.judges: set[str] = set()
        """Who judged, as ``kind:name``."""
        path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path)
        # The file is rebuilt from the inputs after a crash: nothing in it is worth a journal.
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE judgment (response_set TEXT, part TEXT, file TEXT, line INTEGER, raw BLOB);"
            "CREATE TABLE claimed (response_set TEXT PRIMARY KEY) WITHOUT ROWID;"
        )

    def load(
        self, inputs: Sequence[Source], part: Part = "judgments", meter: Meter | None = None
    ) -> Iterator[Row[Judgment]]:
        """Take in every judgment of ``inputs``; yields the lines that are none.

        Raises InputError for a file without any judgment.
        """
        for source in inputs:
            first: Row[Judgment] | None = None
            taken = 0
            rows = read_rows([source], "judgment", judgment_from)
            for row in rows if meter is None else meter.over(rows):
                first = first or row
                if row.noun is None:
                    yield row
                else:
                    taken += 1
                    if part == "judgments":
                        self.judges.add(judge_name(row.noun.judge))
                        self.criteria |= criteria_of(row.noun)
                        if row.noun.criterion is None:
                            self.criteria.add(None)
                    self._db.execute(
                        "INSERT INTO judgment VALUES (?, ?, ?, ?, ?)",
                        (row.noun.response_set_id, part, row.file, row.line, row.raw),
                    )
            if not taken:
                raise nothing_to_do(source.name, "judgment", first)
        self._db.execute("CREATE INDEX IF NOT EXISTS by_set ON judgment (response_set)")

    def of(self, response_set_id: str, part: Part = "judgments") -> list[Placed]:
        """The judgments of one response set, in the order of the inputs."""
        found = self._db.execute(
            "SELECT file, line, raw FROM judgment WHERE response_set = ? AND part = ? ORDER BY rowid",
            (response_set_id, part),
        )
        return [_placed(*row) for row in found]

    def response_set_ids(self) -> Iterator[str]:
        """Every response set that some judgment names, sorted."""
        cursor = self._db.cursor()
        yield from (id for (id,) in cursor.execute("SELECT DISTINCT response_set FROM judgment ORDER BY response_set"))

    def claim(self, response_set_id: str) -> None:
        """Mark a response set as seen."""
        self._db.execute("INSERT OR IGNORE INTO claimed VALUES (?)", (response_set_id,))

    def unclaimed(self) -> Iterator[Placed]:
        """Judgments of response sets that were never seen."""
        cursor = self._db.cursor()
        for row in cursor.execute(
            "SELECT file, line, raw FROM judgment WHERE part = 'judgments' "
            "AND response_set NOT IN (SELECT response_set FROM claimed) ORDER BY rowid"
        ):
            yield _placed(*row)

    def __enter__(self) -> JudgmentIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()


def _placed(file: str, line: int, raw: bytes) -> Placed:
    return Placed(file, line, raw, judgment_from(orjson.loads(raw.removeprefix(BOM) if line == 1 else raw)))
