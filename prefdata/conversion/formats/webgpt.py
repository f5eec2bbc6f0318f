"""WebGPT comparisons (Nakano et al. 2021, arXiv:2112.09332): two answers with quotes; a score of 0 is a tie."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Row, WrongShapeError, each
from prefdata.conversion.ranking import answer, response_set, scored
from prefdata.conversion.sides import column, kind, leftover, number, text
from prefdata.types import Judge

JUDGE = Judge("human", "webgpt")


def detect(row: Row) -> float:
    return 1.0 if {"question", "answer_0", "answer_1", "score_0", "score_1"} <= row.keys() else 0.0


def read(row: Row) -> Outcome:
    question = column(row, "question")
    if not isinstance(question, dict):
        raise WrongShapeError(f'column "question" holds {kind(question)}, not an object')
    responses = [answer(row, f"answer_{id}", id, quotes=row.get(f"quotes_{id}")) for id in ("0", "1")]
    about = {
        **leftover(question, ("full_text",)),
        **leftover(row, ("question", *(f"{name}_{n}" for name in ("answer", "score", "quotes") for n in (0, 1)))),
    }
    of = response_set(text(question, "full_text"), responses, metadata=about)
    return scored(of, JUDGE, {id: number(row, f"score_{id}") for id in ("0", "1")})


FORMAT = Format(
    name="webgpt",
    summary="WebGPT comparisons",
    signature='"question", "answer_0", "answer_1", "score_0" and "score_1"',
    detect=detect,
    read=each(read),
    ranked=True,
    examples=(
        {
            "question": {"dataset": "eli5", "id": "1", "full_text": "Sum?"},
            "quotes_0": {"title": [], "extract": []},
            "answer_0": "BETTER",
            "score_0": 0.5,
            "quotes_1": {"title": [], "extract": []},
            "answer_1": "WORSE",
            "score_1": -0.5,
        },
    ),
)
