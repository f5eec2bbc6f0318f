"""UltraFeedback as published (Cui et al. 2023, arXiv:2310.01377): several completions with scores by GPT-4.

The fine-grained score ranks them: thousands of completions carry an overall score of 10 where it should be 1.
"""

from __future__ import annotations

from math import isfinite

from prefdata.conversion.outcomes import Format, Outcome, Row, each
from prefdata.conversion.ranking import answer, response_set, scored
from prefdata.conversion.sides import leftover, number, objects, optional, text
from prefdata.types import Judge

JUDGE = Judge("llm", "ultrafeedback-gpt-4")
SCORE = "fine-grained_score"


def detect(row: Row) -> float:
    completions = row.get("completions")
    if not isinstance(row.get("instruction"), str) or not isinstance(completions, list) or not completions:
        return 0.0
    return 1.0 if all(isinstance(one, dict) and SCORE in one for one in completions) else 0.0


def read(row: Row) -> Outcome:
    completions = objects(row, "completions")
    responses = [
        answer(one, "response", str(place), optional(one, "model"), **leftover(one, ("response", "model", SCORE)))
        for place, one in enumerate(completions)
    ]
    asked = response_set(
        text(row, "instruction"), responses, metadata=leftover(row, ("instruction", "completions", "models"))
    )
    scores = {str(place): number(one, SCORE) for place, one in enumerate(completions)}
    return scored(asked, JUDGE, scores, {str(place): _ratings(one) for place, one in enumerate(completions)})


def _ratings(completion: Row) -> dict[str, float]:
    """GPT-4's ratings by aspect, which stand as text beside their rationales; those that are no number ("N/A") not."""
    found: dict[str, float] = {}
    annotations = completion.get("annotations")
    for aspect, said in annotations.items() if isinstance(annotations, dict) else ():
        rating = said.get("Rating") if isinstance(said, dict) else None
        try:
            found[aspect] = float(rating)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
    return {aspect: rating for aspect, rating in found.items() if isfinite(rating)}


FORMAT = Format(
    name="ultrafeedback",
    summary="UltraFeedback with all completions",
    signature=f'"instruction" beside "completions" that have a "{SCORE}"',
    detect=detect,
    read=each(read),
    ranked=True,
    examples=(
        {
            "source": "example",
            "instruction": "Sum?",
            "models": ["a", "b", "c"],
            "completions": [
                {"model": "a", "response": "WORSE", SCORE: 1.5, "overall_score": 10.0, "annotations": {}},
                {"model": "b", "response": "between", SCORE: 3.0, "overall_score": 6.0, "annotations": {}},
                {"model": "c", "response": "BETTER", SCORE: 4.75, "overall_score": 8.0, "annotations": {}},
            ],
        },
    ),
)
