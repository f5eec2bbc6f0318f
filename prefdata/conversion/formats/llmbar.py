"""LLMBar (Zeng et al. 2024, arXiv:2310.07641): an instruction, two outputs, and which of them follows it."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, WrongShapeError, each
from prefdata.conversion.ranking import answer, judgment, of_two, response_set
from prefdata.conversion.sides import leftover, number, text
from prefdata.types import Judge

JUDGE = Judge("human", "llmbar")


def detect(row: Row) -> float:
    return 1.0 if {"input", "output_1", "output_2", "label"} <= row.keys() else 0.0


def read(row: Row) -> Outcome:
    label = number(row, "label")
    if label not in (1, 2):
        raise WrongShapeError(f'column "label" holds {label}, which is neither 1 nor 2')
    responses = [answer(row, f"output_{id}", id) for id in ("1", "2")]
    about = leftover(row, ("input", "output_1", "output_2", "label"))
    of = response_set(text(row, "input"), responses, metadata=about)
    return Ranked(of, (judgment(of, JUDGE, of_two(str(int(label)), ("1", "2"))),))


FORMAT = Format(
    name="llmbar",
    summary="LLMBar, by its gold label",
    signature='"input", "output_1", "output_2" and "label"',
    detect=detect,
    read=each(read),
    ranked=True,
    examples=({"input": "Sum?", "output_1": "WORSE", "output_2": "BETTER", "label": 2},),
)
