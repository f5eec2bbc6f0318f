"""Refused lines on disk: each as it was, with where it stood and what was found; and the way back in.

A record is ``{file, line, byte, raw | raw_base64, findings, duplicate_of?, bytes?}``. ``raw`` may be edited and the
file validated again: the row then keeps the place that it came from.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from prefdata.types import Finding
from prefdata.validation.findings import Origin


def record_of(
    raw: bytes,
    origin: Origin,
    findings: Sequence[Finding],
    *,
    length: int | None = None,
    duplicate_of: Origin | None = None,
) -> bytes:
    """One line of quarantine.jsonl or dropped.jsonl; ``length`` where ``raw`` is only the start of a longer line."""
    record: dict[str, Any] = {"file": origin.file, "line": origin.line, "byte": origin.byte}
    try:
        record["raw"] = raw.decode("utf-8")
    except UnicodeDecodeError:
        record["raw_base64"] = base64.b64encode(raw).decode()
    if length is not None:
        record["bytes"] = length
    record["findings"] = [
        {
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
            "json_path": finding.json_path,
            "hint": finding.hint,
        }
        for finding in findings
    ]
    if duplicate_of is not None:
        record["duplicate_of"] = {"file": duplicate_of.file, "line": duplicate_of.line, "byte": duplicate_of.byte}
    return orjson.dumps(record) + b"\n"


def is_record(document: Mapping[str, Any]) -> bool:
    """Whether a row has the shape of a quarantine record rather than of a pair."""
    return (
        isinstance(document.get("file"), str)
        and _is_count(document.get("line"))
        and _is_count(document.get("byte"))
        and isinstance(document.get("findings"), list)
        and (isinstance(document.get("raw"), str) or isinstance(document.get("raw_base64"), str))
        and "chosen" not in document
    )


def unwrapped(document: Mapping[str, Any]) -> tuple[bytes, Origin]:
    """The raw line in a quarantine record, and where it stood."""
    origin = Origin(document["file"], document["line"], document["byte"])
    if "raw" in document:
        return document["raw"].encode("utf-8"), origin
    try:
        return base64.b64decode(document["raw_base64"], validate=True), origin
    except binascii.Error:
        return document["raw_base64"].encode("utf-8"), origin


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
