"""Pairs as Arrow: the columns of a dataset, written straight into flat arrays.

A shard holds text or chat, never both: in a text shard prompt, chosen and rejected are strings, in a chat shard
lists of messages. The folder is in the layout that ``datasets.load_from_disk`` reads.

Arrays are made from buffers where that is as simple: ``pa.array`` of a list imports pandas, for a fifth of a second.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from prefdata.errors import InputError
from prefdata.records.ids import ROLE_TAGS

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
BYTES_PER_BATCH = 8 << 20
ROLE = itemgetter("role")
ROLE_UTF8 = {role: role.encode() for role in ROLE_TAGS}


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
    utf8: Sequence[bytes | None] | None = None
    """The contents in UTF-8, where they are known."""

    @classmethod
    def of(cls, conversations: Sequence[Sequence[Mapping[str, Any]]], *, plain: bool | None = None) -> FlatMessages:
        """Flatten conversations; ``plain`` where it is known whether all messages hold just a role and a text."""
        flat = list(chain.from_iterable(conversations))
        if plain is None:
            plain = all(len(message) == 2 and "content" in message for message in flat)
        contents = [message.get("content") for message in flat]
        return cls(list(map(ROLE, flat)), contents, list(map(len, conversations)), None if plain else flat)

    @property
    def single(self) -> bool:
        """Whether every conversation is one message."""
        return len(self.roles) == len(self.counts) and all(self.counts)

    def array(self) -> pa.ListArray:
        """Shape (conversations,), of type list<message>."""
        columns = [
            text_array(list(map(ROLE_UTF8.__getitem__, self.roles))),
            text_array(self.contents if self.utf8 is None else self.utf8),
        ]
        if self.whole is None:
            columns += [pa.nulls(len(self.roles), kind) for kind in (pa.list_(TOOL_CALL), pa.string(), pa.string())]
        else:
            columns.append(_calls_array([message.get("tool_calls") or None for message in self.whole]))
            columns += [text_array([message.get(name) for message in self.whole]) for name in ("tool_call_id", "name")]
        messages = pa.StructArray.from_arrays(columns, fields=list(MESSAGE))
        return _lists(np.fromiter(self.counts, np.int32, len(self.counts)), messages)


Column: TypeAlias = Sequence[Any] | FlatMessages | str | None


class ShardWriter:
    """Appends rows, some hundred at a time, to one Arrow IPC stream file.

    Small batches are turned into arrays while the processor's cache still holds them. A thread joins them to batches of
    about ``ROWS_PER_BATCH`` rows or ``BYTES_PER_BATCH``, and hashes and writes those.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self.path = path
        self.form: Form = form
        self.schema = schema(form)
        self.rows = 0
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0
        self._file = HashedFile(path)
        self._writer = pa.ipc.new_stream(self._file, self.schema)
        self._thread = ThreadPoolExecutor(1, "shard")
        self._writing: Future[None] | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the closed file, as 64 hexadecimal digits."""
        return self._file.digest.hexdigest()

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
        """Have the rows held in memory written, once those before them are."""
        self._wait()
        if self._held:
            self._writing = self._thread.submit(self._write, self._held)
            self._held = []
            self._held_rows = self._held_bytes = 0

    def _write(self, held: list[pa.RecordBatch]) -> None:
        for batch in pa.Table.from_batches(held).combine_chunks().to_batches():
            self._writer.write_batch(batch)

    def _wait(self) -> None:
        """Raise what went wrong in the thread, if anything did."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        """Flush and finish the stream."""
        try:
            self.flush()
            self._wait()
            self._writer.close()
        finally:
            self._thread.shutdown()
            self._file.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HashedFile(io.RawIOBase):
    """A new file that is hashed while it is written, from memory that the processor has just touched."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self._file = path.open("wb", buffering=1 << 16)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            super().close()


def _array(field: pa.Field, rows: int, values: Column) -> pa.Array:
    if values is None:
        if field.name == "judgment_ids":
            return _lists(np.zeros(rows, np.int32), text_array([]))
        return pa.nulls(rows, field.type)
    if isinstance(values, str):
        return text_array([values.encode()] * rows)
    if isinstance(values, FlatMessages):
        return values.array()
    entries: Sequence[Any] = values
    if field.type == MESSAGES:
        return messages_array(entries)
    if field.name == "judgment_ids":
        counts = np.fromiter(map(len, entries), np.int32, len(entries))
        return _lists(counts, text_array(list(chain.from_iterable(entries))))
    return text_array(entries) if field.type == pa.string() else number_array(entries, field.type)


def text_array(texts: Sequence[str | None] | Sequence[bytes | None]) -> pa.StringArray:
    """Texts as an array; bytes among them are taken to be UTF-8, and are not looked at.

    Arrow would ask Python for the UTF-8 of each string that is not ASCII, which Python then makes by a way several
    times as slow as ``str.encode``, and keeps beside the string.
    """
    utf8: Sequence[Any] = texts
    bitmap = None
    try:
        together = b"".join(utf8)
    except TypeError:
        if None in utf8:
            bitmap = _bitmap(text is not None for text in utf8)
        utf8 = [text.encode() if isinstance(text, str) else text or b"" for text in utf8]
        together = b"".join(utf8)
    ends = np.zeros(len(utf8) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, utf8), np.int64, len(utf8)), out=ends[1:])
    if len(together) > np.iinfo(np.int32).max:
        raise InputError("some hundred rows together hold more than 2 GiB of text", "leave out rows of that size")
    offsets = pa.py_buffer(ends.astype(np.int32))
    return pa.StringArray.from_buffers(len(utf8), offsets, pa.py_buffer(together), bitmap)


def number_array(values: Sequence[float | None] | npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Numbers as an array."""
    bitmap = None
    if not isinstance(values, np.ndarray) and None in values:
        bitmap = _bitmap(value is not None for value in values)
        values = [value or 0 for value in values]
    stored = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(stored), [bitmap, pa.py_buffer(stored)])


def bool_array(values: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    """Truth values as an array."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bitmap(values)])


def _bitmap(valid: Iterable[bool]) -> pa.Buffer:
    bits = valid if isinstance(valid, np.ndarray) else np.fromiter(valid, np.bool_)
    return pa.py_buffer(np.packbits(bits, bitorder="little"))


def _lists(counts: npt.NDArray[np.int32], values: pa.Array, bitmap: pa.Buffer | None = None) -> pa.ListArray:
    """Lists of so many of the values each."""
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    kind = pa.list_(values.type)
    return pa.ListArray.from_buffers(kind, len(counts), [bitmap, pa.py_buffer(offsets)], children=[values])


def _calls_array(calls: Sequence[Sequence[Mapping[str, Any]] | None]) -> pa.ListArray:
    """The tool calls of messages, null where a message has none."""
    stored = [_stored_call(call) for some in calls if some for call in some]
    functions = [call["function"] for call in stored]
    function = pa.StructArray.from_arrays(
        [text_array([of[name] for of in functions]) for name in ("name", "arguments")], fields=list(FUNCTION)
    )
    columns = [text_array([call[name] for call in stored]) for name in ("id", "type")]
    values = pa.StructArray.from_arrays([*columns, function], fields=list(TOOL_CALL))
    counts = np.fromiter((len(some or ()) for some in calls), np.int32, len(calls))
    return _lists(counts, values, _bitmap(some is not None for some in calls))


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
