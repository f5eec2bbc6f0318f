"""The column "prefdata": what a pair holds that a foreign format has no place for, as JSON text.

Trainers pass over a column that they do not know, text keeps one type whatever is in it, and read again it gives back
the same pair: id, margin, probability, scores, judgments, source, metadata, and whether the pair was text or chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

CARRIED = "prefdata"
KEYS = ("id", "margin", "probability", "score_chosen", "score_rejected", "judgment_ids", "source", "metadata")
SIDES = ("prompt", "chosen", "rejected")


def carry(record: Mapping[str, Any], **more: Any) -> str:
    """What ``restore`` needs to make ``record`` again from its prompt, chosen, rejected and tools, and ``more``."""
    prompt = record["prompt"]
    form: dict[str, Any] = {"form": "text"} if isinstance(prompt, str) else {"form": "chat", "turns": len(prompt)}
    return orjson.dumps({**form, **{key: record[key] for key in KEYS if key in record}, **more}).decode()


def carried(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the column "prefdata" of a row holds; empty where it holds nothing of ours."""
    try:
        found = orjson.loads(row.get(CARRIED) or b"{}")
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def restore(record: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """``record``, as read from a foreign row, with what ``held`` adds to it."""
    made = {**record, **{key: held[key] for key in KEYS if key in held}}
    parts = [made[side] for side in SIDES]
    if held.get("form") == "text" and all(isinstance(part, list) and len(part) == 1 for part in parts):
        texts = [part[0].get("content") for part in parts]
        if all(isinstance(text, str) for text in texts):
            made.update(zip(SIDES, texts, strict=True))
    elif held.get("form") == "chat" and all(isinstance(part, str) for part in parts):
        roles = ("user", "assistant", "assistant")
        made.update({side: [{"role": role, "content": made[side]}] for side, role in zip(SIDES, roles, strict=True)})
    elif held.get("form") == "chat" and isinstance(turns := held.get("turns"), int):
        _split_again(made, turns)
    return made


def _split_again(made: dict[str, Any], turns: int) -> None:
    """The first ``turns`` turns are the prompt, even where both sides go on alike after them."""
    prompt = made["prompt"]
    if isinstance(prompt, list) and 0 < turns < len(prompt):
        rest = prompt[turns:]
        made.update(prompt=prompt[:turns], chosen=[*rest, *made["chosen"]], rejected=[*rest, *made["rejected"]])
