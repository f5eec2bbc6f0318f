"""Rows that belong together: neighbours of one key, or rows of one key wherever they stand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from prefdata.conversion.outcomes import Format, WrongShapeError
from prefdata.reading.rawrow import RawRow


def groups(rows: Iterator[RawRow], format_: Format, scratch: Path) -> Iterator[list[RawRow]]:
    """Rows one by one, or those of one key together; a row that has none stands alone.

    Scattered rows wait in a file at ``scratch``, so that memory holds one group at a time; groups come in the order of
    their first rows.
    """
    group = format_.group
    if group is None:
        yield from ([row] for row in rows)
        return

    def key(row: RawRow) -> Any:
        try:
            return (None if format_.scattered else row.file, group(row.value)) if row.value is not None else object()
        except WrongShapeError:
            return object()

    if format_.scattered:
        yield from _gathered(rows, key, scratch)
    else:
        for _, together in groupby(rows, key):
            yield list(together)


def _gathered(rows: Iterator[RawRow], key: Any, scratch: Path) -> Iterator[list[RawRow]]:
    scratch.unlink(missing_ok=True)
    with closing(sqlite3.connect(scratch)) as db:
        # The file is made anew after a crash: nothing in it is worth a journal.
        db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;"
            "CREATE TABLE seen (key TEXT PRIMARY KEY, first INTEGER) WITHOUT ROWID;"
            "CREATE TABLE row (key INTEGER, place INTEGER,"
            " file TEXT, line INTEGER, number INTEGER, raw BLOB, problem TEXT);"
        )
        for place, row in enumerate(rows):
            found = key(row)
            name = str(found[1]) if isinstance(found, tuple) else f"row {place}"
            db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (name, place))
            (first,) = db.execute("SELECT first FROM seen WHERE key = ?", (name,)).fetchone()
            stored = (first, place, row.file, row.line, row.row, row.raw, row.problem)
            db.execute("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?)", stored)
        db.execute("CREATE INDEX by_key ON row (key, place)")
        found = db.execute("SELECT key, file, line, number, raw, problem FROM row ORDER BY key, place")
        for _, together in groupby(found, lambda stored: stored[0]):
            yield [_row(*stored[1:]) for stored in together]


def _row(file: str, line: int | None, number: int | None, raw: bytes, problem: str | None) -> RawRow:
    value = None if problem is not None else orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    return RawRow(file, line, number, raw, value, problem)
