"""AlpacaEval's annotations (Dubois et al. 2024, arXiv:2404.04475): two outputs, and which one an annotator prefers.

``preference`` is 1 for the first output, 2 for the second, anything between for 1 + P(the second is better); 0 and 1.5
are ties. Annotators are language models by name or people by number; rows of the same two outputs are one set.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from prefdata.conversion.outcomes import Format, Outcome, Ranked, Row, WrongShapeError
from prefdata.conversion.ranking import answer, judgment, of_two, response_set
from prefdata.conversion.sides import column, holds, kind, leftover, number, optional, text
from prefdata.types import Judge, Judgment, ResponseSet

IDS = ("1", "2")
ASKED = ("instruction", "output_1", "output_2", "generator_1", "generator_2")
JUDGED = ("annotator", "preference", "raw_completion", "price_per_example", "time_per_example", "shown_first")
TIE = 1.5


def detect(row: Row) -> float:
    return 1.0 if {"instruction", "output_1", "output_2", "preference"} <= row.keys() else 0.0


def key(row: Row) -> Hashable:
    return tuple(str(row.get(name)) for name in ASKED)


def read(rows: Sequence[Row]) -> Iterable[Outcome]:
    first = rows[0]
    responses = [answer(first, f"output_{id}", id, optional(first, f"generator_{id}")) for id in IDS]
    of = response_set(text(first, "instruction"), responses, metadata=leftover(first, (*ASKED, *JUDGED)))
    yield Ranked(of, tuple(_judgment(of, row) for row in rows))


def _judgment(of: ResponseSet, row: Row) -> Judgment:
    said: dict[str, Any] = {"metadata": leftover(row, (*ASKED, "annotator", "preference"))}
    first = optional(row, "shown_first") or "output_1"
    if first not in ("output_1", "output_2"):
        raise WrongShapeError(f'column "shown_first" holds {first!r}, which is neither output_1 nor output_2')
    if first == "output_2":
        said |= {"shown": IDS[::-1], "order": 1}
    if not holds(row, "preference"):  # its annotator gave no verdict that could be read
        return judgment(of, _judge(row), None, flags=("unreadable",), **said)
    preference = number(row, "preference") or TIE
    if not 1 <= preference <= 2:
        raise WrongShapeError(f'column "preference" holds {preference}, which is neither 0 nor between 1 and 2')
    second = preference - 1
    if preference != int(preference) and preference != TIE:
        said["probability"] = second if first == "output_2" else 1 - second
    winner = None if second == 0.5 else "2" if second > 0.5 else "1"
    return judgment(of, _judge(row), of_two(winner, IDS), **said)


def _judge(row: Row) -> Judge:
    name = column(row, "annotator") if holds(row, "annotator") else "annotator"
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise WrongShapeError(f'column "annotator" holds {kind(name)}, neither a name nor a number')
    return Judge("llm", name) if isinstance(name, str) else Judge("human", f"annotator{name}")


FORMAT = Format(
    name="alpaca-eval",
    summary="AlpacaEval annotations, of models and of people",
    signature='"instruction", "output_1", "output_2" and "preference"',
    detect=detect,
    read=read,
    ranked=True,
    group=key,
    scattered=True,
    examples=(
        {
            "instruction": "Sum?",
            "dataset": "koala",
            "output_1": "WORSE",
            "generator_1": "a",
            "output_2": "BETTER",
            "generator_2": "b",
            "annotator": "weighted",
            "preference": 1.97,
        },
    ),
)
