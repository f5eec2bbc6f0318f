"""A map from 128-bit keys to numbers whose memory does not grow with it."""

from __future__ import annotations

import sqlite3

IN_MEMORY = 20_000
"""Entries that are held in memory; about 180 bytes each."""
CACHE_KIB = 4096
"""What SQLite may keep of the rest."""


class SpillingMap:
    """Keys of 16 bytes to integers of 64 bits: a dictionary while it is small, then a temporary file that SQLite keeps.

    The file has no name, lies where SQLite puts such files (SQLITE_TMPDIR, TMPDIR, /var/tmp) and goes with the process.
    """

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}
        self._file: sqlite3.Connection | None = None
        self._len = 0

    def __len__(self) -> int:
        return self._len

    def get(self, key: bytes) -> int | None:
        """The number of ``key``, or ``None``."""
        found = self._recent.get(key)
        if found is None and self._file is not None:
            row = self._file.execute("SELECT number FROM entries WHERE key = ?", (key,)).fetchone()
            return None if row is None else int(row[0])
        return found

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __setitem__(self, key: bytes, number: int) -> None:
        if key not in self._recent:
            self._len += self._file is None or self.get(key) is None
            if len(self._recent) >= IN_MEMORY:
                self._spill()
        self._recent[key] = number

    def setdefault(self, key: bytes, number: int) -> int:
        """The number of ``key``, which is ``number`` from now on where it had none."""
        found = self.get(key)
        if found is None:
            self[key] = found = number
        return found

    def _spill(self) -> None:
        if self._file is None:
            # A run inside a notebook's loop works in a thread of its own, one thread at a time.
            self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = OFF")
            self._file.execute("PRAGMA synchronous = OFF")
            self._file.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._file.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID")
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", sorted(self._recent.items()))
        self._file.execute("COMMIT")
        self._recent.clear()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()
