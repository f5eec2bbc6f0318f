"""Unpaired preferences: TRL's KTO rows (prompt, completion, label) and LLaMA-Factory's (kto_tag).

Rows of one prompt, wherever they stand, are one set of two tiers: what was liked before what was not. Rows that
prefdata wrote name their pair and come together two by two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from prefdata.conversion.carrying import CARRIED, carried, carry
from prefdata.conversion.formats.llamafactory import asked, conversation
from prefdata.conversion.outcomes import Export, Format, NoPair, Outcome, Paired, Ranked, Row, WrongShapeError
from prefdata.conversion.ranking import judgment, response, response_set
from prefdata.conversion.sides import Messages, Side, assistant, column, kind, leftover, side, text, tools_of, user
from prefdata.records.codec import pair_id
from prefdata.records.ids import content_id
from prefdata.types import Judge

JUDGE = Judge("human", "kto-label")
LABELS = {"true": True, "false": False, "1": True, "0": False}
PAIR = "pair"
"""Key of the column "prefdata": the hash of the pair whose rows come together again."""
Part = tuple[Side, Side, bool]
"""Prompt, completion, and whether it is liked."""


def detect(row: Row) -> float:
    return 1.0 if {"prompt", "completion", "label"} <= row.keys() else 0.0


def detect_llamafactory(row: Row) -> float:
    return 1.0 if "kto_tag" in row and ("output" in row or isinstance(row.get("conversations"), list)) else 0.0


def part(row: Row) -> Part:
    """One row of TRL's; a prompt and a completion of two kinds become messages."""
    prompt, completion = side(row, "prompt"), side(row, "completion")
    if isinstance(prompt, str) != isinstance(completion, str):
        prompt = [user(prompt)] if isinstance(prompt, str) else prompt
        completion = [assistant(completion)] if isinstance(completion, str) else completion
    return prompt, completion, label(row, "label")


def part_llamafactory(row: Row) -> Part:
    """One row of LLaMA-Factory's, alpaca or sharegpt."""
    liked = label(row, "kto_tag")
    if "output" in row:
        prompt = asked(row)
        return prompt, text(row, "output") if isinstance(prompt, str) else [assistant(text(row, "output"))], liked
    turns: Messages = conversation(row)
    if not turns or turns[-1]["role"] != "assistant":
        raise WrongShapeError('column "conversations" does not end with an assistant turn')
    return turns[:-1], turns[-1:], liked


def label(row: Row, name: str) -> bool:
    """Whether a completion is liked: a boolean, 0 or 1, or one of these as text."""
    value = column(row, name)
    found = value if isinstance(value, bool) else LABELS.get(str(value).lower())
    if found is None:
        raise WrongShapeError(f'column "{name}" holds {kind(value)} that is neither true nor false')
    return found


def _key(read: Callable[[Row], Part]) -> Callable[[Row], Hashable]:
    def key(row: Row) -> Hashable:
        return content_id({"prompt": read(row)[0], "pair": carried(row).get(PAIR)})

    return key


def _reader(read: Callable[[Row], Part], used: Sequence[str]) -> Callable[[Sequence[Row]], Iterable[Outcome]]:
    def outcomes(rows: Sequence[Row]) -> Iterable[Outcome]:
        parts = [read(row) for row in rows]
        liked, disliked = ([one[1] for one in parts if one[2] is wanted] for wanted in (True, False))
        if not liked or not disliked:
            return [NoPair("unpaired", f"all completions of this prompt are {'liked' if liked else 'disliked'}")]
        prompt = parts[0][0]
        if carried(rows[0]).get(PAIR) and len(liked) == len(disliked):  # several are the same pair several times
            tools = {"tools": found} if (found := tools_of(rows[0])) else {}
            places = [place for place, one in enumerate(parts) if one[2]]
            return [
                Paired({"prompt": prompt, "chosen": good, "rejected": bad, **tools}, place)
                for place, good, bad in zip(places, liked, disliked, strict=True)
            ]
        ids = [str(place) for place in range(len(rows))]
        responses = [
            response(id, one[1], None, **leftover(row, used)) for id, one, row in zip(ids, parts, rows, strict=True)
        ]
        of = response_set(prompt, responses)
        ranking = [[id for id, one in zip(ids, parts, strict=True) if one[2] is wanted] for wanted in (True, False)]
        return [Ranked(of, (judgment(of, JUDGE, ranking),))]

    return outcomes


def write(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Two rows, the liked one first."""
    shared = {"tools": record["tools"]} if record.get("tools") else {}
    last = {**shared, CARRIED: carry(record, **{PAIR: pair_id(record)})}
    return [
        {"prompt": record["prompt"], "completion": record[side], "label": side == "chosen", **last}
        for side in ("chosen", "rejected")
    ]


FORMAT = Format(
    name="kto",
    summary="unpaired (TRL's KTO): prompt, completion, label",
    signature='"prompt", "completion" and "label"',
    detect=detect,
    read=_reader(part, ("prompt", "completion", "label")),
    ranked=True,
    group=_key(part),
    scattered=True,
    examples=(
        {"prompt": "Sum?", "completion": "BETTER", "label": True},
        {"prompt": "Sum?", "completion": "WORSE", "label": False},
    ),
)
LLAMAFACTORY_FORMAT = Format(
    name="llamafactory-kto",
    summary="LLaMA-Factory KTO, alpaca or sharegpt",
    signature='"kto_tag" beside "output" or "conversations"',
    detect=detect_llamafactory,
    read=_reader(
        part_llamafactory,
        ("instruction", "input", "output", "system", "history", "conversations", "tools", "kto_tag"),
    ),
    ranked=True,
    group=_key(part_llamafactory),
    scattered=True,
    examples=(
        {"instruction": "Sum?", "input": "1 and 2", "output": "WORSE", "kto_tag": False},
        {"instruction": "Sum?", "input": "1 and 2", "output": "BETTER", "kto_tag": True},
    ),
)
EXPORT = Export("kto", "unpaired (TRL's KTO): two rows a pair", write, "kto")
