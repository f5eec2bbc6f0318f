"""One row in canonical form: completions hold only what follows the prompt, messages only the keys that are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from prefdata.records.arrow import Form

Messages = list[dict[str, Any]]
Side = str | Messages

FIELDS = (
    "prompt",
    "chosen",
    "rejected",
    "id",
    "tools",
    "margin",
    "probability",
    "score_chosen",
    "score_rejected",
    "judgment_ids",
    "source",
    "metadata",
)
MESSAGE_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")


@dataclass(slots=True)
class Row:
    """A pair that holds to the schema; ``prompt``, ``chosen`` and ``rejected`` are canonical."""

    document: Mapping[str, Any]
    """The row as it was given."""
    form: Form
    prompt: Any
    chosen: Any
    rejected: Any
    trimmed: int = 0
    """Messages taken off the start of both completions because they repeat the prompt."""

    def pointer(self, side: str, index: int, key: str | None = None) -> str:
        """JSON pointer to a message of a canonical side, or to a key of it, in the row as it was given."""
        if isinstance(self.document[side], str):
            return f"/{side}"
        message = f"/{side}/{index + (self.trimmed if side != 'prompt' else 0)}"
        return message if key is None else f"{message}/{key}"

    def answer(self, side: str) -> tuple[str, str]:
        """What a side says last: the JSON pointer to it, and the text ("" where it is none)."""
        content = getattr(self, side)
        if isinstance(content, str):
            return f"/{side}", content
        if not content:
            return f"/{side}", ""
        return self.pointer(side, len(content) - 1, "content"), content[-1].get("content") or ""

    def completions(self) -> Iterator[tuple[str, Any]]:
        """The names and contents of both completions."""
        yield "chosen", self.chosen
        yield "rejected", self.rejected


def row_of(document: Mapping[str, Any], *, chat: bool = False) -> Row:
    """The row that ``document`` (which holds to the schema) means; with ``chat``, strings become messages."""
    prompt, chosen, rejected = document["prompt"], document["chosen"], document["rejected"]
    if isinstance(prompt, str):
        if not chat:
            return Row(document, "text", prompt, chosen, rejected)
        return Row(document, "chat", *as_chat(prompt, chosen, rejected))
    prompt, chosen, rejected = canonical_messages(prompt), canonical_messages(chosen), canonical_messages(rejected)
    cut = len(prompt) if repeats(prompt, chosen) and repeats(prompt, rejected) else 0
    return Row(document, "chat", prompt, chosen[cut:], rejected[cut:], cut)


def as_chat(prompt: str, chosen: str, rejected: str) -> tuple[Messages, Messages, Messages]:
    """A pair of strings as a user's turn and two assistant's turns."""
    return (
        [{"role": "user", "content": prompt}],
        [{"role": "assistant", "content": chosen}],
        [{"role": "assistant", "content": rejected}],
    )


def repeats(prompt: Sequence[Any], side: Sequence[Any]) -> bool:
    """Whether ``side`` starts with every message of a prompt that has any."""
    return bool(prompt) and side[: len(prompt)] == prompt


def canonical_messages(messages: Sequence[Mapping[str, Any]]) -> Messages:
    """Messages with the stored keys only, nulls left out, and tool arguments as objects where they are objects."""
    return [
        message if len(message) == 2 and "content" in message else canonical_message(message)  # type: ignore[misc]
        for message in messages
    ]


def canonical_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """One message; see ``canonical_messages``."""
    canonical: dict[str, Any] = {"role": message["role"]}
    calls = message.get("tool_calls")
    content = message.get("content")
    if content is not None or not calls:
        canonical["content"] = content
    if calls:
        canonical["tool_calls"] = [_canonical_call(call) for call in calls]
    for name in ("tool_call_id", "name"):
        if message.get(name) is not None:
            canonical[name] = message[name]
    return canonical


def _canonical_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = arguments_of(function["arguments"])
    canonical: dict[str, Any] = {
        "type": "function",
        "function": {"name": function["name"], "arguments": function["arguments"] if arguments is None else arguments},
    }
    if call.get("id") is not None:
        canonical["id"] = call["id"]
    return canonical


def arguments_of(arguments: Any) -> dict[str, Any] | None:
    """The object that tool arguments mean, given as an object or as JSON text; ``None`` where they are neither."""
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return None
    return arguments if isinstance(arguments, dict) else None
