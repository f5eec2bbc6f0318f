"""LMSYS Arena votes: the 55k set (texts as JSON lists of turns) and the 140k set (conversations of typed parts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from prefdata.conversion.outcomes import Format, NoPair, Outcome, Ranked, Row, WrongShapeError, each
from prefdata.conversion.ranking import judgment, of_two, response, response_set
from prefdata.conversion.sides import (
    Messages,
    assistant,
    column,
    leftover,
    messages,
    number,
    optional,
    shared_context,
    text,
    user,
)
from prefdata.types import Judge, ResponseSet

JUDGE = Judge("human", "arena")
IDS = ("a", "b")
VOTES = ("winner_model_a", "winner_model_b", "winner_tie")
WINNERS = {"model_a": "a", "model_b": "b", "tie": None, "both_bad": None, "tie (bothbad)": None}


def detect_55k(row: Row) -> float:
    return 1.0 if {"prompt", "response_a", "response_b", *VOTES} <= row.keys() else 0.0


def read_55k(row: Row) -> Outcome:
    votes = [number(row, name) for name in VOTES]
    if sorted(votes) != [0, 0, 1]:
        raise WrongShapeError(f"exactly one of {', '.join(VOTES)} must be 1")
    asked = _texts(row, "prompt")
    sides = (_conversation(asked, _texts(row, f"response_{id}"), id) for id in IDS)
    used = ("id", "prompt", "response_a", "response_b", "model_a", "model_b", *VOTES)
    of = _set(row, *shared_context(*sides), used)
    winner = "a" if votes[0] else "b" if votes[1] else None
    return Ranked(of, (judgment(of, JUDGE, of_two(winner, IDS)),))


def detect_140k(row: Row) -> float:
    return 1.0 if {"conversation_a", "conversation_b", "winner"} <= row.keys() else 0.0


def read_140k(row: Row) -> Outcome:
    said = text(row, "winner")
    if said not in WINNERS:
        raise WrongShapeError(f'column "winner" holds {said!r}, which is none of {", ".join(WINNERS)}')
    first, second = (messages(column(row, f"conversation_{id}"), f"conversation_{id}") for id in IDS)
    context, a, b = shared_context(first, second)
    if not context:
        return NoPair("no-shared-context", "the two conversations differ from their first turn on")
    used = ("id", "conversation_a", "conversation_b", "model_a", "model_b", "winner")
    of = _set(row, context, a, b, used)
    flags = ("both_bad",) if "bad" in said else ()
    return Ranked(of, (judgment(of, JUDGE, of_two(WINNERS[said], IDS), flags=flags),))


def _set(row: Row, context: Messages, a: Messages, b: Messages, used: Sequence[str]) -> ResponseSet:
    responses = [response("a", a, optional(row, "model_a")), response("b", b, optional(row, "model_b"))]
    id = None if row.get("id") is None else str(row["id"])
    return response_set(context, responses, id=id, metadata=leftover(row, used))


def _texts(row: Row, name: str) -> list[Any]:
    """A list of turns, as the 55k set writes it: JSON inside text."""
    value = column(row, name)
    try:
        turns = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        raise WrongShapeError(f'column "{name}" holds no JSON list of turns') from None
    if not isinstance(turns, list) or not turns:
        raise WrongShapeError(f'column "{name}" holds no JSON list of turns')
    return turns


def _conversation(asked: Sequence[Any], answers: Sequence[Any], id: str) -> Messages:
    """Question, answer, question, answer, …"""
    if len(asked) != len(answers) or not all(isinstance(turn, str) for turn in (*asked, *answers)):
        raise WrongShapeError(f'columns "prompt" and "response_{id}" must hold as many turns of text each')
    made: Messages = []
    for question, answer in zip(asked, answers, strict=True):
        made += [user(question), assistant(answer)]
    return made


FORMAT = Format(
    name="lmsys",
    summary="LMSYS Chatbot Arena 55k",
    signature='"prompt", "response_a", "response_b" beside "winner_model_a"',
    detect=detect_55k,
    read=each(read_55k),
    ranked=True,
    aliases=("lmsys-55k",),
    examples=(
        {
            "id": 1,
            "model_a": "x",
            "model_b": "y",
            "prompt": '["Hi", "Sum?"]',
            "response_a": '["Hello.", "WORSE"]',
            "response_b": '["Hello.", "BETTER"]',
            "winner_model_a": 0,
            "winner_model_b": 1,
            "winner_tie": 0,
        },
    ),
)
ARENA_140K = Format(
    name="arena",
    summary="LMArena 140k",
    signature='"conversation_a", "conversation_b" and "winner"',
    detect=detect_140k,
    read=each(read_140k),
    ranked=True,
    aliases=("arena-140k",),
    examples=(
        {
            "id": "1",
            "model_a": "x",
            "model_b": "y",
            "winner": "model_a",
            "conversation_a": [
                {"role": "user", "content": [{"type": "text", "text": "Sum?", "image": None}]},
                {"role": "assistant", "content": [{"type": "text", "text": "BETTER", "image": None}]},
            ],
            "conversation_b": [
                {"role": "user", "content": [{"type": "text", "text": "Sum?", "image": None}]},
                {"role": "assistant", "content": [{"type": "text", "text": "WORSE", "image": None}]},
            ],
        },
    ),
)
