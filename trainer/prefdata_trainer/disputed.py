"""The pairs that the trained model disputes most, as response sets for people to judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from prefdata.records.dataset import DatasetHandle
from prefdata.records.ids import content_id

DISPUTED = "disputed.jsonl"


def write(folder: Path, handle: DatasetHandle, pairs: Mapping[str, Any], most: int) -> int:
    """Write the ``most`` pairs of lowest margin after training to ``folder/disputed.jsonl``; how many they are.

    Each is a record of schema ``response_set``. Which side was chosen is not to be seen: the responses stand in an
    order, and under ids, drawn from their content; ``metadata`` of each holds the side, for whoever compares.
    """
    order = np.argsort(np.asarray(pairs["margin_after"], float), kind="stable")[:most]
    wanted = {(pairs["split"][at], pairs["id"][at]): at for at in order.tolist()}
    found: dict[int, dict[str, Any]] = {}
    for split in handle.splits:
        for row in handle.rows(split) if handle.rows_in(split) else ():
            at = wanted.get((split, row["id"]))
            if at is not None:
                found[at] = _set(row, split, float(pairs["margin_after"][at]))
    with (folder / DISPUTED).open("wb") as file:
        for at in order.tolist():
            if at in found:  # of rows that share an id, one stands for all
                file.write(orjson.dumps(found[at], option=orjson.OPT_APPEND_NEWLINE))
    return len(found)


def _set(row: Mapping[str, Any], split: str, margin: float) -> dict[str, Any]:
    about = {"pair_id": row["id"], "split": split, "margin_after": margin, "judgment_ids": row["judgment_ids"]}
    prompt: dict[str, Any] = {"prompt": row["prompt"], "metadata": about}
    if row["tools"]:
        prompt["tools"] = row["tools"]
    responses = [
        {"id": content_id([row["prompt"], row[side]]), "response": row[side], "metadata": {"side": side}}
        for side in ("chosen", "rejected")
    ]
    return {"id": row["id"], "prompt": prompt, "responses": sorted(responses, key=lambda response: response["id"])}
