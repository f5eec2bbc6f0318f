"""Column maps for files in no known format: ``prompt=question chosen=answer_a rejected=answer_b``, kept as YAML."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from prefdata.conversion.formats import kto, trl
from prefdata.conversion.outcomes import Format, Outcome, Row, WrongShapeError
from prefdata.errors import InputError, UsageError
from prefdata.records.output import atomic_file
from prefdata.records.publishing import check_outputs
from prefdata.records.sources import sources

Map = dict[str, str]
"""Ours to the file's columns; ``a.b`` reaches into an object."""

PAIRED, UNPAIRED = ("prompt", "chosen", "rejected"), ("prompt", "completion", "label")
MORE = ("id", "tools", "margin", "score_chosen", "score_rejected", "source")
NUMBERS = ("margin", "score_chosen", "score_rejected")
OURS = (*PAIRED, *UNPAIRED[1:], *MORE)
BETTER = ("chosen", "prefer", "better", "win", "good", "accept", "positive")
WORSE = ("reject", "dispref", "non_prefer", "not_prefer", "unprefer", "worse", "los", "bad", "negative")


def parsed(pairs: Iterable[str]) -> Map:
    """``OURS=COLUMN`` texts as a map; raises UsageError."""
    made: Map = {}
    for pair in pairs:
        ours, equals, column = pair.partition("=")
        if not equals or not ours or not column:
            raise UsageError(f"--map {pair!r} is no OURS=COLUMN", "for example --map prompt=question")
        if ours in made:
            raise UsageError(f"--map names {ours!r} twice", "name it once")
        made[ours] = column
    return made


def checked(columns: Mapping[str, str]) -> Map:
    """``columns`` if they make pairs; raises UsageError, for one that is the wrong way round too."""
    for ours, column in columns.items():
        if ours not in OURS:
            if column in OURS:
                raise UsageError(f"--map {ours}={column} is the wrong way round", f"write --map {column}={ours}")
            raise UsageError(f"--map {ours}={column}: there is no {ours!r} in a pair", f"choose from {', '.join(OURS)}")
    needed = UNPAIRED if {"completion", "label"} & columns.keys() else PAIRED[1:]
    if missing := [ours for ours in needed if ours not in columns]:
        raise UsageError(
            f"the map has no {' and no '.join(missing)}", " ".join(f"--map {ours}=COLUMN" for ours in missing)
        )
    twice = [ours for ours in needed if list(columns.values()).count(columns[ours]) > 1]
    if twice:
        raise UsageError(f"the map uses the column {columns[twice[0]]!r} for {' and '.join(twice)}", "name two columns")
    return dict(columns)


def given(file: Path | None, pairs: Sequence[str]) -> Map | None:
    """The map of a file and of ``OURS=COLUMN`` texts, which override it; None where neither is given."""
    if file is None and not pairs:
        return None
    return checked({**(load(file) if file is not None else {}), **parsed(pairs)})


def load(path: Path) -> Map:
    """The map in a YAML file, as ``save`` writes it; raises InputError."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "make it with --save-map") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not YAML: {str(error).splitlines()[0]}", "for example 'prompt: question'"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(part, str) for one in found.items() for part in one):
        raise InputError(f"{path} must hold columns by name", "for example 'prompt: question'")
    return found


def check_save(columns: Map | None, path: Path, inputs: Sequence[str], output: Path) -> None:
    """Raise what ``save`` would come to, before there is work to lose: no map, or no place for it."""
    if columns is None:
        raise UsageError("--save-map has no map to save", "name the columns: --map prompt=COLUMN …")
    check_outputs(path, {"output": output}, sources(inputs), overwrite=True)


def save(columns: Map, path: Path) -> None:
    """Write a map as YAML, replacing one that is there."""
    with atomic_file(path) as file:
        file.write(yaml.safe_dump(columns, sort_keys=False, allow_unicode=True).encode())


def mapped_format(columns: Map) -> Format:
    """The format of a file whose columns the map names."""
    below = kto.FORMAT if "label" in columns else trl.FORMAT
    first = {column.partition(".")[0] for column in columns.values()}

    def renamed(row: Row) -> dict[str, Any]:
        rest = {name: value for name, value in row.items() if name not in first}
        clash = {f"original_{name}" if name in OURS else name: value for name, value in rest.items()}
        return {**clash, **{ours: _typed(ours, value_at(row, column)) for ours, column in columns.items()}}

    def read(rows: Sequence[Row]) -> Iterable[Outcome]:
        try:
            return list(below.read([renamed(row) for row in rows]))
        except WrongShapeError as error:
            raise WrongShapeError(f"{error} ({_told(columns)})") from None

    def group(row: Row) -> Hashable:
        assert below.group is not None
        return below.group(renamed(row))

    return replace(
        below,
        name="mapped",
        summary="columns named by --map",
        signature=_told(columns),
        read=read,
        group=group if below.group else None,
    )


def check_columns(columns: Map, rows: Sequence[Row], file: str, *, as_mapped: bool) -> None:
    """Raise UsageError where a column is in none of the first rows, or where the sides look swapped."""
    there = sorted({name for row in rows for name in row})
    for ours, column in columns.items():
        if all(value_at(row, column) is None for row in rows):
            near = get_close_matches(column, there, 1)
            raise UsageError(
                f"{file} has no column {column!r} (mapped to {ours})",
                f"did you mean {near[0]!r}?" if near else f"its columns: {', '.join(there[:12])}",
            )
    why = _looks_swapped(columns, rows)
    if why and not as_mapped:
        raise UsageError(f"the sides of {file} look swapped: {why}", "swap them in the map, or pass --as-mapped")


def _typed(ours: str, value: Any) -> Any:
    """Numbers may be written as text, as in CSV."""
    if ours in NUMBERS and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def value_at(row: Row, column: str) -> Any:
    """The value of a column; ``a.b`` is that of b in the object a, unless a column has this very name."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _looks_swapped(columns: Map, rows: Sequence[Row]) -> str:
    if "label" in columns:
        return ""
    chosen, rejected = columns["chosen"].lower(), columns["rejected"].lower()
    if _says(chosen, WORSE) and _says(rejected, BETTER):
        return f"chosen is the column {columns['chosen']!r}, rejected is {columns['rejected']!r}"
    if not {"score_chosen", "score_rejected"} <= columns.keys():
        return ""
    names = ("score_chosen", "score_rejected")
    scores = [[_typed(name, value_at(row, columns[name])) for name in names] for row in rows]
    told = [one < other for one, other in scores if all(isinstance(score, int | float) for score in (one, other))]
    if told and sum(told) > len(told) / 2:
        return f"the chosen score is the lower one in {sum(told)} of {len(told)} rows"
    return ""


def _says(column: str, words: Sequence[str]) -> bool:
    if words is BETTER and _says(column, WORSE):
        return False
    return any(word in column for word in words)


def _told(columns: Mapping[str, str]) -> str:
    return "map: " + ", ".join(f"{ours}={column}" for ours, column in columns.items())
