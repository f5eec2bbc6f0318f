"""Content hashes: an id is one unless the user gives an id."""

from __future__ import annotations

import hashlib
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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
