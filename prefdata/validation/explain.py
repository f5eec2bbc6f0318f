"""What a rule means; and where a row of a dataset came from."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc

from prefdata.errors import PrefdataError, UsageError
from prefdata.records.arrow import decoded_rows
from prefdata.records.dataset import open_dataset
from prefdata.records.sources import STDIN, Source
from prefdata.validation.findings import visible
from prefdata.validation.lines import BOM, line_at
from prefdata.validation.quarantine import is_record, unwrapped
from prefdata.validation.registry import PREFIXES, Rule, all_rules, rule_of

LEAST_PREFIX = 4
LINES_SHOWN = 6
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Provenance:
    """One row of a dataset and where it came from."""

    split: str
    row: Mapping[str, Any]
    """The row as it trains, decoded."""
    raw: str | None
    """The line that it came from, as it stands in the input now; ``None`` where it cannot be read."""
    note: str | None
    """Why it cannot be read, or that it is not the line that was validated."""


def rule_page(code: str) -> str:
    """The page of one rule; raises UsageError where there is none of that name."""
    rule = rule_of(code)
    return "\n".join(_page(rule))


def rule_list() -> str:
    """Every rule in one line each."""
    lines: list[str] = []
    names = max(len(rule.name) for rule in all_rules())
    for prefix, about in PREFIXES.items():
        lines.append(f"{prefix}  {about}")
        for rule in all_rules():
            if rule.code.startswith(prefix):
                lines.append(f"  {rule.code}  {rule.name:{names}}  {rule.severity:8} {rule.message}")
    return "\n".join(lines)


def _page(rule: Rule) -> list[str]:
    what = {
        "quarantine": "the row is refused and goes to quarantine.jsonl",
        "drop": "the row is left out and goes to dropped.jsonl",
        "keep": "the row is kept",
    }[rule.action]
    guard = "; the rule cannot be switched off" if rule.guard else f"; switch it off with --ignore {rule.code}"
    return [
        f"{rule.code} {rule.name}",
        "",
        *textwrap.wrap(f"{rule.message[0].upper()}{rule.message[1:]}. {rule.why}", WIDTH),
        "",
        *textwrap.wrap(f"Severity {rule.severity}: {what}{guard}.", WIDTH),
        "",
        "Bad:",
        *(f"  {line}" for line in shown_lines(rule.bad)),
        "Good:",
        *(f"  {line}" for line in shown_lines(rule.good)),
        "",
        *textwrap.wrap(f"Help: {rule.hint}", WIDTH, subsequent_indent="  "),
    ]


def shown_lines(lines: Sequence[bytes]) -> Iterator[str]:
    """Example lines as text; of many, the first few."""
    few = lines if len(lines) <= LINES_SHOWN else lines[: LINES_SHOWN - 1]
    yield from map(shown_line, few)
    if len(few) < len(lines):
        yield f"(and {len(lines) - len(few)} more of the kind)"


def shown_line(line: bytes) -> str:
    """An example line as text: bytes that are not UTF-8 as \\xNN, and a byte-order mark by name."""
    mark = "<byte-order mark>" if line.startswith(BOM) else ""
    return mark + line.removeprefix(BOM).decode("utf-8", errors="backslashreplace")


def provenance(dataset: str | Path, id: str) -> Provenance:
    """Where the row with this id (or the one whose id starts so) came from.

    Raises DatasetError where the dataset does not hold, UsageError where no row or more than one is meant.
    """
    handle = open_dataset(dataset)
    for split in handle.splits:
        if not handle.rows_in(split):
            continue
        table = handle.table(split)
        same = pc.equal(table["id"], id)
        if not pc.any(same).as_py() and len(id) >= LEAST_PREFIX:
            same = pc.starts_with(table["id"], id)
        found = table.filter(same)
        if found.num_rows > 1:
            ids = ", ".join(found["id"].slice(0, 3).to_pylist())
            raise UsageError(f"{found.num_rows} rows are meant by {id!r}: {ids}", "give the whole id")
        if found.num_rows == 1:
            row = next(decoded_rows(found))
            return Provenance(split, row, *_raw(row))
    raise UsageError(f"{dataset} holds no row with the id {id!r}", "ids are in the column id of its shards")


def _raw(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The line that a row came from, and what is to be said about it."""
    source = Source(row["source_file"])
    if source.name == STDIN:
        return None, "the row came from stdin, which was not kept"
    try:
        raw = _line(source, row["source_line"], row["source_byte"])
    except PrefdataError as error:
        return None, f"{error.message} (paths are as they were given to prefdata validate)"
    if raw is None:
        return None, f"{source.name} has no line {row['source_line']} any more: it was changed since"
    try:
        document = orjson.loads(raw.removeprefix(BOM))
        if isinstance(document, dict) and is_record(document):
            raw = unwrapped(document)[0]
            document = orjson.loads(raw.removeprefix(BOM))
        same = isinstance(document, dict) and _ends_alike(document, row)
    except orjson.JSONDecodeError:
        same = False
    note = (
        None
        if same
        else "the line there is not the one that was validated: the file was changed, or the row was mended"
    )
    return visible(raw.decode("utf-8", errors="backslashreplace")), note


def _line(source: Source, number: int, byte: int) -> bytes | None:
    if source.seekable:
        with source.open() as file:
            if byte:
                file.seek(byte - 1)
                if file.read(1) != b"\n":
                    return None
            return line_at(file, byte) or None
    return next((line.raw for line in source.lines() if line.number == number), None)


def _ends_alike(document: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether the answers of a raw row are those of the stored one (which may have lost a repeated prompt)."""
    return all(_last(document.get(side)) == _last(row[side]) for side in ("chosen", "rejected"))


def _last(side: Any) -> Any:
    if isinstance(side, list) and side and isinstance(side[-1], dict):
        return side[-1].get("content")
    return side
