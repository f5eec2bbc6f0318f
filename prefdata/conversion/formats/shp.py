"""SHP (Ethayarajh et al. 2022): a post and two comments; labels 1 means that people preferred A."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, WrongShapeError, each
from prefdata.conversion.ranking import answer, judgment, of_two, response_set
from prefdata.conversion.sides import holds, leftover, number, text
from prefdata.types import Judge

JUDGE = Judge("human", "reddit-votes")


def detect(row: Row) -> float:
    return 1.0 if {"history", "human_ref_A", "human_ref_B", "labels"} <= row.keys() else 0.0


def read(row: Row) -> Outcome:
    responses = [answer(row, f"human_ref_{side}", side) for side in ("A", "B")]
    label = number(row, "labels")
    if label not in (0, 1):
        raise WrongShapeError(f'column "labels" holds {label}, which is neither 1 (A) nor 0 (B)')
    used = ("history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B")
    of = response_set(text(row, "history"), responses, metadata=leftover(row, used))
    scores = {side: number(row, f"score_{side}") for side in ("A", "B") if holds(row, f"score_{side}")}
    winner = "A" if label == 1 else "B"
    return Ranked(of, (judgment(of, JUDGE, of_two(winner, ("A", "B")), scores=scores),))


FORMAT = Format(
    name="shp",
    summary="Stanford Human Preferences",
    signature='"history", "human_ref_A", "human_ref_B" and "labels"',
    detect=detect,
    read=each(read),
    ranked=True,
    examples=(
        {
            "history": "Sum?",
            "human_ref_A": "BETTER",
            "human_ref_B": "WORSE",
            "labels": 1,
            "score_A": 12,
            "score_B": 3,
        },
        {"history": "Sum?", "human_ref_A": "WORSE", "human_ref_B": "BETTER", "labels": 0},
    ),
)
