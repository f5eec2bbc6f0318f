"""LLaMA-Factory's ranking files: alpaca columns, and sharegpt conversations."""

from __future__ import annotations

import orjson

from prefdata.conversion.outcomes import Format, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import assistant, column, messages, optional, paired, system, text, user

ALPACA = ("instruction", "input", "chosen", "rejected", "system", "history")
SHAREGPT = ("conversations", "chosen", "rejected", "system", "tools")


def detect_alpaca(row: Row) -> float:
    sides = all(isinstance(row.get(side), str) for side in ("chosen", "rejected"))
    return 1.0 if sides and isinstance(row.get("instruction"), str) and "prompt" not in row else 0.0


def read_alpaca(row: Row) -> Outcome:
    context = system(row)
    for turn in row.get("history") or []:
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(said, str) for said in turn):
            raise WrongShapeError('column "history" holds no pairs of question and answer')
        context += [user(turn[0]), assistant(turn[1])]
    asked = "\n".join(part for part in (text(row, "instruction"), optional(row, "input")) if part)
    chosen, rejected = text(row, "chosen"), text(row, "rejected")
    # Without system and history this is a single-turn string pair, and stays one.
    prompt = [*context, user(asked)] if context else asked
    return paired(row, prompt, chosen, rejected, used=ALPACA)


def detect_sharegpt(row: Row) -> float:
    sides = [row.get(side) for side in ("chosen", "rejected")]
    return 1.0 if isinstance(row.get("conversations"), list) and all(isinstance(one, dict) for one in sides) else 0.0


def read_sharegpt(row: Row) -> Outcome:
    context = [*system(row), *messages(column(row, "conversations"), "conversations")]
    chosen, rejected = (messages(column(row, side), side) for side in ("chosen", "rejected"))
    return paired(row, context, chosen, rejected, used=SHAREGPT, tools=_tools(row.get("tools")))


def _tools(value: object) -> list[object] | None:
    """LLaMA-Factory keeps the list of functions as JSON text, without OpenAI's envelope."""
    try:
        tools = orjson.loads(value) if isinstance(value, str) and value else value
    except orjson.JSONDecodeError:
        raise WrongShapeError('column "tools" holds no JSON') from None
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise WrongShapeError('column "tools" holds no list of objects')
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


FORMAT = Format(
    name="llamafactory-alpaca",
    summary="LLaMA-Factory alpaca ranking",
    signature='"instruction" (and "input") beside "chosen" and "rejected" as text',
    detect=detect_alpaca,
    read=each(read_alpaca),
    examples=({"instruction": "Sum?", "input": "1 and 2", "chosen": "BETTER", "rejected": "WORSE"},),
)
SHAREGPT_FORMAT = Format(
    name="llamafactory-sharegpt",
    summary="LLaMA-Factory sharegpt ranking",
    signature='"conversations" beside one message each in "chosen" and "rejected"',
    detect=detect_sharegpt,
    read=each(read_sharegpt),
    examples=(
        {
            "conversations": [{"from": "human", "value": "Sum?"}],
            "chosen": {"from": "gpt", "value": "BETTER"},
            "rejected": {"from": "gpt", "value": "WORSE"},
        },
    ),
)
