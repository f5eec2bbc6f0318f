"""Kept rows as the columns of a shard, with their ids and the keys by which duplicates are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import Any

import orjson
import xxhash

from prefdata.records.ids import canonical, pair_hash
from prefdata.validation.batch import Batch
from prefdata.validation.duplicates import ID, PROMPT, Keys, keys_of
from prefdata.validation.row import FIELDS

FOLDED = ("source", "score_chosen", "score_rejected")
"""Keys of a pair that have no column of their own and go into its metadata."""
EXTRAS = frozenset(FIELDS) - {"prompt", "chosen", "rejected"}


def columns_of(batch: Batch, kept: Sequence[bool] | None) -> tuple[dict[str, Any], Keys]:
    """The columns of the ``kept`` rows (of all with ``None``) but for where they came from, and their keys.

    An id that no one gave is the ``pair_hash`` of the row's sides and tools, as ``prefdata.records.codec.pair_id``
    makes it.
    """
    prompts, chosens, rejecteds = (side if kept is None else list(compress(side, kept)) for side in batch.hashes)
    # Loops in C over whole columns: at this place each call from Python would cost a tenth of parsing the row.
    ids = list(map(xxhash.xxh3_128_hexdigest, map(b"".join, zip(prompts, chosens, rejecteds, strict=True))))
    columns: dict[str, Any] = {"id": ids, **batch.columns(kept)}
    keys = keys_of(prompts, chosens, rejecteds)
    if not batch.bare:
        extras = {
            name: batch.column(name) if kept is None else list(compress(batch.column(name), kept))
            for name in batch.fields & EXTRAS
        }
        if "tools" in extras:  # with other tools it is another prompt
            texts = [canonical(tools) if tools else None for tools in extras["tools"]]
            for index, text in enumerate(texts):
                if text is not None:
                    ids[index] = pair_hash(prompts[index], chosens[index], rejecteds[index], text)
                    keys[index, PROMPT] = xxhash.xxh3_64_intdigest(prompts[index] + text)
            columns["tools"] = texts
        if "id" in extras:
            given = extras["id"]
            columns["id"] = [made if id is None else id for made, id in zip(ids, given, strict=True)]
            keys[:, ID] = [0 if id is None else xxhash.xxh3_64_intdigest(id.encode()) for id in given]
        if "judgment_ids" in extras:
            columns["judgment_ids"] = [known or [] for known in extras["judgment_ids"]]
        columns |= {name: extras[name] for name in ("margin", "probability") if name in extras}
        columns["metadata"] = _metadata(extras)
    return columns, keys


def _metadata(extras: Mapping[str, list[Any]]) -> list[bytes | None] | None:
    """The metadata of rows as JSON, with what has no column of its own; ``None`` where there is none at all."""
    names = [name for name in FOLDED if name in extras]
    known = extras.get("metadata")
    folded: Iterable[dict[str, Any]] = repeat({})
    if names:
        rows = zip(*(extras[name] for name in names), strict=True)
        folded = map(dict, map(zip, repeat(names), rows))
        if any(None in extras[name] for name in names):
            folded = ({name: value for name, value in row.items() if value is not None} for row in folded)
    elif known is None:
        return None
    told = (
        folded
        if known is None
        else ({**row, **more} if more else row for row, more in zip(folded, known, strict=False))
    )
    return [orjson.dumps(row) if row else None for row in told]
