"""ms-swift: a conversation whose last assistant turn is the chosen one, and the rejected answer as text."""

from __future__ import annotations

from prefdata.conversion.outcomes import Format, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import assistant, column, is_messages, messages, paired, text, tools_of


def detect(row: Row) -> float:
    return 1.0 if is_messages(row.get("messages")) and isinstance(row.get("rejected_response"), str) else 0.0


def read(row: Row) -> Outcome:
    conversation = messages(column(row, "messages"), "messages")
    if not conversation or conversation[-1]["role"] != "assistant":
        raise WrongShapeError('column "messages" does not end with the chosen assistant turn')
    return paired(
        row,
        conversation[:-1],
        conversation[-1:],
        [assistant(text(row, "rejected_response"))],
        used=("messages", "rejected_response", "tools"),
        tools=tools_of(row),
    )


FORMAT = Format(
    name="ms-swift",
    summary="ms-swift: messages and rejected_response",
    signature='"messages" beside "rejected_response"',
    detect=detect,
    read=each(read),
    examples=(
        {
            "messages": [{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "BETTER"}],
            "rejected_response": "WORSE",
        },
    ),
)
