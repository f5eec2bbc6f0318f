"""Prompts from any file of rows: records of schema ``prompt``, or one column of a table or data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import xxhash

from prefdata.errors import UsageError
from prefdata.reading.inputs import raw_rows
from prefdata.reading.rawrow import WHOLE, Part, RawRow
from prefdata.reading.tables import HUB
from prefdata.records.codec import prompt_from
from prefdata.records.rows import Row, decoded
from prefdata.records.sources import Source
from prefdata.records.spilling import SpillingMap
from prefdata.types import Prompt

RECORD = ("id", "prompt", "reference", "tools", "metadata")
BESIDE_COLUMN = ("reference", "tools")
"""What is taken of a row beside the column with its prompt; an id there is that of a pair or another thing."""
REPEATED = "repeated-prompt"


@dataclass(frozen=True, slots=True)
class PromptReader:
    """How prompts are found in a file."""

    name: str
    """As the user named it, which tells the format."""
    column: str | None = None
    """Where a prompt stands in a row; ``None``: rows of files are records, rows of data sets have a column "prompt"."""
    part: Part = WHOLE
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.part != WHOLE and not self._data_set:
            raise UsageError("--split and --revision are of data set folders and hf:owner/name", "leave them out")

    @property
    def _data_set(self) -> bool:
        return self.name.startswith(HUB) or Path(self.name).is_dir()

    def rows(self, files: Sequence[Source]) -> Iterator[Row[Prompt]]:
        """Every row; a prompt that stood before already, or another one with its id, is a row with a problem."""
        seen = _Seen([source.name for source in files])
        column = self.column or ("prompt" if self._data_set else None)
        before = 0
        for place, source in enumerate(files):
            number = 0
            for raw in raw_rows(source, source.name if len(files) > 1 else self.name, self.part):
                number = raw.row or raw.line or 0
                if self.limit is not None and before + number > self.limit:
                    return
                yield _row(raw, column, seen, place)
            before += number


class _Seen:
    """Where each prompt stood first."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files, self._places = files, SpillingMap()

    def before(self, id: str, raw: RawRow, file: int) -> str | None:
        """The earlier row with the id ``id``, as a person says it; ``None`` where there was none."""
        here = file << 40 | (raw.row or raw.line or 0)
        first = self._places.setdefault(_key(id), here)
        if first == here:
            return None
        where = f"{self._files[first >> 40]} " if len(self._files) > 1 else ""
        return f"{where}{'line' if raw.row is None else 'row'} {first & (1 << 40) - 1}"


def _row(raw: RawRow, column: str | None, seen: _Seen, file: int) -> Row[Prompt]:
    noun, problem, reason = None, raw.problem, "invalid-line"
    own_id = False
    if raw.value is not None:
        record = _record(raw, raw.value) if column is None else _of(raw.value, column)
        own_id = "id" in record
        if column is not None and "prompt" not in record:
            problem = f"there is no column {column!r} (there are: {', '.join(raw.value)})"
        else:
            noun, problem = decoded(record, "prompt", prompt_from)
            if noun is not None and isinstance(noun.content, str) and not noun.content.strip():
                noun, problem = None, "the prompt is empty"
    if noun is not None and (first := seen.before(noun.id, raw, file)) is not None:
        noun, reason = None, reason if own_id else REPEATED
        problem = f"its id is that of {first}" if own_id else f"the prompt of {first} again"
    return Row(raw.file, raw.line or 0, raw.raw, noun, problem, raw.row, reason)


def _record(raw: RawRow, value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON line says what it means, an empty id included; in a table an empty cell says nothing."""
    return dict(value) if raw.row is None else _cleaned({key: value.get(key) for key in RECORD})


def _of(value: Mapping[str, Any], column: str) -> dict[str, Any]:
    beside = {key: value.get(key) for key in BESIDE_COLUMN if key != column}
    record = _cleaned({"prompt": value.get(column), **beside})
    if not isinstance(record.get("reference"), str | list | None):  # another thing under the same name
        del record["reference"]
    return record


def _cleaned(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without empty cells; lists and objects that a table holds as JSON text are read."""
    kept: dict[str, Any] = {}
    for key, value in record.items():
        if value is None or (value == "" and key != "prompt"):
            continue
        if key in ("tools", "metadata") and isinstance(value, str):
            value = _decoded(value)
        elif key == "prompt" and isinstance(value, list):
            value = [_message(each) for each in value]
        kept[key] = value
    return kept


def _message(value: Any) -> Any:
    """A message of an Arrow table has every key that any message has."""
    if not isinstance(value, dict) or not value.get("role"):
        return value
    return {key: each for key, each in value.items() if each is not None or (key == "content" and len(value) == 2)}


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _key(id: str) -> bytes:
    return xxhash.xxh3_128_digest(id.encode("utf-8", "surrogatepass"))
