"""PandaLM's test set (Wang et al. 2023, arXiv:2306.05087): two responses, three people; 0 is a tie."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, WrongShapeError, each
from prefdata.conversion.ranking import answer, judgment, of_two, response_set
from prefdata.conversion.sides import holds, leftover, number, optional, text
from prefdata.types import Judge

PEOPLE = ("annotator1", "annotator2", "annotator3")
COLUMNS = ("idx", "instruction", "input", "response1", "response2", *PEOPLE)


def detect(row: Row) -> float:
    return 1.0 if {"instruction", "response1", "response2", PEOPLE[0]} <= row.keys() else 0.0


def read(row: Row) -> Outcome:
    models = [*str(row.get("cmp_key") or "").split("_"), "", ""]
    responses = [answer(row, f"response{id}", id, models[int(id) - 1] or None) for id in ("1", "2")]
    asked = "\n\n".join(part for part in (text(row, "instruction"), optional(row, "input")) if part)
    of = response_set(
        asked, responses, id=None if row.get("idx") is None else str(row["idx"]), metadata=leftover(row, COLUMNS)
    )
    people = [name for name in PEOPLE if holds(row, name)]
    return Ranked(
        of, tuple(judgment(of, Judge("human", name), of_two(_winner(row, name), ("1", "2"))) for name in people)
    )


def _winner(row: Row, name: str) -> str | None:
    said = number(row, name)
    if said not in (0, 1, 2):
        raise WrongShapeError(f'column "{name}" holds {said}, which is none of 0 (tie), 1 and 2')
    return str(int(said)) if said else None


FORMAT = Format(
    name="pandalm",
    summary="PandaLM test set, three people",
    signature='"response1", "response2" beside "annotator1"',
    detect=detect,
    read=each(read),
    ranked=True,
    examples=(
        {
            "idx": 0,
            "cmp_key": "a_b",
            "instruction": "Sum?",
            "input": "",
            "response1": "WORSE",
            "response2": "BETTER",
            "annotator1": 2,
            "annotator2": 0,
            "annotator3": 2,
        },
    ),
)
