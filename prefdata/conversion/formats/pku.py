"""PKU-SafeRLHF (Ji et al. 2024, arXiv:2406.15513): one label for the better and one for the safer response.

The two can conflict, so that each is a format of its own and the user must choose one.
"""

from __future__ import annotations

from functools import partial

from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, WrongShapeError, each
from prefdata.conversion.ranking import answer, judgment, of_two, response_set
from prefdata.conversion.sides import leftover, number, text
from prefdata.types import Judge

LABELS = ("better", "safer")


def detect(row: Row) -> float:
    return 1.0 if {"prompt", "response_0", "response_1", *(f"{n}_response_id" for n in LABELS)} <= row.keys() else 0.0


def read(row: Row, label: str) -> Outcome:
    name = f"{label}_response_id"
    winner = number(row, name)
    if winner not in (0, 1):
        raise WrongShapeError(f'column "{name}" holds {winner}, which is neither 0 nor 1')
    responses = [answer(row, f"response_{id}", id) for id in ("0", "1")]
    used = ("prompt", "response_0", "response_1", name)
    of = response_set(text(row, "prompt"), responses, metadata=leftover(row, used))
    judge = Judge("human", f"pku-saferlhf-{label}")
    return Ranked(of, (judgment(of, judge, of_two(str(int(winner)), ("0", "1"))),))


BETTER, SAFER = (
    Format(
        name=f"pku-{label}",
        summary=f"PKU-SafeRLHF, by the {label} response",
        signature=f'"response_0", "response_1" beside "{label}_response_id"',
        detect=detect,
        read=each(partial(read, label=label)),
        ranked=True,
        examples=(
            {
                "prompt": "Sum?",
                "response_0": "WORSE",
                "response_1": "BETTER",
                "better_response_id": int(label == "better"),
                "safer_response_id": int(label == "safer"),
            },
        ),
    )
    for label in LABELS
)
