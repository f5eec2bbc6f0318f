"""axolotl's chat_template.default: a conversation, and two answers as text, a message or a list of messages."""

from __future__ import annotations

from typing import Any

from prefdata.conversion.carrying import CARRIED, carry
from prefdata.conversion.chat import Chat
from prefdata.conversion.formats.trl import answers_only
from prefdata.conversion.outcomes import Export, Format, Outcome, Row, each
from prefdata.conversion.sides import column, is_messages, messages, paired, side, tools_of


def detect(row: Row) -> float:
    asked = is_messages(row.get("messages")) and row.get("prompt") is None and "score_chosen" not in row
    sides = [row.get("chosen"), row.get("rejected")]
    if not asked or None in sides:
        return 0.0
    return 0.5 if all(is_messages(one) for one in sides) and not answers_only(sides) else 1.0


def read(row: Row) -> Outcome:
    context = messages(column(row, "messages"), "messages")
    return paired(
        row,
        context,
        side(row, "chosen"),
        side(row, "rejected"),
        used=("messages", "chosen", "rejected", "tools"),
        tools=tools_of(row),
    )


def write(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Messages, and one message on each side."""
    chat = Chat(record, calls=True)
    row = {"messages": chat.prompt, "chosen": chat.last("chosen"), "rejected": chat.last("rejected")}
    return [{**row, **({"tools": chat.tools} if chat.tools else {}), CARRIED: carry(record)}]


FORMAT = Format(
    name="axolotl",
    summary="axolotl chat_template.default",
    signature='"messages" beside "chosen" and "rejected", without "prompt"',
    detect=detect,
    read=each(read),
    examples=(
        {
            "messages": [{"role": "user", "content": "Sum?"}],
            "chosen": {"role": "assistant", "content": "BETTER"},
            "rejected": {"role": "assistant", "content": "WORSE"},
        },
        {"messages": [{"role": "user", "content": "Sum?"}], "chosen": "BETTER", "rejected": "WORSE"},
    ),
)
EXPORT = Export("axolotl", "axolotl chat_template.default", write, "axolotl")
