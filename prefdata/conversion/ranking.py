"""Rankings of foreign files as response sets and judgments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from prefdata.conversion.outcomes import Ranked, Row, WrongShapeError
from prefdata.conversion.sides import Side, column, kind
from prefdata.pairing.pairs import BROKEN
from prefdata.records.codec import content_record, message_from
from prefdata.records.ids import content_id
from prefdata.types import Content, Judge, Judgment, Prompt, Response, ResponseSet


def response(id: str, content: Side, model: str | None = None, **metadata: Any) -> Response:
    """One candidate; ``metadata`` keeps what is not None."""
    kept = {name: value for name, value in metadata.items() if value is not None}
    return Response(id, _content(content), model=model, metadata=kept)


def answer(row: Row, name: str, id: str, model: str | None = None, **metadata: Any) -> Response:
    """The candidate in a column of text.

    One of another kind (a boolean, a number) was text once and lost its form on the way. People judged it, so that it
    stays in the set, as JSON and marked; no pair is made from it. Raises WrongShapeError where the column is missing.
    """
    value = column(row, name)
    if isinstance(value, str):
        return response(id, value, model, **metadata)
    written = orjson.dumps(value).decode()
    return response(id, written, model, **metadata, **{BROKEN: f'column "{name}" holds {kind(value)}, not text'})


def response_set(
    prompt: Side, responses: Sequence[Response], *, id: str | None = None, metadata: Mapping[str, Any] | None = None
) -> ResponseSet:
    """A set whose id is a content hash unless the file has one; ``metadata`` is the prompt's.

    Raises WrongShapeError where two responses have one id, by which nobody could tell which of them was preferred.
    """
    if len({one.id for one in responses}) < len(responses):
        raise WrongShapeError("two responses have the same id")
    identity = {"prompt": prompt, "responses": [[one.id, one.model, content_record(one.content)] for one in responses]}
    asked = Prompt(
        content_id({"prompt": prompt}),
        _content(prompt),
        metadata=metadata or {},
    )
    return ResponseSet(id or content_id(identity), asked, tuple(responses))


def judgment(
    of: ResponseSet,
    judge: Judge,
    ranking: Sequence[Sequence[str]] | None,
    *,
    flags: tuple[str, ...] = (),
    scores: Mapping[str, float] | None = None,
    strength: float | None = None,
    rationale: str | None = None,
    **more: Any,
) -> Judgment:
    """One act of judging what ``ranking`` holds, else all responses.

    Foreign files seldom tell the order shown, so that it stands as the order of the set. ``more`` are further fields.
    """
    judged = {id for tier in ranking for id in tier} if ranking is not None else None
    fields: dict[str, Any] = {
        "shown": tuple(one.id for one in of.responses if judged is None or one.id in judged),
        "order": 0,
        **more,
    }
    return Judgment(
        id=content_id({"response_set": of.id, "judge": [judge.kind, judge.name]}),
        response_set_id=of.id,
        ranking=None if ranking is None else tuple(tuple(tier) for tier in ranking),
        judge=judge,
        flags=flags,
        scores=scores or {},
        strength=strength,
        rationale=rationale,
        **fields,
    )


def by_score(scores: Mapping[str, float]) -> list[list[str]]:
    """Tiers of equal score, highest first.

    >>> by_score({"a": 1.0, "b": 3.0, "c": 1.0})
    [['b'], ['a', 'c']]
    """
    tiers: dict[float, list[str]] = {}
    for id, score in scores.items():
        tiers.setdefault(score, []).append(id)
    return [tiers[score] for score in sorted(tiers, reverse=True)]


def of_two(winner: str | None, ids: tuple[str, str]) -> list[list[str]]:
    """The ranking of two by the winner's id; None is a tie."""
    if winner is None:
        return [list(ids)]
    return [[winner], [id for id in ids if id != winner]]


def scored(
    of: ResponseSet,
    judge: Judge,
    scores: Mapping[str, float],
    ratings: Mapping[str, Mapping[str, float]] | None = None,
) -> Ranked:
    """A set that one judge scored, and rated by criterion."""
    return Ranked(of, (judgment(of, judge, by_score(scores), scores=scores, ratings=ratings or {}),))


def _content(side: Side) -> Content:
    return side if isinstance(side, str) else tuple(map(message_from, side))
