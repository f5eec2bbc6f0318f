"""Inputs: plain, .gz or .zst files, globs, ``-`` for stdin, or any URL that fsspec opens; read as lines of bytes.

Lines are split at ``\\n`` only (``str.splitlines`` also splits at U+2028, which JSON strings may hold), so that line
numbers are those of an editor and byte offsets can be sought.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import zstandard

from prefdata.errors import InputError

STDIN = "-"


class Line(NamedTuple):
    """One physical line: its number from 1, its offset in the decompressed stream, its bytes without the line end."""

    number: int
    byte: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """One input, named as the user named it."""

    name: str

    @property
    def seekable(self) -> bool:
        """Whether a byte offset can be sought without reading what stands before it."""
        return self.name != STDIN and "://" not in self.name and not self.name.endswith((".gz", ".zst"))

    def open(self) -> IO[bytes]:
        """The decompressed bytes; raises InputError with what to do when it cannot be read."""
        try:
            raw = _open_raw(self.name)
        except FileNotFoundError:
            raise InputError(
                f"{self.name}: no such file", "check the path; globs are expanded by prefdata too"
            ) from None
        except IsADirectoryError:
            raise InputError(
                f"{self.name} is a directory", f"name the file, or a glob: '{self.name.rstrip('/')}/*.jsonl'"
            ) from None
        except PermissionError:
            raise InputError(f"{self.name}: permission denied", "check who may read the file") from None
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"{self.name}: {error}", "check the path or URL") from None
        if self.name.endswith(".gz"):
            return cast(IO[bytes], _Gzip(raw))
        if self.name.endswith(".zst"):
            return cast(IO[bytes], io.BufferedReader(_Zstandard(raw), buffer_size=1 << 20))
        return raw

    def lines(self) -> Iterator[Line]:
        """Every physical line, streaming; raises InputError where compressed data is damaged."""
        with self.open() as file, damage_told(self.name):
            byte = 0
            for number, raw in enumerate(file, start=1):
                yield Line(number, byte, raw.rstrip(b"\r\n") if raw.endswith(b"\n") else raw)
                byte += len(raw)

    def raw(self) -> IO[bytes]:
        """The bytes as they lie on disk, compressed or not."""
        return _open_raw(self.name)

    def sha256(self) -> str:
        """SHA-256 of the file as it lies on disk (compressed or not), as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        with self.raw() as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


@contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Raise InputError where reading ``name`` fails because its compressed data is damaged."""
    try:
        yield
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        raise InputError(f"{name}: the compressed data is damaged ({error})", "compress the file again") from None


def sources(names: Sequence[str]) -> list[Source]:
    """The inputs that ``names`` mean, globs expanded in sorted order; raises InputError where one means nothing."""
    if list(names).count(STDIN) > 1:
        raise InputError("stdin ('-') is named twice", "name it once")
    found: list[Source] = []
    for name in names:
        if name != STDIN and "://" not in name and glob.has_magic(name) and not Path(name).exists():
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - pathlib has no absolute patterns
            if not matches:
                raise InputError(
                    f"no file matches {name!r}", "check the pattern, and quote it so that the shell leaves it alone"
                )
            found.extend(Source(match) for match in matches)
        else:
            found.append(Source(name))
    seen: set[str] = set()
    for source in found:
        if source.name in seen:
            raise InputError(f"{source.name} is named twice", "every row of it would count double; name it once")
        seen.add(source.name)
    return found


def spool(source: Source, path: Path) -> Source:
    """``source`` copied to ``path`` when it can be read only once (stdin); any other is returned as it is."""
    if source.name != STDIN:
        return source
    copy(source, path)
    return Source(str(path))


def copy(source: Source, path: Path) -> None:
    """Write what ``source`` gives to ``path``, as it comes.

    One system call at a time: a read that fills its buffer from a pipe does not look up in between, and a Ctrl-C that
    comes while data does would only be heard when the next does.
    """
    with source.open() as read, path.open("wb") as write:
        one: Callable[[int], bytes] = getattr(read, "read1", read.read)
        while chunk := one(1 << 20):
            write.write(chunk)
            write.flush()


class _Gzip(gzip.GzipFile):
    """Gzip data that closes the file below it, which GzipFile leaves open."""

    def __init__(self, below: IO[bytes]) -> None:
        super().__init__(fileobj=below)
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


class _Zstandard(io.RawIOBase):
    """Zstandard frames one after the other; raises ZstdError where the last one is cut short.

    The library's own stream reader takes a truncated file for a whole one, and rows would be lost without a word.
    """

    CHUNK_BYTES = 1 << 13

    def __init__(self, below: IO[bytes]) -> None:
        self._below = below
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._fresh = True
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._frame.unused_data or self._below.read(self.CHUNK_BYTES)
            if self._frame.eof:
                self._frame, self._fresh = zstandard.ZstdDecompressor().decompressobj(), True
            if not chunk:
                if not self._fresh:
                    raise zstandard.ZstdError("the file ends in the middle of a frame")
                return 0
            self._fresh = False
            self._ready = self._frame.decompress(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        super().close()
        self._below.close()


def _open_raw(name: str) -> IO[bytes]:
    if name == STDIN:
        return sys.stdin.buffer
    if "://" in name:
        import fsspec

        return cast(IO[bytes], fsspec.open(name, "rb").open())
    return Path(name).open("rb")
