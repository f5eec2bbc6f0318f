"""DPO files of OpenAI, and of Together and Fireworks, which take the same."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import column, kind, leftover, messages, paired

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
        tools=asked.get("tools") or None,
    )


FORMAT = Format(
    name="openai",
    summary="OpenAI, Together and Fireworks DPO files",
    signature='"input" with messages beside "preferred_output" and "non_preferred_output"',
    detect=detect,
    read=each(read),
    examples=(
        {
            "input": {"messages": [{"role": "user", "content": "Sum?"}], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "BETTER"}],
            "non_preferred_output": [{"role": "assistant", "content": "WORSE"}],
        },
    ),
)
