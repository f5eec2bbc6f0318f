"""Pairs as Arrow: the columns of a dataset, written straight into flat arrays.

A shard holds text or chat, never both: in a text shard prompt, chosen and rejected are strings, in a chat shard
lists of messages. The folder is in the layout that ``datasets.load_from_disk`` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

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
ROWS_PER_BATCH = 4096


def schema(form: Form) -> pa.Schema:
    """The Arrow schema of a dataset of one form."""
    side = pa.string() if form == "text" else pa.list_(MESSAGE)
    return pa.schema(
        [
            ("id", pa.string()),
            *((name, side) for name in SIDES),
            ("tools", pa.string()),
            ("margin", pa.float64()),
            ("source_file", pa.string()),
            ("source_line", pa.int64()),
            ("source_byte", pa.int64()),
            ("judgment_ids", pa.list_(pa.string())),
            ("metadata", pa.string()),
        ]
    )


class ShardWriter:
    """Appends rows to one Arrow IPC stream file; memory holds at most ``ROWS_PER_BATCH`` rows."""

    def __init__(self, path: Path, form: Form) -> None:
        self.path = path
        self.form: Form = form
        self.schema = schema(form)
        self.rows = 0
        self._columns: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        self._writer = pa.ipc.new_stream(str(path), self.schema)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row: sides as strings or message records, tools and metadata as JSON values (encoded here)."""
        columns = self._columns
        columns["id"].append(row["id"])
        for name in SIDES:
            columns[name].append(row[name])
        tools, metadata = row.get("tools"), row.get("metadata")
        columns["tools"].append(orjson.dumps(tools).decode() if tools else None)
        columns["margin"].append(row.get("margin"))
        columns["source_file"].append(row["source_file"])
        columns["source_line"].append(row["source_line"])
        columns["source_byte"].append(row["source_byte"])
        columns["judgment_ids"].append(row.get("judgment_ids") or [])
        columns["metadata"].append(orjson.dumps(metadata).decode() if metadata else None)
        self.rows += 1
        if len(columns["id"]) >= ROWS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the rows held in memory as one record batch."""
        columns = self._columns
        if not columns["id"]:
            return
        arrays = [
            messages_array(columns[name])
            if name in SIDES and self.form == "chat"
            else pa.array(columns[name], self.schema.field(name).type)
            for name in self.schema.names
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self.schema))
        for values in columns.values():
            values.clear()

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


def messages_array(conversations: Sequence[Sequence[Mapping[str, Any]]]) -> pa.ListArray:
    """Conversations as one list<message> array, built from flat columns."""
    offsets = [0]
    roles: list[str] = []
    contents: list[str | None] = []
    calls: list[list[dict[str, Any]] | None] = []
    call_ids: list[str | None] = []
    names: list[str | None] = []
    for messages in conversations:
        for message in messages:
            roles.append(message["role"])
            contents.append(message.get("content"))
            tool_calls = message.get("tool_calls")
            calls.append([_stored_call(call) for call in tool_calls] if tool_calls else None)
            call_ids.append(message.get("tool_call_id"))
            names.append(message.get("name"))
        offsets.append(len(roles))
    flat = pa.StructArray.from_arrays(
        [
            pa.array(roles, pa.string()),
            pa.array(contents, pa.string()),
            pa.array(calls, pa.list_(TOOL_CALL)),
            pa.array(call_ids, pa.string()),
            pa.array(names, pa.string()),
        ],
        fields=list(MESSAGE),
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)


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
