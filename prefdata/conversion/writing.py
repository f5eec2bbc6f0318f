"""Where converted pairs go: our own records, the rows of a foreign format, or one Parquet file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import orjson

from prefdata.conversion.formats.llamafactory import dataset_info
from prefdata.conversion.outcomes import Export, NoPlaceError
from prefdata.errors import InputError, OutputExistsError
from prefdata.records.output import write_json

PARQUET = "parquet"
INFO = "dataset_info.json"
ROWS_PER_GROUP = 4096
SIDES = ("prompt", "chosen", "rejected")


def row_writer(export: Export, put: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A function that puts the rows of a pair, or raises NoPlaceError and puts none.

    A record of a tie has no place in any foreign format: a trainer would take it for a preference.
    """

    def write(record: dict[str, Any]) -> None:
        if record.get("metadata", {}).get("tie"):
            raise NoPlaceError("this is a record of a tie, and the format knows preferences only")
        for row in export.write(record):
            put(row)

    return write


class ParquetRows:
    """TRL's columns as Parquet, a group of rows in memory; the first pair decides whether it holds text or chat."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self._text: bool | None = None
        self._writer: Any = None

    def put(self, row: dict[str, Any]) -> None:
        """Add one row of TRL's explicit form; raises NoPlaceError for text among chat, and chat among text."""
        text = isinstance(row["prompt"], str)
        if self._text is None:
            self._text = text
        if text != self._text:
            kinds = ("text", "chat") if text else ("chat", "text")
            raise NoPlaceError(f"this pair is {kinds[0]} and the Parquet file holds {kinds[1]}: a column has one type")
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from prefdata.records.arrow import MESSAGES, messages_array

        side = MESSAGES if self._text is False else pa.string()
        schema = pa.schema([*((name, side) for name in SIDES), ("tools", pa.string()), ("prefdata", pa.string())])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        columns = [[row[name] for row in self._rows] for name in SIDES]
        arrays = [messages_array(column) if side == MESSAGES else pa.array(column, side) for column in columns]
        tools = [orjson.dumps(row["tools"]).decode() if row.get("tools") else None for row in self._rows]
        arrays += [pa.array(tools, pa.string()), pa.array([row["prefdata"] for row in self._rows], pa.string())]
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        self._rows.clear()


class DatasetInfo:
    """LLaMA-Factory's list of data sets beside the output, to which one entry is added; the others stay."""

    def __init__(self, out: Path, kind: str, overwrite: bool) -> None:
        """Raise InputError or OutputExistsError where the entry cannot be added."""
        self._path = out.with_name(INFO)
        self._entry = dataset_info(out.stem, out.name, kind)
        self._known: dict[str, Any] = {}
        if self._path.exists():
            try:
                self._known = orjson.loads(self._path.read_bytes())
            except (OSError, orjson.JSONDecodeError):
                self._known = None  # type: ignore[assignment]
            if not isinstance(self._known, dict):
                raise InputError(f"{self._path} is no JSON object", "mend it, or write into another folder")
            if self._known.get(out.stem, self._entry[out.stem]) != self._entry[out.stem] and not overwrite:
                raise OutputExistsError(
                    f"{self._path} has another data set {out.stem!r}", "choose another -o, or pass --overwrite"
                )

    def write(self) -> None:
        """Add the entry, atomically."""
        write_json(self._path, {**self._known, **self._entry})
