"""The baseline: findings that are known and accepted, so that only new ones fail a run.

A finding is known by its rule's code and the content of its row, however the row is laid out in its line and wherever
that line stands. The file holds hashes only, sorted, so that it can be kept under version control beside the data.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from pathlib import Path

import orjson
import xxhash

from prefdata.errors import InputError, UsageError
from prefdata.records.ids import canonical
from prefdata.records.output import atomic_file
from prefdata.validation.lines import BOM
from prefdata.validation.memory import Stamp, stamp_of

RECORDED = "findings"
"""What a part leaves of its findings: content hash and codes of each row, one a line."""
SCHEMA_ID = "urn:prefdata:baseline:1"
Known = frozenset[tuple[str, str]]
"""Code and content hash of each known finding."""


def row_hash(raw: bytes) -> str:
    """XXH3-128 of a row's canonical JSON, or of the line itself where it is none.

    >>> row_hash(b'{"a": 1, "b": 2}') == row_hash(b'{"b":2,"a":1}\\r')
    True
    """
    text = raw.removeprefix(BOM).strip()
    with contextlib.suppress(orjson.JSONDecodeError):
        text = canonical(orjson.loads(text))
    return xxhash.xxh3_128_hexdigest(text)


def read_baseline(path: str) -> Known:
    """The findings in a baseline file; raises UsageError where it is absent, InputError where it is no baseline."""
    return _read(path, stamp_of(path))


@functools.lru_cache(maxsize=4)
def _read(path: str, _stamp: Stamp) -> Known:
    try:
        document = orjson.loads(Path(path).read_bytes())
        if document["schema"] != SCHEMA_ID:
            raise ValueError
        return frozenset((str(code), str(row)) for code, rows in document["findings"].items() for row in rows)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such baseline", f"write it: prefdata validate ... --write-baseline {path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path} is no baseline that this version of prefdata reads", f"write it anew: --write-baseline {path}"
        ) from None


def accept(path: Path, numbers: Iterable[int], left: Path, more: Iterable[tuple[str, str]]) -> None:
    """Write all findings that the parts of these ``numbers`` recorded in ``left``, and ``more``, as a baseline."""
    by_code: dict[str, set[str]] = {}
    for code, row in more:
        by_code.setdefault(code, set()).add(row)
    for number in numbers:
        with (left / f"{number:06}.{RECORDED}").open("rb") as lines:
            for line in lines:
                row, codes = orjson.loads(line)
                for code in codes:
                    by_code.setdefault(code, set()).add(row)
    document = {"schema": SCHEMA_ID, "findings": {code: sorted(rows) for code, rows in sorted(by_code.items())}}
    with atomic_file(path) as file:
        file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
