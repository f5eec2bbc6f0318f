"""PRF: a row that expresses no preference, or the wrong way round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefdata.validation.registry import Hit, row_rule
from prefdata.validation.row import Row

GOOD = b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}'


@row_rule(
    "PRF001",
    "identical-sides",
    message="chosen and rejected are the same",
    hint="remove the row; if the answers differed once, look for the step that lost the difference",
    why="""Two equal answers carry no preference: their gradient is exactly zero, they only cost time, and they hide
    how many pairs there really are. Widely used datasets hold thousands of them.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "4"}',
    good=GOOD,
    guard=True,
    screen=lambda batch: batch.identical(),
)
def identical_sides(row: Row) -> Iterator[Hit]:
    if row.chosen == row.rejected:
        yield Hit("/rejected")


@row_rule(
    "PRF002",
    "empty-side",
    message="a side holds no answer",
    hint="remove the row, or fill in the answer that was lost",
    why="""An empty answer is nearly always a failed call or a lost field. Training on it teaches the model to stop at
    once (where it is chosen), or only to speak (where it is rejected).""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": " "}',
    good=GOOD,
    screen=lambda batch: batch.blank,
)
def empty_side(row: Row) -> Iterator[Hit]:
    for side, content in row.completions():
        if row.form == "text":
            if not content.strip():
                yield Hit(f"/{side}", f"{side} is {'blank' if content else 'empty'}")
        elif not content:
            after = " after the prompt that it repeats" if row.trimmed else ""
            yield Hit(f"/{side}", f"{side} holds no message{after}")
        elif _says_nothing(content[-1]):
            yield Hit(row.pointer(side, len(content) - 1, "content"), f"the final reply of {side} is empty")


def _says_nothing(message: Any) -> bool:
    return (
        message["role"] == "assistant" and not message.get("tool_calls") and not (message.get("content") or "").strip()
    )
