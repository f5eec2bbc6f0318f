"""HelpSteer2 (Wang et al. 2024, arXiv:2406.08673): rated responses on neighbouring rows; HelpSteer3: one of two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, WrongShapeError, each
from prefdata.conversion.ranking import answer, judgment, of_two, response_set, scored
from prefdata.conversion.sides import Side, column, holds, leftover, messages, number, text
from prefdata.types import Judge

TWO, THREE = Judge("human", "helpsteer2"), Judge("human", "helpsteer3")
TURN = re.compile(r"\n<extra_id_1>(User|Assistant)\n")
MOST = 3
ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def detect_two(row: Row) -> float:
    rated = "helpfulness" in row and "verbosity" in row
    return 1.0 if rated and all(isinstance(row.get(name), str) for name in ("prompt", "response")) else 0.0


def read_two(rows: Sequence[Row]) -> Iterable[Outcome]:
    used = ("prompt", "response", *ATTRIBUTES)
    responses = [answer(row, "response", str(place), **leftover(row, used)) for place, row in enumerate(rows)]
    scores = {str(place): number(row, "helpfulness") for place, row in enumerate(rows)}
    ratings = {
        str(place): {name: float(number(row, name)) for name in ATTRIBUTES if holds(row, name)}
        for place, row in enumerate(rows)
    }
    yield scored(response_set(_conversation(text(rows[0], "prompt")), responses), TWO, scores, ratings)


def _conversation(prompt: str) -> Side:
    """Prompts of several turns are written with marks between the turns; those of one turn stay text."""
    first, *rest = TURN.split(prompt)
    if not rest:
        return first
    turns = zip(rest[0::2], rest[1::2], strict=True)
    return [{"role": "user", "content": first}, *({"role": who.lower(), "content": said} for who, said in turns)]


def detect_three(row: Row) -> float:
    return 1.0 if {"context", "response1", "response2", "overall_preference"} <= row.keys() else 0.0


def read_three(row: Row) -> Outcome:
    preference = number(row, "overall_preference")
    if not -MOST <= preference <= MOST:
        raise WrongShapeError(f'column "overall_preference" holds {preference}, which is not between -3 and 3')
    winner = None if preference == 0 else "1" if preference < 0 else "2"
    used = ("context", "response1", "response2", "overall_preference")
    responses = [answer(row, f"response{id}", id) for id in ("1", "2")]
    of = response_set(messages(column(row, "context"), "context"), responses, metadata=leftover(row, used))
    return Ranked(of, (judgment(of, THREE, of_two(winner, ("1", "2")), strength=abs(preference)),))


FORMAT = Format(
    name="helpsteer2",
    summary="HelpSteer2, ranked by helpfulness",
    signature='"prompt", "response", "helpfulness" and "verbosity"',
    detect=detect_two,
    read=read_two,
    ranked=True,
    group=lambda row: text(row, "prompt"),
    examples=(
        {"prompt": "Sum?", "response": "WORSE", "helpfulness": 1, "correctness": 4, "verbosity": 3},
        {"prompt": "Sum?", "response": "BETTER", "helpfulness": 4, "correctness": 4, "verbosity": 1},
    ),
)
THREE_FORMAT = Format(
    name="helpsteer3",
    summary="HelpSteer3, preference from -3 (response1) to 3 (response2)",
    signature='"context", "response1", "response2" and "overall_preference"',
    detect=detect_three,
    read=each(read_three),
    ranked=True,
    examples=(
        {
            "context": [{"role": "user", "content": "Sum?"}],
            "response1": "BETTER",
            "response2": "WORSE",
            "overall_preference": -2,
        },
        {
            "context": [{"role": "user", "content": "Sum?"}],
            "response1": "WORSE",
            "response2": "BETTER",
            "overall_preference": 1,
        },
    ),
)
