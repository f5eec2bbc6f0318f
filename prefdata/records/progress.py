"""How far the reading of inputs is, told now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from prefdata.records.sources import Source

Progress = Callable[[int, int | None], None]
"""Told the bytes read so far, and how many there are (``None``: not known)."""

EVERY = 500
"""Rows from one telling to the next."""


class Raw(Protocol):
    """A row that holds its own bytes."""

    @property
    def raw(self) -> bytes: ...


Row = TypeVar("Row", bound=Raw)


class Meter:
    """Counts the bytes of rows that were read; without ``progress`` it does nothing."""

    def __init__(self, progress: Progress | None, inputs: Sequence[Source]) -> None:
        self._progress = progress
        # Of other files than plain JSON the bytes of rows are not those of the file.
        plain = all(source.seekable and source.name.endswith((".json", ".jsonl", ".ndjson")) for source in inputs)
        found = [Path(source.name) for source in inputs] if plain else []
        self._total = sum(path.stat().st_size for path in found) if found and all(map(Path.is_file, found)) else None
        self._bytes = self._rows = 0

    def add(self, raw: bytes) -> None:
        """One more row."""
        self._bytes += len(raw) + 1
        self._rows += 1
        if self._progress is not None and self._rows % EVERY == 0:
            self._progress(self._bytes, self._total)

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        """``rows``, counted as they pass."""
        for row in rows:
            self.add(row.raw)
            yield row
