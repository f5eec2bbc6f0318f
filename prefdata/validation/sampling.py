"""A sample of the rows kept, for the shortcut audit: the same rows in any number of processes, in bounded memory.

A row is in the sample where the lowest bits of its content's hash are zero; how many bits, follows from the number of
rows, so that the sample grows with small data sets and stays the same size for large ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import orjson
import xxhash

from prefdata.validation.batch import Batch
from prefdata.validation.duplicates import Keys
from prefdata.validation.refusals import is_refusal, may_be_refusal

ROWS = 8192
"""Rows of the sample at most."""
BYTES_A_ROW = 2048
"""What a row is taken to be long, before any is seen."""
FEATURES = ("length", "refusal", "markdown", "lists", "first_shown")
"""What each sampled row is measured by: the sign of chosen minus rejected, or ``UNKNOWN``."""
UNKNOWN = 2
ANNOTATORS = ("annotator", "annotator_id", "annotators", "worker_id", "worker", "labeler", "judge")
"""Keys of metadata that name who decided."""
_MAY_BE_ITEM = frozenset("-*\u2022 \t0123456789")
_ITEM = re.compile(r"\n[ \t]*(?:[-*\u2022]|\d{1,2}[.)])[ \t]")


class Sampled(NamedTuple):
    """What is kept of a row."""

    hash: int
    ordinal: int
    """Its place among the rows that the part kept."""
    prompt: int
    """Hash of its prompt."""
    signs: tuple[int, ...]
    """One for each of ``FEATURES``."""
    source: str
    annotator: str


@dataclass(slots=True)
class Sample:
    """The sampled rows of a part, or of all."""

    rows: list[Sampled]
    bits: int = 0
    """Lowest bits of the hash that are zero in each of them."""

    def trim(self, limit: int) -> None:
        """Ask for more zero bits until at most ``limit`` rows are left."""
        while len(self.rows) > limit:
            self.bits += 1
            self.rows = [row for row in self.rows if not row.hash & (1 << self.bits) - 1]

    def merge(self, other: Sample, first: int) -> None:
        """Add the sample of a later part, whose rows count from ``first``."""
        self.bits = max(self.bits, other.bits)
        added = [row._replace(ordinal=row.ordinal + first) for row in other.rows]
        mask = (1 << self.bits) - 1
        self.rows = [row for row in (*self.rows, *added) if not row.hash & mask]
        self.trim(ROWS)


def bits_for(size: int | None) -> int:
    """Zero bits to start with for an input of ``size`` bytes; a small data set is sampled whole."""
    return 0 if size is None else (size // (ROWS * BYTES_A_ROW)).bit_length()


def add_rows(sample: Sample, keys: Keys, batch: Batch, kept: Sequence[bool] | None, first: int) -> None:
    """Add those of a batch's ``kept`` rows (with their ``keys``) that fall into the sample; the first is ``first``."""
    hashes = keys[:, 0]
    wanted = np.flatnonzero((hashes & np.uint64((1 << sample.bits) - 1)) == 0)
    if not len(wanted):
        return
    indices = range(len(batch)) if kept is None else list(compress(range(len(batch)), kept))
    chosens, rejecteds = batch.answers
    named = not batch.bare
    for place in wanted.tolist():
        index = indices[place]
        document = batch.documents[index]
        metadata = (document.get("metadata") or {}) if named else {}
        signs = (*_signs(chosens[index], rejecteds[index]), _first_shown(metadata))
        prompt = xxhash.xxh3_64_intdigest(orjson.dumps(document["prompt"]))
        source = _name(document.get("source") or metadata.get("source")) if named else ""
        annotator = _annotator(metadata) if metadata else ""
        sample.rows.append(Sampled(int(hashes[place]), first + place, prompt, signs, source, annotator))
    sample.trim(2 * ROWS)


def _signs(chosen: str, rejected: str) -> tuple[int, ...]:
    refuses = [may_be_refusal(text) and is_refusal(text) for text in (chosen, rejected)]
    return (
        _sign(len(chosen), len(rejected)),
        _sign(*refuses),
        _sign(_markdown(chosen), _markdown(rejected)),
        _sign(_items(chosen), _items(rejected)),
    )


def _sign(chosen: int, rejected: int) -> int:
    return (chosen > rejected) - (chosen < rejected)


def _markdown(text: str) -> int:
    """Marks of Markdown: bold, code, headings, rows of tables."""
    return text.count("**") + text.count("`") + text.count("\n#") + text.count("\n|") + text.startswith(("#", "|"))


def _items(text: str) -> int:
    """Items of lists."""
    if "\n" not in text and text[:1] not in _MAY_BE_ITEM:
        return 0
    return len(_ITEM.findall(text)) + (_ITEM.match("\n" + text[:8]) is not None)


def _first_shown(metadata: Mapping[str, Any]) -> int:
    """1 where the judge saw chosen first, -1 where rejected, 0 where each as often, ``UNKNOWN`` where none tells."""
    pairing = metadata.get("pairing")
    first = (pairing if isinstance(pairing, dict) else metadata).get("chosen_shown_first")
    if isinstance(first, bool | int | float):
        return _sign(int(2 * first > 1), int(2 * first < 1))
    shown, chosen = metadata.get("shown"), metadata.get("chosen_response_id")
    if isinstance(shown, list) and chosen in shown and len(shown) == 2:
        return 1 if shown[0] == chosen else -1
    return UNKNOWN


def _annotator(metadata: Mapping[str, Any]) -> str:
    return next((name for key in ANNOTATORS if (name := _name(metadata.get(key)))), "")


def _name(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else str(value) if type(value) is int else ""
