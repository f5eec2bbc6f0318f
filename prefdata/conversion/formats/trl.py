"""TRL's preference format, explicit or implicit prompt; also our own pairs, Skywork's and every look-alike."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any

from prefdata.conversion.carrying import CARRIED, carry
from prefdata.conversion.outcomes import Export, Format, NoPlaceError, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import is_messages, numeric, paired, side, tools_of

NUMBER = int | float
KEPT: dict[str, type | UnionType] = {
    "id": str,
    "margin": NUMBER,
    "probability": NUMBER,
    "score_chosen": NUMBER,
    "score_rejected": NUMBER,
    "judgment_ids": list,
    "source": str,
    "metadata": dict,
}
"""Columns that have a place in a pair, where they hold what belongs there."""


def detect(row: Row) -> float:
    sides = [row.get("chosen"), row.get("rejected")]
    prompt = row.get("prompt")
    if all(is_messages(one) for one in sides):
        if prompt is None and is_messages(row.get("messages")) and answers_only(sides):
            return 0.5  # axolotl's: the context stands in another column
        return {True: 0.9, False: 0.6}[prompt is None or is_messages(prompt)]
    if all(isinstance(one, str) for one in sides):
        return 0.9 if isinstance(prompt, str) else 0.6 if is_messages(prompt) else 0.0
    return 0.0


def answers_only(sides: Iterable[Any]) -> bool:
    """Whether lists of messages begin with the assistant: they are answers, no whole conversations."""
    return all(side[0]["role"] in ("assistant", "gpt") for side in sides)


def read(row: Row) -> Outcome:
    prompt = None if row.get("prompt") is None else side(row, "prompt")
    found = {name: numeric(row.get(name)) if types == NUMBER else row.get(name) for name, types in KEPT.items()}
    kept: dict[str, Any] = {
        name: found[name]
        for name, types in KEPT.items()
        if isinstance(found[name], types) and not isinstance(found[name], bool)
    }
    if not 0 <= kept.get("probability", 0) <= 1:  # of something else: it stays with the other columns
        kept.pop("probability")
    if isinstance(row.get("id"), int):
        kept["id"] = str(row["id"])
    try:
        kept["tools"] = tools_of(row)
    except WrongShapeError:
        kept.pop("tools", None)  # what is no list of tools stays with the other columns
    used = ("prompt", "chosen", "rejected", *kept)
    return paired(row, prompt, side(row, "chosen"), side(row, "rejected"), used=used, **kept)


def write(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Explicit prompt: text stays text, messages stay messages."""
    row = {name: record[name] for name in ("prompt", "chosen", "rejected")}
    return [{**row, **({"tools": record["tools"]} if record.get("tools") else {}), CARRIED: carry(record)}]


def write_implicit(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Whole conversations; of text nobody could tell again where the prompt ends."""
    if isinstance(record["prompt"], str):
        raise NoPlaceError("text without a prompt column cannot be told into prompt and answer again: use --to trl")
    (row,) = write(record)
    prompt = row.pop("prompt")
    return [{**row, "chosen": prompt + row["chosen"], "rejected": prompt + row["rejected"]}]


FORMAT = Format(
    name="trl",
    summary="TRL: prompt, chosen, rejected (explicit) or whole conversations without a prompt (implicit)",
    signature='"chosen" and "rejected" as text beside "prompt", or as lists of role/content messages',
    detect=detect,
    read=each(read),
    aliases=("skywork", "dpo-mix-7k"),
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
EXPORT = Export("trl", "TRL, explicit prompt", write, "trl")
IMPLICIT = Export("trl-implicit", "TRL, implicit prompt: two whole conversations", write_implicit, "trl")
PARQUET = Export("parquet", "one Parquet file with TRL's columns; tools and call arguments as JSON text", write, "trl")
