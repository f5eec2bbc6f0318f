"""Rows of foreign files, one row (or one batch of a table) in memory at a time.

JSONL, JSON arrays, CSV and TSV are read plain or compressed; tables and folders are in ``tables``.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import orjson

from prefdata.errors import InputError
from prefdata.reading.delimited import delimited_rows
from prefdata.reading.rawrow import WHOLE, Part, RawRow
from prefdata.reading.tables import HUB, TABLES, folder_rows, hub_rows, table_rows
from prefdata.records.rows import BOM
from prefdata.records.sources import Source, damage_told

CHUNK = 1 << 20


def raw_rows(source: Source, name: str, part: Part = WHOLE) -> Iterator[RawRow]:
    """Every row of an input that can be opened more than once, blank lines left out; the user calls it ``name``.

    Raises InputError where the rest of it cannot be read, and ServiceError where the hub cannot be reached.
    """
    if name.startswith(HUB):
        return hub_rows(name, part)
    if Path(source.name).is_dir():
        return folder_rows(Path(source.name), part)
    plain = name.removesuffix(".gz").removesuffix(".zst").lower()
    if plain.endswith((".csv", ".tsv")):
        return delimited_rows(source, name, "\t" if plain.endswith(".tsv") else ",")
    with source.open() as file, damage_told(name):
        start = file.read(4096).removeprefix(BOM).lstrip()
    if start.startswith(TABLES):
        return table_rows(source, name)
    return _array(source, name) if start.startswith(b"[") else _lines(source, name)


def _lines(source: Source, name: str) -> Iterator[RawRow]:
    for line in source.lines():
        raw = line.raw.removeprefix(BOM) if line.byte == 0 else line.raw
        if raw.strip():
            yield RawRow(name, line.number, None, line.raw, *_object(raw))


def _object(raw: bytes) -> tuple[dict[str, Any] | None, str | None]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            raw.decode()
        except UnicodeDecodeError as wrong:
            return None, f"not UTF-8 (byte {wrong.start} of the line)"
        return None, f"not JSON: {error}"
    return (value, None) if isinstance(value, dict) else (None, "not a JSON object")


def _array(source: Source, name: str) -> Iterator[RawRow]:
    """The elements of a JSON array, found one after the other in a sliding window of text."""
    with source.open() as file, damage_told(name):
        window = _Window(name, file)
        window.skip("\ufeff \t\r\n")
        window.take("[")
        window.skip(" \t\r\n")
        row = 0
        while window.peek() != "]":
            row += 1
            if row > 1:
                window.take(",")
                window.skip(" \t\r\n")
            line, raw = window.line, window.value()
            window.skip(" \t\r\n")
            yield RawRow(name, line, row, raw, *_object(raw))
        window.take("]")
        window.skip(" \t\r\n")
        if window.peek():
            window.fail("text after the end of the array")


class _Window:
    """A part of a text file from the place reached on; grows only until one value is in it."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name, self.line = name, 1
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        while self._at >= len(self._text) and not self._ended:
            self._grow()
        return self._text[self._at : self._at + 1]

    def skip(self, characters: str) -> None:
        while (found := self.peek()) and found in characters:
            self._advance(1)

    def take(self, character: str) -> None:
        if self.peek() != character:
            self.fail(f"expected {character!r}, found {self.peek() or 'the end of the file'!r}")
        self._advance(1)

    def value(self) -> bytes:
        """The text of the JSON value that stands here."""
        while True:
            problem = ""
            try:
                _, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem, end = error.msg, -1
            # A number that touches the end of the window may go on after it.
            if self._ended or (not problem and end < len(self._text)):
                break
            self._grow()
        if problem:
            self.fail(problem)
        found = self._text[self._at : end]
        self._advance(end - self._at)
        return found.encode()

    def fail(self, problem: str) -> NoReturn:
        raise InputError(f"{self.name} is no JSON array: {problem} (line {self.line})", "check the file, or use JSONL")

    def _advance(self, characters: int) -> None:
        self.line += self._text.count("\n", self._at, self._at + characters)
        self._at += characters

    def _grow(self) -> None:
        chunk = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._ended = not chunk
        try:
            self._text = self._text[self._at :] + self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError:
            self.fail("not UTF-8")
        self._at = 0
