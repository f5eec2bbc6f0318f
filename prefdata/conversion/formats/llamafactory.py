"""LLaMA-Factory's ranking files: alpaca columns, and sharegpt conversations."""

from __future__ import annotations

from typing import Any

import orjson

from prefdata.conversion.carrying import CARRIED, carry
from prefdata.conversion.chat import Chat
from prefdata.conversion.outcomes import Export, Format, NoPlaceError, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import (
    Messages,
    Side,
    assistant,
    column,
    messages,
    optional,
    paired,
    system,
    text,
    tools_of,
    user,
)

ALPACA = ("instruction", "input", "chosen", "rejected", "system", "history")
SHAREGPT = ("conversations", "chosen", "rejected", "system", "tools")
ASKS = ("human", "observation")


def detect_alpaca(row: Row) -> float:
    sides = all(isinstance(row.get(side), str) for side in ("chosen", "rejected"))
    return 1.0 if sides and isinstance(row.get("instruction"), str) and "prompt" not in row else 0.0


def asked(row: Row) -> Side:
    """What the alpaca columns ask: text, or messages where there is a system text or a history.

    Without them this is a single-turn string pair, and stays one.
    """
    context = system(row)
    for turn in row.get("history") or []:
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(said, str) for said in turn):
            raise WrongShapeError('column "history" holds no pairs of question and answer')
        context += [user(turn[0]), assistant(turn[1])]
    question = "\n".join(part for part in (text(row, "instruction"), optional(row, "input")) if part)
    return [*context, user(question)] if context else question


def read_alpaca(row: Row) -> Outcome:
    return paired(row, asked(row), text(row, "chosen"), text(row, "rejected"), used=ALPACA)


def write_alpaca(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Instruction, history and system; the answers are one turn of text each."""
    chat = Chat(record, roles=("system", "user", "assistant"))
    if chat.tools:
        raise NoPlaceError("alpaca columns have no place for tools")
    *before, last = chat.turns
    if len(before) % 2 or any(turn["role"] != ("user", "assistant")[n % 2] for n, turn in enumerate(chat.turns)):
        raise NoPlaceError("alpaca columns hold question and answer by turns, a question last")
    history = [[one["content"], other["content"]] for one, other in zip(before[::2], before[1::2], strict=True)]
    asked = {"instruction": last["content"], "input": "", "system": chat.system, "history": history}
    return [{**asked, "chosen": chat.answer("chosen"), "rejected": chat.answer("rejected"), CARRIED: carry(record)}]


def detect_sharegpt(row: Row) -> float:
    sides = [row.get(side) for side in ("chosen", "rejected")]
    return 1.0 if isinstance(row.get("conversations"), list) and all(isinstance(one, dict) for one in sides) else 0.0


def conversation(row: Row) -> Messages:
    """The sharegpt columns as messages."""
    return [*system(row), *messages(column(row, "conversations"), "conversations")]


def read_sharegpt(row: Row) -> Outcome:
    chosen, rejected = (messages(column(row, side), side) for side in ("chosen", "rejected"))
    return paired(row, conversation(row), chosen, rejected, used=SHAREGPT, tools=tools_of(row))


def write_sharegpt(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Turns of human (or observation) and gpt (or function_call), in strict alternation as LLaMA-Factory wants them."""
    chat = Chat(record, roles=("system", "user", "assistant", "tool"), calls=True)
    said = [_sharegpt(turn) for turn in chat.turns]
    if len(said) % 2 == 0 or any((turn["from"] in ASKS) == bool(n % 2) for n, turn in enumerate(said)):
        raise NoPlaceError("sharegpt turns of human and gpt must alternate, a human turn first and last")
    tools = orjson.dumps([tool.get("function", tool) for tool in chat.tools]).decode() if chat.tools else ""
    sides = {side: _sharegpt(chat.last(side)) for side in ("chosen", "rejected")}
    return [{"conversations": said, **sides, "system": chat.system, "tools": tools, CARRIED: carry(record)}]


def _sharegpt(turn: dict[str, Any]) -> dict[str, str]:
    calls = turn.get("tool_calls") or []
    if not calls:
        names = {"user": "human", "assistant": "gpt", "tool": "observation"}
        return {"from": names[turn["role"]], "value": turn["content"]}
    if len(calls) > 1 or turn.get("content"):
        raise NoPlaceError("a sharegpt turn holds one function call and no text beside it")
    call = calls[0]["function"]
    return {"from": "function_call", "value": orjson.dumps({k: call[k] for k in ("name", "arguments")}).decode()}


def dataset_info(name: str, file: str, kind: str) -> dict[str, Any]:
    """The entry of LLaMA-Factory's dataset_info.json for a file that ``write_alpaca`` or ``write_sharegpt`` made."""
    if kind == "llamafactory-alpaca":
        columns = {"prompt": "instruction", "query": "input"}
        columns |= {column: column for column in ("chosen", "rejected", "system", "history")}
        return {name: {"file_name": file, "ranking": True, "columns": columns}}
    columns = {"messages": "conversations", **{column: column for column in ("chosen", "rejected", "system", "tools")}}
    return {name: {"file_name": file, "formatting": "sharegpt", "ranking": True, "columns": columns}}


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
EXPORT = Export(
    "llamafactory-alpaca", "LLaMA-Factory alpaca ranking, with dataset_info.json", write_alpaca, "llamafactory-alpaca"
)
SHAREGPT_EXPORT = Export(
    "llamafactory-sharegpt",
    "LLaMA-Factory sharegpt ranking, with dataset_info.json",
    write_sharegpt,
    "llamafactory-sharegpt",
)
