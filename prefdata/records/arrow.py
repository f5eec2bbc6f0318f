"""Pairs as Arrow: the columns of a dataset, written straight into flat arrays.

A shard holds text or chat, never both: in a text shard prompt, chosen and rejected are strings, in a chat shard
lists of messages. The folder is in the layout that ``datasets.load_from_disk`` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
import orjson
import pyarrow as pa

Form = Literal["text", "chat"]

FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
TOOL_CALL = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", FUNCTION)])
MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("tool_calls", pa.list_(TOOL_CALL)),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
    ]
)
SIDES = ("prompt", "chosen", "rejected")
MESSAGES = pa.list_(MESSAGE)
ROWS_PER_BATCH = 4096
BYTES_PER_BATCH = 16 << 20
ROLE = itemgetter("role")
NO_TEXTS = pa.array([], pa.string())


def schema(form: Form) -> pa.Schema:
    """The Arrow schema of a dataset of one form."""
    side = pa.string() if form == "text" else MESSAGES
    return pa.schema(
        [
            ("id", pa.string()),
            *((name, side) for name in SIDES),
            ("tools", pa.string()),
            ("margin", pa.float64()),
            ("probability", pa.float64()),
            ("source_file", pa.string()),
            ("source_line", pa.int64()),
            ("source_byte", pa.int64()),
            ("judgment_ids", pa.list_(pa.string())),
            ("metadata", pa.string()),
        ]
    )


@dataclass(frozen=True, slots=True)
class FlatMessages:
    """Conversations laid end to end: one entry for each message, and how many messages each conversation has."""

    roles: Sequence[str]
    contents: Sequence[str | None]
    counts: Sequence[int]
    whole: Sequence[Mapping[str, Any]] | None = None
    """The messages themselves, where any of them holds more than a role and a text."""

    @classmethod
    def of(cls, conversations: Sequence[Sequence[Mapping[str, Any]]], *, plain: bool | None = None) -> FlatMessages:
        """Flatten conversations; ``plain`` where it is known whether all messages hold just a role and a text."""
        flat = list(chain.from_iterable(conversations))
        if plain is None:
            plain = all(len(message) == 2 and "content" in message for message in flat)
        contents = [message.get("content") for message in flat]
        return cls(list(map(ROLE, flat)), contents, list(map(len, conversations)), None if plain else flat)

    def array(self) -> pa.ListArray:
        """Shape (conversations,), of type list<message>."""
        offsets = np.zeros(len(self.counts) + 1, dtype=np.int32)
        np.cumsum(np.fromiter(self.counts, np.int32, len(self.counts)), out=offsets[1:])
        columns = [pa.array(self.roles, pa.string()), pa.array(self.contents, pa.string())]
        if self.whole is None:
            columns += [pa.nulls(len(self.roles), kind) for kind in (pa.list_(TOOL_CALL), pa.string(), pa.string())]
        else:
            calls = (message.get("tool_calls") for message in self.whole)
            stored = [[_stored_call(item) for item in call] if call else None for call in calls]
            columns.append(pa.array(stored, pa.list_(TOOL_CALL)))
            for name in ("tool_call_id", "name"):
                columns.append(pa.array([message.get(name) for message in self.whole], pa.string()))
        messages = pa.StructArray.from_arrays(columns, fields=list(MESSAGE))
        return pa.ListArray.from_arrays(pa.array(offsets), messages)


Column: TypeAlias = Sequence[Any] | FlatMessages | str | None


class ShardWriter:
    """Appends rows, some hundred at a time, to one Arrow IPC stream file.

    Small batches are turned into arrays while the processor's cache still holds them, and joined to batches of about
    ``ROWS_PER_BATCH`` rows or ``BYTES_PER_BATCH`` before they are written.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self.path = path
        self.form: Form = form
        self.schema = schema(form)
        self.rows = 0
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0
        self._writer = pa.ipc.new_stream(str(path), self.schema)

    def append_columns(self, rows: int, columns: Mapping[str, Column]) -> None:
        """Add ``rows`` rows given by column, tools and metadata as JSON text.

        A column that is ``None`` or left out is null throughout (empty, for judgment_ids); one that is a string is the
        same throughout. Sides of conversations are lists of messages, or FlatMessages.
        """
        if not rows:
            return
        arrays = [_array(field, rows, columns.get(field.name)) for field in self.schema]
        self._held.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.rows += rows
        self._held_rows += rows
        self._held_bytes += self._held[-1].nbytes
        if self._held_rows >= ROWS_PER_BATCH or self._held_bytes >= BYTES_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the rows held in memory."""
        if self._held:
            for batch in pa.Table.from_batches(self._held).combine_chunks().to_batches():
                self._writer.write_batch(batch)
            self._held.clear()
            self._held_rows = self._held_bytes = 0

    def close(self) -> None:
        """Flush and finish the stream."""
        self.flush()
        self._writer.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _array(field: pa.Field, rows: int, values: Column) -> pa.Array:
    if values is None:
        empty = pa.array(np.zeros(rows + 1, np.int32))
        return pa.ListArray.from_arrays(empty, NO_TEXTS) if field.name == "judgment_ids" else pa.nulls(rows, field.type)
    if isinstance(values, str):
        return pa.repeat(pa.scalar(values, field.type), rows)
    if isinstance(values, FlatMessages):
        return values.array()
    texts: Sequence[Any] = values
    return messages_array(texts) if field.type == MESSAGES else pa.array(texts, field.type)


def messages_array(conversations: Sequence[Sequence[Mapping[str, Any]]]) -> pa.ListArray:
    """Conversations as one list<message> array, built from flat columns."""
    return FlatMessages.of(conversations).array()


def _stored_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call with its arguments as JSON text: they have no common type, and Arrow columns need one."""
    function = call["function"]
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return {
        "id": call.get("id"),
        "type": call.get("type") or "function",
        "function": {"name": function["name"], "arguments": text},
    }


def decoded_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries: messages without null keys, tool-call arguments, tools and metadata decoded from JSON."""
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            for name in SIDES:
                if isinstance(row[name], list):
                    row[name] = [decoded_message(message) for message in row[name]]
            row["tools"] = orjson.loads(row["tools"]) if row["tools"] else []
            row["metadata"] = orjson.loads(row["metadata"]) if row["metadata"] else {}
            yield row


def decoded_message(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a record: absent keys left out, tool-call arguments as the object that chat templates expect."""
    message: dict[str, Any] = {"role": stored["role"], "content": stored["content"]}
    if stored.get("tool_calls"):
        message["tool_calls"] = [_decoded_call(call) for call in stored["tool_calls"]]
        if message["content"] is None:
            del message["content"]
    for name in ("tool_call_id", "name"):
        if stored.get(name) is not None:
            message[name] = stored[name]
    return message


def _decoded_call(stored: Mapping[str, Any]) -> dict[str, Any]:
    function = stored["function"]
    try:
        arguments = orjson.loads(function["arguments"])
    except orjson.JSONDecodeError:
        arguments = function["arguments"]
    call = {"type": stored["type"], "function": {"name": function["name"], "arguments": arguments}}
    return {"id": stored["id"], **call} if stored.get("id") is not None else call


def write_split_files(folder: Path, split: str, shards: Sequence[str], fingerprint: str) -> None:
    """The two JSON files that ``datasets.load_from_disk`` wants beside the shards of a split."""
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in shards],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    (folder / "state.json").write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    info = {"citation": "", "description": "", "features": None, "homepage": "", "license": ""}
    (folder / "dataset_info.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
