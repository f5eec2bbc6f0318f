"""Raw lines: cut into batches with exact line numbers and byte offsets, in bounded memory.

Lines end at ``\\n`` only. A line longer than ``MAX_LINE_BYTES`` is not held in memory: its first bytes stand for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

MAX_LINE_BYTES = 16 * 1024 * 1024
OVERLONG_KEPT_BYTES = 4096
CHUNK_BYTES = 1 << 20
"""Bytes read at once: small enough that what is made of them stays in the processor's cache."""
BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class LineBatch:
    """Consecutive physical lines without their line ends; the first is number ``line`` at offset ``byte``."""

    line: int
    byte: int
    raws: list[bytes]
    overlong: dict[int, int] = field(default_factory=dict)
    """Index of each line of which only the first bytes are held, with its full length in bytes."""
    ended: bool = True
    """Whether a line end follows the last line."""
    data: memoryview | None = None
    """The bytes that hold just these lines, where they lie together."""

    @property
    def end(self) -> int:
        """Byte offset of what follows, counted as if a line end closed the last line."""
        cut = sum(length - len(self.raws[index]) for index, length in self.overlong.items()) if self.overlong else 0
        return self.byte + sum(map(len, self.raws)) + len(self.raws) + cut

    def offsets(self) -> list[int]:
        """Byte offset of each line."""
        offsets, at = [], self.byte
        for index, raw in enumerate(self.raws):
            offsets.append(at)
            at += self.overlong.get(index, len(raw)) + 1
        return offsets


@dataclass(slots=True)
class RawLine:
    """One physical line, as the rules of syntax see it."""

    raw: bytes
    document: object = None
    """What the line holds; ``None`` where it cannot be read."""
    error: str | None = None
    """Why the line cannot be read, in the parser's words."""
    at: int = 0
    """Byte in the line at which the parser gave up."""
    length: int = 0
    """Bytes of the whole line; more than ``raw`` holds where it is overlong."""
    bom: bool = False
    """Whether a byte-order mark stood at its start (it is taken off)."""
    ended: bool = True
    """Whether a line end follows; false only for the last line of a file that was cut short."""


def batches(file: IO[bytes], size: int, *, line: int = 1, byte: int = 0, end: int | None = None) -> Iterator[LineBatch]:
    """Batches of at most ``size`` lines from where ``file`` stands, up to offset ``end`` (the end of a line)."""
    rest = b""
    while True:
        chunk = file.read(_budget(CHUNK_BYTES, byte + len(rest), end))
        data = rest + chunk if rest else chunk
        lines = data.split(b"\n")
        rest = lines.pop()
        if not chunk and rest:
            lines.append(rest)
        if chunk and 0 < len(lines) <= size and len(data) <= MAX_LINE_BYTES:
            whole = len(data) - len(rest)
            yield LineBatch(line, byte, lines, data=memoryview(data)[:whole])
            line, byte = line + len(lines), byte + whole
        else:
            for batch in _cut(lines, size, line, byte, ended=bool(chunk) or not rest):
                yield batch
                line += len(batch.raws)
                byte = batch.end
        if not chunk:
            return
        if len(rest) > MAX_LINE_BYTES:
            length, ended, more = _skip_line(file, len(rest), byte, end)
            yield LineBatch(line, byte, [rest[:OVERLONG_KEPT_BYTES]], {0: length}, ended)
            line, byte, rest = line + 1, byte + length + 1, more


def _cut(lines: list[bytes], size: int, line: int, byte: int, ended: bool) -> Iterator[LineBatch]:
    """``lines`` in batches; one that is too long is cut down and makes a batch of its own."""
    long = [index for index, raw in enumerate(lines) if len(raw) > MAX_LINE_BYTES] if lines else []
    first = 0
    for stop in (*long, len(lines)):
        while first < stop:
            part = lines[first : min(first + size, stop)]
            first += len(part)
            batch = LineBatch(line, byte, part, ended=ended or first < len(lines))
            line, byte = line + len(part), batch.end
            yield batch
        if stop < len(lines):
            length = len(lines[stop])
            first = stop + 1
            yield LineBatch(
                line, byte, [lines[stop][:OVERLONG_KEPT_BYTES]], {0: length}, ended=ended or first < len(lines)
            )
            line, byte = line + 1, byte + length + 1


def _budget(want: int, at: int, end: int | None) -> int:
    return want if end is None else max(0, min(want, end - at))


def _skip_line(file: IO[bytes], length: int, byte: int, end: int | None) -> tuple[int, bool, bytes]:
    """Read to the end of the line at ``byte`` of which ``length`` bytes are read.

    Gives its full length, whether a line end closes it, and what was read beyond it.
    """
    while chunk := file.read(_budget(CHUNK_BYTES, byte + length, end)):
        found = chunk.find(b"\n")
        if found >= 0:
            return length + found, True, chunk[found + 1 :]
        length += len(chunk)
    return length, False, b""


def line_at(file: IO[bytes], byte: int) -> bytes:
    """The line at offset ``byte`` of a seekable file, without its line end."""
    file.seek(byte)
    raw = file.readline(MAX_LINE_BYTES + CHUNK_BYTES + 1)
    return raw[:-1] if raw.endswith(b"\n") else raw
