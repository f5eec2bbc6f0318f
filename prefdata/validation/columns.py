"""Kept rows as the columns of a shard, with their ids and the keys by which duplicates are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import orjson
import xxhash

from prefdata.validation.batch import Batch
from prefdata.validation.duplicates import Keys, keys_of

FOLDED = ("source", "score_chosen", "score_rejected")
"""Keys of a pair that have no column of their own and go into its metadata."""
_SORTED = orjson.OPT_SORT_KEYS


def columns_of(batch: Batch, kept: Sequence[bool] | None) -> tuple[dict[str, Any], Keys]:
    """The columns of the ``kept`` rows (of all with ``None``) but for where they came from, and their keys.

    An id that no one gave is the XXH3-128 of the canonical JSON of prompt, chosen, rejected and tools, as
    ``prefdata.records.codec.pair_id`` makes it.
    """
    documents, prompts, chosens, rejecteds = (
        column if kept is None else list(compress(column, kept))
        for column in (batch.documents, batch.prompts, batch.chosens, batch.rejecteds)
    )
    prompt_json = [orjson.dumps(side, option=_SORTED) for side in prompts]
    chosen_json = [orjson.dumps(side, option=_SORTED) for side in chosens]
    rejected_json = [orjson.dumps(side, option=_SORTED) for side in rejecteds]
    ids = [
        xxhash.xxh3_128_hexdigest(b'{"chosen":%b,"prompt":%b,"rejected":%b}' % side)
        for side in zip(chosen_json, prompt_json, rejected_json, strict=True)
    ]
    columns: dict[str, Any] = {
        "id": ids,
        "prompt": prompts,
        "chosen": chosens,
        "rejected": rejecteds,
        "tools": None,
        "margin": None,
        "judgment_ids": None,
        "metadata": None,
    }
    if sum(map(len, documents)) != 3 * len(documents):
        _add_extras(columns, documents, prompt_json, chosen_json, rejected_json)
    digest = xxhash.xxh3_128_digest
    keys = keys_of(list(map(digest, prompt_json)), list(map(digest, chosen_json)), list(map(digest, rejected_json)))
    return columns, keys


def _add_extras(
    columns: dict[str, Any],
    documents: Sequence[Mapping[str, Any]],
    prompt_json: list[bytes],
    chosen_json: list[bytes],
    rejected_json: list[bytes],
) -> None:
    """Fill in what rows hold beyond their three sides; tools join the prompt in what tells rows apart."""
    ids = columns["id"]
    tools: list[str | None] = [None] * len(documents)
    metadata: list[str | None] = [None] * len(documents)
    for index, document in enumerate(documents):
        if document.get("tools"):
            text = orjson.dumps(document["tools"], option=_SORTED)
            tools[index] = text.decode()
            sides = (chosen_json[index], prompt_json[index], rejected_json[index], text)
            ids[index] = xxhash.xxh3_128_hexdigest(b'{"chosen":%b,"prompt":%b,"rejected":%b,"tools":%b}' % sides)
            prompt_json[index] += text
        if "id" in document:
            ids[index] = document["id"]
        known = document.get("metadata")
        folded = {name: document[name] for name in FOLDED if document.get(name) is not None}
        if known or folded:
            metadata[index] = orjson.dumps({**folded, **(known or {})}).decode()
    columns["tools"] = tools if any(tools) else None
    columns["metadata"] = metadata if any(metadata) else None
    columns["margin"] = [document.get("margin") for document in documents]
    columns["judgment_ids"] = [document.get("judgment_ids") or [] for document in documents]
