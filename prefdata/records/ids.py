"""Content hashes: an id is one unless the user gives an id.

The id of a pair is a hash of hashes: each text is hashed as it is, in UTF-8, without being written as JSON first, which
would take as long as hashing the file with SHA-256. ``message_hash``, ``side_hash`` and ``pair_hash`` say how; a column
of sides is hashed in the same way by loops in C, in ``prefdata.validation.batch``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import xxhash


def canonical(document: Any) -> bytes:
    """``document`` as JSON with sorted keys: equal documents give equal bytes.

    >>> canonical({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
    """
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def content_id(document: Any) -> str:
    """128-bit content hash (XXH3) of a JSON document, as 32 hexadecimal digits.

    >>> content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
    True
    """
    return xxhash.xxh3_128_hexdigest(canonical(document))


ROLE_TAGS = {"system": b"s", "developer": b"d", "user": b"u", "assistant": b"a", "tool": b"t"}
"""What stands before the hash of a plain message's text."""
WHOLE = b"{"
"""What stands before the hash of a message that holds more than a role and a text, as canonical JSON."""


def message_hash(message: Mapping[str, Any]) -> bytes:
    """17 bytes: a letter for the role and the XXH3-128 of the text, or ``{`` and that of the message as JSON."""
    content = message.get("content")
    if len(message) == 2 and isinstance(content, str) and message.get("role") in ROLE_TAGS:
        return ROLE_TAGS[message["role"]] + xxhash.xxh3_128_digest(content.encode())
    return WHOLE + xxhash.xxh3_128_digest(canonical(message))


def side_hash(content: str | Sequence[Mapping[str, Any]]) -> bytes:
    """16 bytes: XXH3-128 of a text in UTF-8, or of the hashes of a conversation's messages."""
    whole = content.encode() if isinstance(content, str) else b"".join(map(message_hash, content))
    return xxhash.xxh3_128_digest(whole)


def pair_hash(prompt: bytes, chosen: bytes, rejected: bytes, tools: bytes = b"") -> str:
    """XXH3-128, as 32 hexadecimal digits, of the hashes of a pair's three sides and its tools as canonical JSON."""
    return xxhash.xxh3_128_hexdigest(b"".join((prompt, chosen, rejected, tools)))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
