"""The keys of all rows in buckets, so that what compares rows with each other needs memory for one bucket only.

Rows that may clash share the hash of their prompt or of their id, and with it the bucket: each bucket is looked through
for itself, and together they come to what all rows at once would have come to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prefdata.validation.duplicates import ID, KEY_COLUMNS, MARKS, Keys

ROWS_IN_MEMORY = 1 << 16
MOST_BUCKETS = 128
"""Files that are open at once while rows are sorted into buckets."""
Ordinals = npt.NDArray[np.int64]


def read_keys(path: Path) -> Keys:
    """The keys that one part left."""
    return np.fromfile(path, np.uint64).reshape(-1, KEY_COLUMNS)


class Buckets:
    """Keys sorted into files by one of their columns; rows keep their order within a bucket."""

    def __init__(self, left: Sequence[Path], rows: int, folder: Path, column: int) -> None:
        self._paths = [folder / f"bucket-{column}-{number:03}" for number in range(bucket_count(rows))]
        first = 0
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in self._paths]
            for path in left:
                keys = read_keys(path)
                keys[:, MARKS] = np.arange(first, first + len(keys), dtype=np.uint64)
                first += len(keys)
                if column == ID:
                    keys = keys[keys[:, ID] != 0]
                bucket = (keys[:, column] % np.uint64(len(files))).astype(np.int64)
                order = np.argsort(bucket, kind="stable")
                ends = np.cumsum(np.bincount(bucket, minlength=len(files)))
                for file, some in zip(files, np.split(keys[order], ends[:-1]), strict=True):
                    file.write(some.tobytes())

    def __iter__(self) -> Iterator[tuple[Keys, Ordinals]]:
        """Each bucket that holds rows: their keys, and their places among all rows, which ascend."""
        for path in self._paths:
            keys = read_keys(path)
            if len(keys):
                yield keys, keys[:, MARKS].astype(np.int64)

    def remove(self) -> None:
        """Delete the files."""
        for path in self._paths:
            path.unlink()


def bucket_count(rows: int) -> int:
    """Buckets of about ``ROWS_IN_MEMORY`` rows; of more rows where there are very many."""
    return min(MOST_BUCKETS, max(1, -(-rows // ROWS_IN_MEMORY)))
