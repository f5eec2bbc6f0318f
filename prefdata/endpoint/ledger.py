"""The ledger of calls: an append-only JSONL file that says what was asked, what came back, and what it used.

A record is written with one ``write`` when its call is finished, so that a killed process loses the calls in flight
and no other; a line torn by the kill is cut off when the ledger is opened again. Memory holds a bounded part of the
index, which is a key and a byte offset per call.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import orjson

from prefdata.errors import InputError
from prefdata.records.spilling import SpillingMap

Standing = Literal["answered", "failed"]


@dataclass(slots=True)
class Used:
    """What the answered calls to one endpoint used."""

    calls: int = 0
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    batch_prompt_tokens: int = 0
    """Of the prompt tokens, those of calls in batches."""
    batch_completion_tokens: int = 0


class Ledger:
    """Calls by key. An answer is never replaced by a failure; raises InputError where the file cannot be opened.

    With ``read_only`` the file is left as it is, for another process may be writing it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.used: dict[tuple[str, str, str], Used] = defaultdict(Used)
        """By name, base URL and model of the endpoint."""
        self.damaged = 0
        """Whole lines that are no record: their calls count as not made."""
        self.answered: set[tuple[str, str]] = set()
        """(base URL, model) of every endpoint that ever answered."""
        self._index = SpillingMap()  # the offset of an answer; of a failure -1 - offset
        try:
            self._file = os.open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", "check who may write there") from None
        self._reader: BinaryIO = path.open("rb")
        self._end = self._load(read_only)

    def __len__(self) -> int:
        return len(self._index)

    def standing(self, key: str) -> Standing | None:
        """Whether the call was answered, failed for good, or was never finished."""
        offset = self._index.get(bytes.fromhex(key))
        return None if offset is None else "answered" if offset >= 0 else "failed"

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a call; with ``response`` where it was answered, with ``failure`` where it was not."""
        offset = self._index.get(bytes.fromhex(key))
        if offset is None:
            return None
        self._reader.seek(offset if offset >= 0 else -1 - offset)
        record = orjson.loads(self._reader.readline())
        assert isinstance(record, dict)
        return record

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one finished call."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}", "mend that, then run the same command again") from None
        if written != len(line):
            raise InputError(f"{self.path}: the disk is full", "make room, then run the same command again")
        self._enter(record, self._end)
        self._end += len(line)

    def close(self) -> None:
        """Flush to disk and close."""
        with contextlib.suppress(OSError):  # a file that is only read cannot be flushed everywhere
            os.fsync(self._file)
        os.close(self._file)
        self._reader.close()
        self._index.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self, read_only: bool) -> int:
        """Index what is there; returns the offset at which the next record will stand."""
        offset = 0
        for line in self._reader:
            if not line.endswith(b"\n"):
                if not read_only:
                    os.ftruncate(self._file, offset)
                break
            try:
                record = orjson.loads(line)
                self._enter(record, offset)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                self.damaged += 1
            offset += len(line)
        return offset

    def _enter(self, record: Mapping[str, Any], offset: int) -> None:
        key = bytes.fromhex(record["key"])
        if "failure" in record:
            if (known := self._index.get(key)) is None or known < 0:
                self._index[key] = -1 - offset
        else:
            self._index[key] = offset
            self.answered.add((record["base_url"], record["model"]))
            used = self.used[record.get("endpoint", ""), record["base_url"], record["model"]]
            usage = record.get("usage")
            used.calls += 1
            used.attempts += record.get("attempts", 1)
            for name in ("prompt_tokens", "completion_tokens"):
                if isinstance(usage, dict) and isinstance(usage.get(name), int):
                    setattr(used, name, getattr(used, name) + usage[name])
                    if "batch" in record:
                        setattr(used, f"batch_{name}", getattr(used, f"batch_{name}") + usage[name])
