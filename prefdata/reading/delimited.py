"""Rows of CSV and TSV files with a header (RFC 4180): cells are text, and a cell may span lines."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Iterator
from typing import Any

import orjson

from prefdata.errors import InputError
from prefdata.reading.rawrow import RawRow
from prefdata.records.sources import Source, damage_told

LONGEST_CELL = 1 << 30


def delimited_rows(source: Source, name: str, delimiter: str) -> Iterator[RawRow]:
    """Every row by its header; one with other than the header's number of cells has a problem."""
    csv.field_size_limit(LONGEST_CELL)
    with source.open() as file, damage_told(name), io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            unnamed = _named(header)
            if len(set(header)) < len(header):
                twice = next(one for one in header if header.count(one) > 1)
                raise InputError(f"{name}: the header names the column {twice!r} twice", "give each its own name")
            line, row = reader.line_num + 1, 0
            for cells in reader:
                if cells:
                    row += 1
                    yield _row(name, line, row, header, cells, unnamed)
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{name}: {error} (line {reader.line_num})", "check the quotes in that line") from None
        except UnicodeDecodeError:
            raise _not_utf8(source, name) from None


def _named(header: list[str]) -> set[str]:
    """Name columns that have no name after their place, where there are several; returns the names.

    Spreadsheets write such columns beside a table, mostly with nothing in them.
    """
    if header.count("") < 2:
        return set()
    unnamed = {place: f"column {place + 1}" for place, column in enumerate(header) if not column}
    header[:] = [unnamed.get(place, column) for place, column in enumerate(header)]
    return set(unnamed.values())


def _not_utf8(source: Source, name: str) -> InputError:
    """The first line that is not UTF-8; the decoder reads ahead of the rows and does not know it."""
    with source.open() as file, damage_told(name):
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return InputError(f"{name} is UTF-16", "save it again as UTF-8 (in Excel: CSV UTF-8)")
            try:
                line.decode()
            except UnicodeDecodeError as wrong:
                where = f"line {number}, byte {wrong.start} of the line"
                return InputError(f"{name}: not UTF-8 ({where})", "save it again as UTF-8 (in Excel: CSV UTF-8)")
    return InputError(f"{name}: not UTF-8", "save it again as UTF-8")


def _row(name: str, line: int, row: int, header: list[str], cells: list[str], unnamed: Collection[str]) -> RawRow:
    if len(cells) != len(header):
        return RawRow(name, line, row, orjson.dumps(cells), None, f"{len(cells)} cells, the header has {len(header)}")
    held = zip(header, cells, strict=True)
    value = {column: _cell(cell) for column, cell in held if cell or column not in unnamed}
    return RawRow(name, line, row, orjson.dumps(value), value)


def _cell(cell: str) -> Any:
    """Text, but for a list of messages written as JSON: nobody answers with that by chance."""
    if cell.startswith("[{"):
        try:
            value = orjson.loads(cell)
        except orjson.JSONDecodeError:
            return cell
        if all(isinstance(item, dict) and ("role" in item or "from" in item) for item in value):
            return value
    return cell
