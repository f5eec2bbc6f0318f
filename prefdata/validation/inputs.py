"""The files that are validated: named, sniffed for being something else than JSONL, and cut into parts."""

from __future__ import annotations

import hashlib
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from prefdata.errors import InputError
from prefdata.records.sources import STDIN, Source, copy, damage_told, sources
from prefdata.validation.lines import BOM
from prefdata.validation.work import PART_BYTES, Part, Segment

CONVERT = "prefdata convert {name} -o pairs.jsonl"
HEAD_BYTES = 1 << 16
MOST_PARTS = 1024
"""Each becomes a file of the dataset, which is mapped into memory whole; systems limit how many can be."""
MAGIC = {
    b"\x1f\x8b": ("gzip data", "rename it to {name}.gz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard data", "rename it to {name}.zst"),
    b"PAR1": ("a Parquet file", "turn it into pairs first: " + CONVERT),
    b"PK\x03\x04": ("a ZIP archive", "unpack it first"),
    b"BZh": ("bzip2 data", "unpack it first: bunzip2 {name}"),
    b"\xfd7zXZ": ("xz data", "unpack it first: unxz {name}"),
    b"ARROW1": ("an Arrow file", "turn it into pairs first: " + CONVERT),
    b"SQLite format 3": ("an SQLite database", "export its judgments first: prefdata annotate export {name} -o FILE"),
    b"version https://git-lfs": ("a Git LFS pointer, not the file itself", "fetch it: git lfs pull"),
    b"\xff\xfe": ("UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 {name} > OUT.jsonl"),
    b"\xfe\xff": ("UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 {name} > OUT.jsonl"),
}
COLUMNS = (b"prompt", b"chosen", b"rejected", b"instruction", b"question", b"response")


@dataclass(frozen=True, slots=True)
class Input:
    """One input: as it was named, and where its bytes are read (stdin and pipes are spooled first)."""

    name: str
    source: Source

    def size(self) -> int | None:
        """Bytes of decompressed data, where they are known without reading them."""
        return Path(self.source.name).stat().st_size if self.source.seekable else None

    def stamp(self) -> tuple[int, int] | None:
        """Size and time of the last change, for local files."""
        if "://" in self.source.name:
            return None
        status = Path(self.source.name).stat()
        return status.st_size, status.st_mtime_ns


def open_inputs(names: Sequence[str], folder: Path) -> list[Input]:
    """The inputs that ``names`` mean, each known to be readable and to look like JSONL.

    What can be read only once is copied into ``folder``. Raises InputError with what to do.
    """
    if not names:
        raise InputError("no input was named", "prefdata validate PAIRS.jsonl -o DATASET")
    inputs = []
    for number, source in enumerate(sources(names)):
        again = source
        if source.name == STDIN or _is_pipe(source.name):
            path = folder / f"spooled-{number}.jsonl"
            copy(source, path)
            again = Source(str(path))
        _sniff(source.name, again)
        inputs.append(Input(source.name, again))
    return inputs


def parts_of(inputs: Sequence[Input]) -> Iterator[Part]:
    """The inputs in parts of about ``part_bytes``, in order; how they are cut depends on the files alone."""
    waiting: list[Segment] = []
    size = number = 0
    most = part_bytes(inputs)
    for index, given in enumerate(inputs):
        for segment in _segments(index, given, most):
            length = most if segment.end is None else segment.end - segment.start
            if waiting and size + length > most:
                yield Part(number, tuple(waiting))
                waiting, size, number = [], 0, number + 1
            waiting.append(segment)
            size += length
    if waiting:
        yield Part(number, tuple(waiting))


def part_bytes(inputs: Sequence[Input]) -> int:
    """Bytes of a part, and so of a shard: so many that large inputs are not cut into more than ``MOST_PARTS``."""
    return max(PART_BYTES, -(-sum(given.size() or 0 for given in inputs) // MOST_PARTS))


def _segments(index: int, given: Input, most: int) -> Iterator[Segment]:
    total = given.size()
    if total is None:
        yield Segment(index, given.name, given.source.name)
        return
    start = 0
    with given.source.open() as file:
        while start < total:
            file.seek(min(start + most, total))
            while (chunk := file.read(HEAD_BYTES)) and b"\n" not in chunk:
                pass
            end = file.tell() - len(chunk) + chunk.index(b"\n") + 1 if chunk else total
            yield Segment(index, given.name, given.source.name, start, end)
            start = end


class Digests:
    """SHA-256 and size of every input as it lies on disk, computed in a thread beside the checks."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self._stamps = [given.stamp() for given in inputs]
        self._found: list[tuple[str, int]] = []
        self._error: Exception | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Digests:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True

    def result(self) -> list[tuple[str, int]]:
        """Hash and bytes of each input, once they are known; raises InputError where one was changed meanwhile."""
        self._thread.join()
        if self._error is not None:
            raise InputError(f"an input cannot be read again: {self._error}", "check the disk")
        for given, stamp in zip(self._inputs, self._stamps, strict=True):
            if given.stamp() != stamp:
                raise InputError(
                    f"{given.name} was changed while it was read", "wait for what writes it, and try again"
                )
        return self._found

    def _run(self) -> None:
        try:
            self._found = [self._digest(given.source) for given in self._inputs]
        except Exception as error:  # noqa: BLE001 - told by result()
            self._error = error

    def _digest(self, source: Source) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with source.raw() as file:
            while not self._stop and (chunk := file.read(1 << 20)):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size


def _is_pipe(name: str) -> bool:
    if "://" in name:
        return False
    try:
        mode = Path(name).stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _sniff(name: str, source: Source) -> None:
    """Raise InputError where the file is plainly not JSONL; a doubtful one is left to the rules."""
    shown = "stdin" if name == STDIN else name
    with source.open() as file, damage_told(shown):
        head = file.read(HEAD_BYTES)
    for magic, (what, hint) in MAGIC.items():
        if head.startswith(magic):
            if name == STDIN and "rename" in hint:
                hint = "unpack it on the way: zcat FILE.gz | prefdata validate - (or zstdcat)"
            raise InputError(f"{shown} is {what}, not JSONL", hint.format(name=shown))
    text = head.removeprefix(BOM).lstrip()
    lines = [line.strip() for line in text.split(b"\n") if line.strip()]
    if not lines:
        return
    if lines[0] in (b"{", b"[") or (text.startswith(b"[") and not _is_json(lines[0])) or _is_one_array(lines):
        what = "one JSON array" if text.startswith(b"[") else "one JSON document on many lines"
        raise InputError(
            f"{shown} is {what}, not JSONL (one row a line)", "turn it into pairs first: " + CONVERT.format(name=shown)
        )
    if not _is_json(lines[0]) and not text.startswith(b"{") and sum(name in lines[0].lower() for name in COLUMNS) >= 2:
        kind = "TSV" if b"\t" in lines[0] else "CSV"
        raise InputError(
            f"{shown} looks like {kind}, not JSONL", "turn it into pairs first: " + CONVERT.format(name=shown)
        )


def _is_one_array(lines: list[bytes]) -> bool:
    """Whether the file is one line that holds an array of objects."""
    return lines[0].startswith(b"[{") and len(lines) == 1


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
