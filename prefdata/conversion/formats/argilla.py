"""Argilla's binarized UltraFeedback: an instruction and two responses with their mean ratings."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Row, each
from prefdata.conversion.sides import number, paired, text

RATINGS = ("chosen_avg_rating", "rejected_avg_rating")


def detect(row: Row) -> float:
    return 1.0 if {"instruction", "chosen_response", "rejected_response"} <= row.keys() else 0.0


def read(row: Row) -> Outcome:
    chosen, rejected = (number(row, name) for name in RATINGS)
    return paired(
        row,
        text(row, "instruction"),
        text(row, "chosen_response"),
        text(row, "rejected_response"),
        used=("instruction", "chosen_response", "rejected_response", *RATINGS),
        tie=f"both responses have a mean rating of {chosen:g}" if chosen == rejected else None,
        score_chosen=chosen,
        score_rejected=rejected,
        margin=chosen - rejected,
    )


FORMAT = Format(
    name="argilla",
    summary="Argilla ultrafeedback-binarized-preferences",
    signature='"instruction" beside "chosen_response" and "rejected_response"',
    detect=detect,
    read=each(read),
    examples=(
        {
            "instruction": "Sum?",
            "chosen_response": "BETTER",
            "rejected_response": "WORSE",
            "chosen_avg_rating": 4.5,
            "rejected_avg_rating": 2.0,
        },
    ),
)
