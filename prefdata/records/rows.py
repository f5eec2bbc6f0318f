"""Lines that must hold one record each: read as nouns, or as the reason why a line is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
import xxhash

from prefdata.errors import InputError
from prefdata.records.sources import Source
from prefdata.records.spilling import SpillingMap
from prefdata.schema import SchemaName, violations

Noun = TypeVar("Noun")

BOM = b"\xef\xbb\xbf"
KINDS = {
    "judgment": {"response_set_id", "ranking"},
    "response set": {"prompt", "responses"},
    "pair": {"chosen", "rejected"},
}
"""Keys by which our records are told apart where a file is not of the kind that a step takes."""


@dataclass(frozen=True, slots=True)
class Row(Generic[Noun]):
    """One line of an input: its noun, or the problem that it has. ``line`` counts from 1."""

    file: str
    line: int
    raw: bytes
    noun: Noun | None
    problem: str | None
    row: int | None = None
    """From 1, in a table, which has no lines (``line`` is then 0), or where a row may span lines."""
    reason: str = "invalid-line"
    """Why a row with a problem is left out."""

    @property
    def place(self) -> dict[str, int]:
        """Line and row, as far as it has them."""
        return {name: value for name, value in (("line", self.line), ("row", self.row)) if value}


def read_rows(
    inputs: Sequence[Source],
    schema: SchemaName,
    decode: Callable[[Mapping[str, Any]], Noun],
    *,
    limit: int | None = None,
    identify: Callable[[Noun], str] | None = None,
) -> Iterator[Row[Noun]]:
    """Every line that is not blank, streaming; ``limit`` counts physical lines over all inputs.

    With ``identify``, a second row of the same id has a problem too: what is said of one could not be told from what
    is said of the other.
    """
    seen, files = SpillingMap(), [source.name for source in inputs]
    lines = ((place, each) for place, source in enumerate(inputs) for each in source.lines())
    for count, (place, physical) in enumerate(lines, start=1):
        if limit is not None and count > limit:
            return
        if not physical.raw.strip():
            continue
        noun, problem = _decoded(physical.raw.removeprefix(BOM) if physical.byte == 0 else physical.raw, schema, decode)
        if noun is not None and identify is not None:
            here = place << 40 | physical.number
            first = seen.setdefault(xxhash.xxh3_128_digest(identify(noun).encode()), here)
            if first != here:
                noun, problem = None, f"its id is that of {files[first >> 40]} line {first & (1 << 40) - 1}"
        yield Row(files[place], physical.number, physical.raw, noun, problem)


def invalid_record(row: Row[Any]) -> dict[str, Any]:
    """A line of a dropped file for a row that holds no record; bytes that are not UTF-8 are written as \\xNN."""
    return {
        "reason": row.reason,
        "detail": row.problem,
        "file": row.file,
        **row.place,
        "raw": row.raw.decode("utf-8", errors="backslashreplace"),
    }


def line(record: Mapping[str, Any]) -> bytes:
    """One line of an output."""
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def nothing_to_do(name: str, kind: str, first: Row[Any] | None) -> InputError:
    """The error for an input without one valid row; ``first`` is its first line that is not blank."""
    hint = f"it must hold one {kind} a line, as JSON"
    if kind == "prompt":
        hint += ", or have a column of prompts: --column NAME"
    if first is None:
        return InputError(f"{name} is empty", hint)
    if (other := _kind(first.raw)) not in (None, kind):
        hint = f"it looks like a file of {other}s; {hint}"
    ((what, number), *_) = first.place.items()
    return InputError(f"no {what} of {name} is a {kind} ({what} {number}: {first.problem})", hint)


def _kind(raw: bytes) -> str | None:
    """Which of our records a line looks like, by its keys."""
    try:
        document = orjson.loads(raw.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return None
    keys = set(document) if isinstance(document, dict) else set()
    return next((kind for kind, own in KINDS.items() if own <= keys), None)


def require_rows(rows: Iterable[Row[Any]], name: str, kind: str) -> None:
    """Raise InputError where not one of ``rows`` holds a record: the file is then probably another one than meant."""
    first: Row[Any] | None = None
    for row in rows:
        if row.problem is None:
            return
        first = first or row
    raise nothing_to_do(name, kind, first)


def count_lines(inputs: Sequence[Source], limit: int | None = None) -> int | None:
    """How many lines there are to read, for a progress bar; ``None`` where only reading them would tell."""
    if not all(source.seekable for source in inputs):
        return None
    total = 0
    for source in inputs:
        with source.open() as file:
            while chunk := file.read(1 << 20):
                total += chunk.count(b"\n")
    return total if limit is None else min(total, limit)


def _decoded(
    raw: bytes, schema: SchemaName, decode: Callable[[Mapping[str, Any]], Noun]
) -> tuple[Noun | None, str | None]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as encoding:
            return None, f"not UTF-8 (byte {encoding.start} of the line)"
        return None, f"not JSON: {error}"
    if not isinstance(document, dict):
        return None, "not a JSON object"
    return decoded(document, schema, decode)


def decoded(
    document: Mapping[str, Any], schema: SchemaName, decode: Callable[[Mapping[str, Any]], Noun]
) -> tuple[Noun | None, str | None]:
    """A record as a noun, or what is wrong with it."""
    violation = next(violations(schema, document), None)
    if violation is not None:
        return None, f"{violation.pointer or '/'}: {violation.message}"
    try:
        return decode(document), None
    except ValueError as error:
        return None, str(error)
