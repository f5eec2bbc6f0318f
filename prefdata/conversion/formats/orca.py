"""Intel's orca_dpo_pairs, its distilabel version, and axolotl's chatml.intel and chatml.icr."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Row, each
from prefdata.conversion.sides import assistant, paired, system, text, user


def detect(row: Row) -> float:
    sides = all(isinstance(row.get(side), str) for side in ("chosen", "rejected"))
    asked = isinstance(row.get("question"), str) or isinstance(row.get("input"), str)
    return 1.0 if sides and asked and "system" in row and "instruction" not in row and "prompt" not in row else 0.0


def read(row: Row) -> Outcome:
    question = "question" if row.get("question") is not None else "input"
    return paired(
        row,
        [*system(row), user(text(row, question))],
        [assistant(text(row, "chosen"))],
        [assistant(text(row, "rejected"))],
        used=("system", question, "chosen", "rejected"),
        # distilabel's: its second judge saw no difference
        tie='column "status" says so' if row.get("status") == "tie" else None,
    )


FORMAT = Format(
    name="orca",
    summary="Intel orca_dpo_pairs, distilabel's version, axolotl chatml.intel and chatml.icr",
    signature='"system" and "question" (or "input") beside "chosen" and "rejected" as text',
    detect=detect,
    read=each(read),
    aliases=("chatml.intel", "chatml.icr"),
    examples=(
        {"system": "", "question": "Sum?", "chosen": "BETTER", "rejected": "WORSE"},
        {"system": "Be brief.", "input": "Sum?", "chosen": "BETTER", "rejected": "WORSE", "status": "swapped"},
    ),
)
