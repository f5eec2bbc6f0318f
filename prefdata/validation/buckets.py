"""All rows in buckets, so that what compares rows with each other needs memory for one bucket only.

Rows that may clash share the hash of their prompt or of their id, and with it the bucket: each bucket is looked through
for itself, and together they come to what all rows at once would have come to.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from prefdata.validation.duplicates import ID, KEY_COLUMNS, MARKS, Keys

ROWS_IN_MEMORY = 1 << 16
MOST_BUCKETS = 128
"""Files that are open at once while rows are sorted into buckets."""
ITEMS_IN_MEMORY = 1 << 14
Item = TypeVar("Item")
Numbers = npt.NDArray[np.uint64]


def read_keys(path: Path) -> Keys:
    """The keys that one part left."""
    return np.fromfile(path, np.uint64).reshape(-1, KEY_COLUMNS)


class Buckets:
    """Rows of numbers sorted into files by one of their columns; they keep their order within a bucket.

    ``parts`` are arrays of shape (some rows, ``columns``); the bucket of a row follows from the number in ``column``.
    """

    def __init__(self, parts: Iterable[Numbers], rows: int, columns: int, column: int, folder: Path, name: str) -> None:
        self._columns = columns
        self._paths = [folder / f"{name}-{number:03}" for number in range(bucket_count(rows))]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in self._paths]
            for numbers in parts:
                bucket = (numbers[:, column] % np.uint64(len(files))).astype(np.int64)
                order = np.argsort(bucket, kind="stable")
                ends = np.cumsum(np.bincount(bucket, minlength=len(files)))
                for file, some in zip(files, np.split(numbers[order], ends[:-1]), strict=True):
                    file.write(some.tobytes())

    def __iter__(self) -> Iterator[Numbers]:
        """The rows of each bucket that holds any."""
        for path in self._paths:
            numbers = np.fromfile(path, np.uint64).reshape(-1, self._columns)
            if len(numbers):
                yield numbers

    def remove(self) -> None:
        """Delete the files."""
        for path in self._paths:
            path.unlink()


def placed_keys(left: Sequence[Path], *, with_id: bool = False) -> Iterator[Keys]:
    """The keys that each part left, those with an id only where that is asked for, and in the last column the place of
    each row among all rows."""
    first = 0
    for path in left:
        keys = read_keys(path)
        keys[:, MARKS] = np.arange(first, first + len(keys), dtype=np.uint64)
        first += len(keys)
        yield keys[keys[:, ID] != 0] if with_id else keys


def bucket_count(rows: int) -> int:
    """Buckets of about ``ROWS_IN_MEMORY`` rows; of more rows where there are very many."""
    return min(MOST_BUCKETS, max(1, -(-rows // ROWS_IN_MEMORY)))


class SpillingSort(Generic[Item]):
    """Items by a row's place among all rows, given back in that order; those of one row in the order they came in.

    Beyond ``most`` they lie in files, each for a range of rows, of which one is held in memory at a time.
    """

    def __init__(self, folder: Path, rows: int, most: int = ITEMS_IN_MEMORY) -> None:
        self._folder, self._most = folder, most
        self._rows_each = max(1, -(-rows // MOST_BUCKETS))
        self._held: list[tuple[int, Item]] = []
        self._spilt: set[int] = set()

    def add(self, ordinal: int, item: Item) -> None:
        """Add an item of a row."""
        self._held.append((ordinal, item))
        if len(self._held) >= self._most:
            self._spill()

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        if not self._spilt:
            yield from sorted(self._held, key=itemgetter(0))
            return
        self._spill()
        for bucket in sorted(self._spilt):
            items: list[tuple[int, Item]] = []
            with self._path(bucket).open("rb") as file:
                while file.peek(1):
                    items += pickle.load(file)
            yield from sorted(items, key=itemgetter(0))

    def _spill(self) -> None:
        self._held.sort(key=itemgetter(0))
        ends: dict[int, list[tuple[int, Item]]] = {}
        for ordinal, item in self._held:
            ends.setdefault(ordinal // self._rows_each, []).append((ordinal, item))
        for bucket, items in ends.items():
            with self._path(bucket).open("ab") as file:
                pickle.dump(items, file, pickle.HIGHEST_PROTOCOL)
        self._spilt.update(ends)
        self._held.clear()

    def _path(self, bucket: int) -> Path:
        return self._folder / f"found-{bucket:03}"
