"""The file behind an annotation store: SQLite in WAL, flushed at every commit, and a log that cannot be rewritten."""

from __future__ import annotations

import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from prefdata.errors import InputError, ServiceError

APPLICATION, VERSION = 0x70726466, 1
BUSY_SECONDS = 30

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE annotator (name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('annotator', 'owner'))) WITHOUT ROWID;

-- The log: everything else that changes is computed from it.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN
    ('configured', 'shown', 'answered', 'edited', 'undone', 'skipped', 'adjudicated')),
  annotator TEXT, item INTEGER, task INTEGER, token TEXT UNIQUE, body TEXT NOT NULL
);
CREATE INDEX event_task ON event (task, seq) WHERE task IS NOT NULL;
CREATE INDEX event_adjudicated ON event (item) WHERE kind = 'adjudicated';
CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

-- What is annotated. ``open`` is how many more answers are wanted; ``added`` the last event before it came in.
CREATE TABLE item (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, record BLOB NOT NULL, added INTEGER NOT NULL,
  askable INTEGER NOT NULL, priority REAL NOT NULL DEFAULT 0, gold TEXT, judges TEXT, open INTEGER NOT NULL DEFAULT 0
);
CREATE TRIGGER item_text_is_never_changed BEFORE UPDATE OF id, record ON item
  BEGIN SELECT RAISE(ABORT, 'the texts of an item are fixed'); END;
CREATE INDEX item_open ON item (priority DESC, number) WHERE open > 0 AND askable AND gold IS NULL;
CREATE INDEX item_gold ON item (number) WHERE gold IS NOT NULL AND askable;
-- How many items still want answers: counted as they change, since everyone asks after every answer.
CREATE TABLE total (wanting INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER item_comes AFTER INSERT ON item BEGIN
  UPDATE total SET wanting = wanting + (new.open > 0 AND new.askable AND new.gold IS NULL);
END;
CREATE TRIGGER item_changes AFTER UPDATE OF open, gold, askable ON item BEGIN
  UPDATE total SET wanting = wanting + (new.open > 0 AND new.askable AND new.gold IS NULL)
    - (old.open > 0 AND old.askable AND old.gold IS NULL);
END;

-- The current state, as the log implies it (but for leases, which are only a courtesy).
CREATE TABLE task (
  id INTEGER PRIMARY KEY, annotator TEXT NOT NULL, item INTEGER NOT NULL, ask INTEGER NOT NULL, shown TEXT NOT NULL,
  sha256 TEXT NOT NULL, gold INTEGER NOT NULL, state TEXT NOT NULL, surplus INTEGER NOT NULL DEFAULT 0,
  answer INTEGER, changed INTEGER NOT NULL, lease REAL NOT NULL, UNIQUE (annotator, item, ask)
);
CREATE INDEX task_item ON task (item, state);
CREATE INDEX task_own ON task (annotator, id);
CREATE INDEX task_state ON task (annotator, state, changed);
"""


class UnusableError(ServiceError):
    """The file cannot be read or written now: the disk is full, the folder was moved, another program holds it."""


class Event(NamedTuple):
    """One line of the log; ``seq`` grows without gaps, ``at`` (UTC) never goes back."""

    seq: int
    at: str
    kind: str
    annotator: str | None
    item: int | None
    task: int | None
    token: str | None
    body: dict[str, Any]


class Database:
    """Connections to one file. Readers share nothing; writers of this process wait for each other in turn."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._writing = threading.Lock()
        if create and not path.exists():
            # SQLite would make a file that everyone on the machine can read.
            try:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise InputError(f"{path} cannot be made: {error.strerror}", "name another --store") from None
        elif not path.is_file():
            raise InputError(f"{path}: no such store", "prefdata annotate RESPONSES --store STORE.db makes one")
        try:
            with self.writing() as db:
                self._prepare(db)
        except (sqlite3.OperationalError, UnusableError) as error:
            self.close()
            raise InputError(
                f"{path} cannot be opened ({error.__cause__ or error})",
                "check who may write it and its folder, and whether it is in use",
            ) from None
        except sqlite3.DatabaseError as error:
            self.close()
            raise InputError(f"{path} is not an annotation store ({error})", "name another --store") from None
        except InputError:
            self.close()
            raise

    def _prepare(self, db: sqlite3.Connection) -> None:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            for statement in _statements(SCHEMA):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("INSERT INTO meta VALUES ('store', ?)", (secrets.token_hex(8),))
        elif application != APPLICATION:
            raise InputError(f"{self.path} is a database, but not an annotation store", "name another --store")
        elif (version := db.execute("PRAGMA user_version").fetchone()[0]) != VERSION:
            raise InputError(f"{self.path} is a store of version {version}, not {VERSION}", "use that prefdata")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything read is of one moment."""
        with self._connection() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else writes beside; on leaving without an error it is on the disk."""
        with self._writing, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                if db.in_transaction:  # a full disk has ended it
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = self._connect()
        try:
            yield db
        except sqlite3.OperationalError as error:
            db.close()
            if (
                getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_ERROR
            ):  # a fault of ours
                raise
            raise _unusable(self.path, error) from error
        except sqlite3.Error:
            db.close()
            raise
        except BaseException:
            self._idle.put(db)
            raise
        else:
            self._idle.put(db)

    def _connect(self) -> sqlite3.Connection:
        # Without this mode a store that was moved away while it is served would be made anew, empty.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise _unusable(self.path, error) from error
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        except sqlite3.OperationalError as error:
            db.close()
            raise _unusable(self.path, error) from error
        except sqlite3.Error:
            db.close()
            raise
        return db


def _unusable(path: Path, error: sqlite3.OperationalError) -> UnusableError:
    return UnusableError(
        f"{path} cannot be used now: {error}",
        "check the disk, who may write it and its folder, and whether it is in use",
    )


def append(
    db: sqlite3.Connection,
    kind: str,
    body: dict[str, Any],
    *,
    annotator: str | None = None,
    item: int | None = None,
    task: int | None = None,
    token: str | None = None,
) -> Event:
    """Add one event to the log."""
    last = db.execute("SELECT seq, at FROM event ORDER BY seq DESC LIMIT 1").fetchone() or (0, "")
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event = Event(last[0] + 1, max(now, last[1]), kind, annotator, item, task, token, body)
    db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*event[:-1], orjson.dumps(body).decode()))
    return event


def events(db: sqlite3.Connection, where: str = "1", values: tuple[Any, ...] = ()) -> Iterator[Event]:
    """Events in their order; ``where`` is SQL of ours."""
    found = db.execute(f"SELECT * FROM event WHERE {where} ORDER BY seq", values)
    for row in found:
        seq, at, kind, annotator, item, task, token, body = row
        yield Event(seq, at, kind, annotator, item, task, token, orjson.loads(body))


def meta(db: sqlite3.Connection, key: str) -> str | None:
    """A fixed fact about the store."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else None


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one (``executescript`` would commit the transaction that it runs in)."""
    held = ""
    for line in script.splitlines():
        held += line + "\n"
        if sqlite3.complete_statement(held):
            yield held
            held = ""
