"""Kept rows as the columns of a shard, with their ids and the keys by which duplicates are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import orjson
import xxhash

from prefdata.records.ids import canonical, pair_hash
from prefdata.validation.batch import Batch
from prefdata.validation.duplicates import ID, PROMPT, Keys, keys_of

FOLDED = ("source", "score_chosen", "score_rejected")
"""Keys of a pair that have no column of their own and go into its metadata."""


def columns_of(batch: Batch, kept: Sequence[bool] | None) -> tuple[dict[str, Any], Keys]:
    """The columns of the ``kept`` rows (of all with ``None``) but for where they came from, and their keys.

    An id that no one gave is the ``pair_hash`` of the row's sides and tools, as ``prefdata.records.codec.pair_id``
    makes it.
    """
    documents = batch.documents if kept is None else list(compress(batch.documents, kept))
    prompts, chosens, rejecteds = (side if kept is None else list(compress(side, kept)) for side in batch.hashes)
    # Loops in C over whole columns: at this place each call from Python would cost a tenth of parsing the row.
    ids = list(map(xxhash.xxh3_128_hexdigest, map(b"".join, zip(prompts, chosens, rejecteds, strict=True))))
    columns: dict[str, Any] = {
        "id": ids,
        **batch.columns(kept),
        "tools": None,
        "margin": None,
        "probability": None,
        "judgment_ids": None,
        "metadata": None,
    }
    keys = keys_of(prompts, chosens, rejecteds)
    if not batch.bare:
        _add_extras(columns, documents, prompts, chosens, rejecteds)
        for index, tools in enumerate(columns["tools"] or ()):  # with other tools it is another prompt
            if tools is not None:
                keys[index, PROMPT] = xxhash.xxh3_64_intdigest(prompts[index] + tools.encode())
        given = (document.get("id") for document in documents)
        keys[:, ID] = [0 if id is None else xxhash.xxh3_64_intdigest(id.encode()) for id in given]
    return columns, keys


def _add_extras(
    columns: dict[str, Any],
    documents: Sequence[Mapping[str, Any]],
    prompts: Sequence[bytes],
    chosens: Sequence[bytes],
    rejecteds: Sequence[bytes],
) -> None:
    """Fill in what rows hold beyond their sides (given by their hashes)."""
    ids = columns["id"]
    tools: list[str | None] = [None] * len(documents)
    metadata: list[str | None] = [None] * len(documents)
    for index, document in enumerate(documents):
        if document.get("tools"):
            text = canonical(document["tools"])
            tools[index] = text.decode()
            ids[index] = pair_hash(prompts[index], chosens[index], rejecteds[index], text)
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
