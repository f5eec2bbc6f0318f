"""Open-Assistant trees (Köpf et al. 2023, arXiv:2304.07327): sibling replies of the assistant ranked by people, 0 best.

The path from the root is the context. Siblings that people wrote as users are no answers to prefer, ranked or not;
they are listed as such. Replies without a rank are in the set, but no judgment speaks of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prefdata.conversion.outcomes import Format, NoPair, Outcome, Ranked, Row, WrongShapeError
from prefdata.conversion.ranking import answer, by_score, judgment, response_set
from prefdata.conversion.sides import ROLES, Messages, column, kind, leftover, objects, optional, text
from prefdata.types import Judge

JUDGE = Judge("human", "open-assistant")
KEPT = ("text", "role", "replies", "rank", "message_id", "model_name")
"""Columns that have a place of their own; the others go to the metadata."""


def detect(row: Row) -> float:
    root = row.get("prompt")
    return 1.0 if isinstance(root, dict) and isinstance(root.get("replies"), list) and "text" in root else 0.0


def read(rows: Sequence[Row]) -> Iterable[Outcome]:
    for row in rows:
        root = column(row, "prompt")
        if not isinstance(root, dict):
            raise WrongShapeError(f'column "prompt" holds {kind(root)}, not the root of a tree')
        found = list(_groups(root, []))
        yield from found or [NoPair("no-ranked-replies", "no message of the tree has two replies of the assistant")]


def _groups(message: Row, path: Messages) -> Iterator[Outcome]:
    path = [*path, {"role": _role(message), "content": text(message, "text")}]
    replies = objects(message, "replies") if message.get("replies") is not None else []
    answers = [reply for reply in replies if _role(reply) == "assistant"]
    if len(answers) > 1:
        yield _group(message, path, answers)
    elif len(replies) > 1:
        told = f"the {len(replies)} replies to {message.get('message_id')} are not the assistant's"
        yield NoPair("no-assistant-replies", told)
    for reply in replies:
        yield from _groups(reply, path)


def _group(message: Row, path: Messages, answers: Sequence[Row]) -> Outcome:
    ranks = {_id(reply, place): _rank(reply) for place, reply in enumerate(answers) if reply.get("rank") is not None}
    if len(ranks) < 2:
        return NoPair(
            "no-ranked-replies", f"{len(ranks)} of {len(answers)} replies to {message.get('message_id')} are ranked"
        )
    responses = [
        answer(reply, "text", _id(reply, place), optional(reply, "model_name"), **leftover(reply, KEPT))
        for place, reply in enumerate(answers)
    ]
    of = response_set(path, responses, id=optional(message, "message_id"), metadata=leftover(message, KEPT))
    return Ranked(of, (judgment(of, JUDGE, by_score({id: -rank for id, rank in ranks.items()})),))


def _id(reply: Row, place: int) -> str:
    return optional(reply, "message_id") or str(place)


def _rank(reply: Row) -> int:
    rank = reply["rank"]
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise WrongShapeError(f"a reply has {kind(rank)} for a rank that is no whole number")
    return rank


def _role(message: Row) -> str:
    role = ROLES.get(text(message, "role"))
    if role is None:
        raise WrongShapeError(f"a message has the role {message['role']!r}, which is neither prompter nor assistant")
    return role


FORMAT = Format(
    name="oasst",
    summary="Open-Assistant conversation trees",
    signature='"prompt" being the root of a tree of "replies"',
    detect=detect,
    read=read,
    ranked=True,
    aliases=("open-assistant",),
    examples=(
        {
            "message_tree_id": "t",
            "prompt": {
                "message_id": "root",
                "role": "prompter",
                "text": "Sum?",
                "replies": [
                    {"message_id": "1", "role": "assistant", "text": "WORSE", "rank": 2, "replies": []},
                    {"message_id": "2", "role": "assistant", "text": "BETTER", "rank": 0, "replies": []},
                    {"message_id": "3", "role": "assistant", "text": "between", "rank": 1, "replies": []},
                ],
            },
        },
    ),
)
