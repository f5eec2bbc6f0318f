"""TRL's preference format, explicit or implicit prompt; also our own pairs, Skywork's and every look-alike."""

from __future__ import annotations

from types import UnionType

from prefdata.conversion.outcomes import Format, Outcome, Row, each
from prefdata.conversion.sides import is_messages, paired, side

KEPT: dict[str, type | UnionType] = {
    "id": str,
    "tools": list,
    "margin": int | float,
    "score_chosen": int | float,
    "score_rejected": int | float,
    "judgment_ids": list,
    "source": str,
    "metadata": dict,
}
"""Columns that have a place in a pair, where they hold what belongs there."""


def detect(row: Row) -> float:
    sides = [row.get("chosen"), row.get("rejected")]
    prompt = row.get("prompt")
    if all(is_messages(one) for one in sides):
        return {True: 0.9, False: 0.6}[prompt is None or is_messages(prompt)]
    if all(isinstance(one, str) for one in sides):
        return 0.9 if isinstance(prompt, str) else 0.6 if is_messages(prompt) else 0.0
    return 0.0


def read(row: Row) -> Outcome:
    prompt = None if row.get("prompt") is None else side(row, "prompt")
    kept = {name: row[name] for name, types in KEPT.items() if isinstance(row.get(name), types)}
    if isinstance(row.get("id"), int):
        kept["id"] = str(row["id"])
    used = ("prompt", "chosen", "rejected", *kept)
    return paired(row, prompt, side(row, "chosen"), side(row, "rejected"), used=used, **kept)


FORMAT = Format(
    name="trl",
    summary="TRL: prompt, chosen, rejected (explicit) or whole conversations without a prompt (implicit)",
    signature='"chosen" and "rejected" as text beside "prompt", or as lists of role/content messages',
    detect=detect,
    read=each(read),
    examples=(
        {"prompt": "Sum?", "chosen": "BETTER", "rejected": "WORSE"},
        {
            "prompt": [{"role": "user", "content": "Sum?"}],
            "chosen": [{"role": "assistant", "content": "BETTER"}],
            "rejected": [{"role": "assistant", "content": "WORSE"}],
        },
        {
            "chosen": [{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "BETTER"}],
            "rejected": [{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "WORSE"}],
        },
    ),
)
