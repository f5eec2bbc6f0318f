"""Kept rows as the columns of a shard, with their ids and the keys by which duplicates are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress, repeat
from typing import Any

import orjson
import xxhash

from prefdata.validation.batch import Batch
from prefdata.validation.duplicates import ID, Keys, keys_of

FOLDED = ("source", "score_chosen", "score_rejected")
"""Keys of a pair that have no column of their own and go into its metadata."""
_SORTED = orjson.OPT_SORT_KEYS


def columns_of(batch: Batch, kept: Sequence[bool] | None) -> tuple[dict[str, Any], Keys]:
    """The columns of the ``kept`` rows (of all with ``None``) but for where they came from, and their keys.

    An id that no one gave is the XXH3-128 of the canonical JSON of prompt, chosen, rejected and tools, as
    ``prefdata.records.codec.pair_id`` makes it.
    """
    documents, *sides = (
        column if kept is None else list(compress(column, kept)) for column in (batch.documents, *batch.sides)
    )
    # Loops in C over whole columns: at this place each call from Python would cost a tenth of parsing the row.
    prompts, chosens, rejecteds = (list(map(orjson.dumps, side, repeat(None), repeat(_SORTED))) for side in sides)
    pieces = zip(
        repeat(b'{"chosen":'), chosens, repeat(b',"prompt":'), prompts, repeat(b',"rejected":'), rejecteds, repeat(b"}")
    )
    ids = list(map(xxhash.xxh3_128_hexdigest, map(b"".join, pieces)))
    columns: dict[str, Any] = {
        "id": ids,
        **batch.columns(kept),
        "tools": None,
        "margin": None,
        "probability": None,
        "judgment_ids": None,
        "metadata": None,
    }
    if not batch.bare:
        _add_extras(columns, documents, prompts, chosens, rejecteds)
    digest = xxhash.xxh3_64_digest
    keys = keys_of(map(digest, prompts), map(digest, chosens), map(digest, rejecteds))
    if not batch.bare:
        given = (document.get("id") for document in documents)
        keys[:, ID] = [0 if id is None else xxhash.xxh3_64_intdigest(id.encode()) for id in given]
    return columns, keys


def _add_extras(
    columns: dict[str, Any],
    documents: Sequence[Mapping[str, Any]],
    prompts: list[bytes],
    chosens: list[bytes],
    rejecteds: list[bytes],
) -> None:
    """Fill in what rows hold beyond their sides (given as JSON); tools join the prompt in what tells rows apart."""
    ids = columns["id"]
    tools: list[str | None] = [None] * len(documents)
    metadata: list[str | None] = [None] * len(documents)
    for index, document in enumerate(documents):
        if document.get("tools"):
            text = orjson.dumps(document["tools"], option=_SORTED)
            tools[index] = text.decode()
            sides = (chosens[index], prompts[index], rejecteds[index], text)
            ids[index] = xxhash.xxh3_128_hexdigest(b'{"chosen":%b,"prompt":%b,"rejected":%b,"tools":%b}' % sides)
            prompts[index] += text
        if "id" in document:
            ids[index] = document["id"]
        known = document.get("metadata")
        folded = {name: document[name] for name in FOLDED if document.get(name) is not None}
        if known or folded:
            metadata[index] = orjson.dumps({**folded, **(known or {})}).decode()
    columns["tools"] = tools if any(tools) else None
    columns["metadata"] = metadata if any(metadata) else None
    for name in ("margin", "probability"):
        columns[name] = [document.get(name) for document in documents]
    columns["judgment_ids"] = [document.get("judgment_ids") or [] for document in documents]
