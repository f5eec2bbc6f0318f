"""Which format the files are in: the one that the user named, if their rows can be read so, else the one found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from prefdata.conversion.mapping import Map, check_columns, mapped_format
from prefdata.conversion.outcomes import Format, WrongShapeError
from prefdata.conversion.registry import SAMPLE, Detection, detected
from prefdata.errors import InputError, UsageError
from prefdata.reading.inputs import raw_rows
from prefdata.reading.rawrow import WHOLE, Part, RawRow
from prefdata.records.sources import Source


def detect(
    files: Sequence[tuple[str, Source]],
    chosen: Format | None,
    *,
    part: Part = WHOLE,
    columns: Map | None = None,
    as_mapped: bool = False,
) -> Detection:
    """The format that was named, mapped or found; raises UsageError or InputError where the files are not in one."""
    if columns is not None:
        chosen = mapped_format(columns)
    found: Detection | None = None
    for name, source in files:
        rows = list(islice(raw_rows(source, name, part), SAMPLE))
        values = [row.value for row in rows if row.value is not None]
        if not values:
            raise _no_rows(name, rows)
        if columns is not None:
            check_columns(columns, values, name, as_mapped=as_mapped)
        if chosen is not None:
            _check_fits(chosen, values, name)
            continue
        here = detected(values, name)
        if found is not None and here.format is not found.format:
            raise UsageError(
                f"{files[0][0]} is in format {found.format.name}, {name} in {here.format.name}",
                "convert them one by one",
            )
        found = found or here
    if found is None:
        assert chosen is not None
        return Detection(chosen, 1.0, "named with --from" if columns is None else chosen.signature)
    return found


def _check_fits(format_: Format, values: Sequence[dict[str, Any]], name: str) -> None:
    """Raise InputError where no row can be read: the wrong format was named."""
    problem = ""
    for value in values:
        try:
            outcomes = list(format_.read([value]))
        except WrongShapeError as error:
            problem = problem or str(error)
        else:
            if outcomes:
                return
    try:
        hint = f"it looks like {detected(values, name).format.name}"
    except UsageError as error:
        hint = error.hint or "look at the columns of the file"
    raise InputError(f"{name} is not in format {format_.name}: {problem}", hint)


def _no_rows(name: str, rows: Sequence[RawRow]) -> InputError:
    """The error for a file in which nothing is a row: what it is instead, where that can be told."""
    hint = "it must hold objects, one a line or as a JSON array, or be CSV (.csv, .tsv), Parquet or Arrow"
    if not rows:
        header = name.removesuffix(".gz").removesuffix(".zst").lower().endswith((".csv", ".tsv"))
        return InputError(f"{name} is empty" + (", or a header without rows" if header else ""), hint)
    first = rows[0].raw.lstrip()
    if first.startswith(b"PK\x03\x04"):
        return InputError(f"{name} is a ZIP file or an Excel workbook", "unpack it, or save the sheet as CSV")
    if first.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return InputError(f"{name} is compressed", "give it the ending .gz or .zst that says so")
    if len(first.rstrip()) < 3 and first.startswith(b"{"):
        hint = "a JSON object over several lines: write one object a line (jq -c . FILE), or an array of them"
    elif b"," in first and not first.startswith((b"{", b"[", b'"')) and all(32 <= byte < 127 for byte in first[:80]):
        hint = "if it is CSV, give it the ending .csv"
    return InputError(f"no row of {name} is a JSON object ({_first(rows)})", hint)


def _first(rows: Sequence[RawRow]) -> str:
    first = rows[0]
    return f"{f'line {first.line}' if first.line is not None else f'row {first.row}'}: {first.problem}"
