"""DPO files of OpenAI, and of Together and Fireworks, which take the same."""

from __future__ import annotations

from typing import Any

import orjson

from prefdata.conversion.chat import Chat
from prefdata.conversion.outcomes import Export, Format, NoPlaceError, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import column, kind, leftover, messages, paired, tools_of

SIDES = ("preferred_output", "non_preferred_output")


def detect(row: Row) -> float:
    asked = row.get("input")
    has_messages = isinstance(asked, dict) and isinstance(asked.get("messages"), list)
    return 1.0 if has_messages and all(isinstance(row.get(name), list) for name in SIDES) else 0.0


def read(row: Row) -> Outcome:
    asked = column(row, "input")
    if not isinstance(asked, dict):
        raise WrongShapeError(f'column "input" holds {kind(asked)}, not an object')
    rest = leftover(asked, ("messages", "tools"))
    return paired(
        {**row, **({"input": rest} if rest else {})},
        messages(column(asked, "messages"), "input/messages"),
        *(messages(column(row, name), name) for name in SIDES),
        used=SIDES if rest else (*SIDES, "input"),
        tools=tools_of(asked),
    )


def write(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Exactly OpenAI's columns, which refuses any other: id, margin and metadata are not kept."""
    chat = Chat(record, calls=True)
    for name in ("chosen", "rejected"):
        if not {turn["role"] for turn in chat.sides[name]} <= {"assistant", "tool"}:
            raise NoPlaceError(f"{name} holds turns of others than assistant and tool")
    asked: dict[str, Any] = {"messages": [_written(turn) for turn in chat.prompt]}
    if chat.tools:
        asked["tools"] = chat.tools
    outputs = ([_written(turn) for turn in chat.sides[name]] for name in ("chosen", "rejected"))
    return [{"input": asked, **dict(zip(SIDES, outputs, strict=True))}]


def _written(turn: dict[str, Any]) -> dict[str, Any]:
    """OpenAI wants the arguments of a call as JSON text."""
    if not turn.get("tool_calls"):
        return turn
    calls = []
    for call in turn["tool_calls"]:
        given = call["function"]["arguments"]
        written = given if isinstance(given, str) else orjson.dumps(given).decode()
        calls.append({**call, "function": {**call["function"], "arguments": written}})
    return {**turn, "tool_calls": calls}


FORMAT = Format(
    name="openai",
    summary="OpenAI, Together and Fireworks DPO files",
    signature='"input" with messages beside "preferred_output" and "non_preferred_output"',
    detect=detect,
    read=each(read),
    aliases=("together", "fireworks"),
    examples=(
        {
            "input": {"messages": [{"role": "user", "content": "Sum?"}], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "BETTER"}],
            "non_preferred_output": [{"role": "assistant", "content": "WORSE"}],
        },
    ),
)
EXPORT = Export("openai", "OpenAI, Together and Fireworks DPO files, without id, margin and metadata", write, "openai")
