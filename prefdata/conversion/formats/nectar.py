"""Nectar (Zhu et al. 2023): seven answers ranked by GPT-4, 1 best; the prompt is a transcript as in HH-RLHF."""

from __future__ import annotations

from prefdata.conversion.formats.hh import transcript
from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, each
from prefdata.conversion.ranking import answer, by_score, judgment, response_set
from prefdata.conversion.sides import leftover, number, objects, optional, text
from prefdata.types import Judge

JUDGE = Judge("llm", "nectar-gpt-4")


def detect(row: Row) -> float:
    answers = row.get("answers")
    if not isinstance(row.get("prompt"), str) or not isinstance(answers, list) or not answers:
        return 0.0
    return 1.0 if all(isinstance(one, dict) and "answer" in one and "rank" in one for one in answers) else 0.0


def read(row: Row) -> Outcome:
    context = transcript(text(row, "prompt"), "prompt")
    if context[-1]["role"] == "assistant" and not context[-1]["content"].strip():
        context.pop()  # "\n\nAssistant: " invites the answer: it is no turn
    answers = objects(row, "answers")
    responses = [answer(one, "answer", str(n), optional(one, "model")) for n, one in enumerate(answers)]
    of = response_set(context, responses, metadata=leftover(row, ("prompt", "answers")))
    ranks = {str(n): -number(one, "rank") for n, one in enumerate(answers)}
    return Ranked(of, (judgment(of, JUDGE, by_score(ranks)),))


FORMAT = Format(
    name="nectar",
    summary="Nectar, seven ranked answers",
    signature='"prompt" beside "answers" with "answer" and "rank"',
    detect=detect,
    read=each(read),
    ranked=True,
    examples=(
        {
            "prompt": "\n\nHuman: Sum?\n\nAssistant: ",
            "answers": [
                {"answer": "between", "model": "a", "rank": 2.0},
                {"answer": "BETTER", "model": "b", "rank": 1.0},
                {"answer": "WORSE", "model": "c", "rank": 3.0},
            ],
        },
    ),
)
