"""UltraFeedback as binarized by Hugging Face H4: chosen and rejected are whole conversations, with scores."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Row, each
from prefdata.conversion.sides import column, is_messages, messages, number, paired, text

COLUMNS = ("prompt", "prompt_id", "chosen", "rejected", "messages", "score_chosen", "score_rejected")


def detect(row: Row) -> float:
    if not all(is_messages(row.get(side)) for side in ("chosen", "rejected")):
        return 0.0
    return 1.0 if isinstance(row.get("prompt"), str) and "score_chosen" in row and "score_rejected" in row else 0.0


def read(row: Row) -> Outcome:
    scores = number(row, "score_chosen"), number(row, "score_rejected")
    text(row, "prompt")  # the same as the first user turn of both sides, which hold the whole context
    chosen, rejected = (messages(column(row, side), side) for side in ("chosen", "rejected"))
    return paired(
        row,
        None,
        chosen,
        rejected,
        used=COLUMNS,
        tie=f"both sides have a score of {scores[0]:g}" if scores[0] == scores[1] else None,
        score_chosen=scores[0],
        score_rejected=scores[1],
        margin=scores[0] - scores[1],
        metadata={"prompt_id": row["prompt_id"]} if row.get("prompt_id") else None,
    )


FORMAT = Format(
    name="ultrafeedback-binarized",
    summary="UltraFeedback binarized (H4)",
    signature='"prompt" as text beside whole conversations and "score_chosen", "score_rejected"',
    detect=detect,
    read=each(read),
    examples=(
        {
            "prompt": "Sum?",
            "prompt_id": "7",
            "chosen": [{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "BETTER"}],
            "rejected": [{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "WORSE"}],
            "messages": [{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "BETTER"}],
            "score_chosen": 8.0,
            "score_rejected": 5.5,
        },
    ),
)
