"""Two habits of Python and of the C library that cost much where millions of short-lived rows pass through; and what
tells whether something that was read once may be used again.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Stamp = tuple[int, int] | None

KEPT_BYTES = 256 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: parsed rows hold no cycles, and looking for some takes as long as parsing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def keep_freed_memory() -> None:
    """Tell the C library to keep memory that is freed for the next batch of rows, up to ``KEPT_BYTES``.

    It would be given back to the system after each batch and asked for again, page by page. For processes of our own
    only: it holds for the whole process and cannot be undone. Does nothing where the C library is not glibc.
    """
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version"):
            for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
                library.mallopt(option, KEPT_BYTES if option == _M_TRIM_THRESHOLD else 32 << 20)


def stamp_of(name: str) -> Stamp:
    """Size and time of the last change of a local file; ``None`` where there is none."""
    try:
        status = Path(name).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
