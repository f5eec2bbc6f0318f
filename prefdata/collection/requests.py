"""Prompts as chat requests, and choices as responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from prefdata.endpoint.calls import Choice
from prefdata.records.codec import conversation, message_record
from prefdata.types import Content, Message, Prompt


def messages_of(prompt: Prompt, system: str | None) -> list[dict[str, Any]]:
    """The messages to send; ``system`` goes first where the prompt has no system message of its own."""
    messages = [_sent(message) for message in conversation(prompt.content, "user")]
    if system is not None and not any(message["role"] in ("system", "developer") for message in messages):
        messages.insert(0, {"role": "system", "content": system})
    return messages


def problem_of(choice: Choice) -> tuple[str, str | None] | None:
    """Why a choice is no response, as (reason, detail), or ``None`` for one that is."""
    if choice.refusal is not None:
        return "refusal", choice.refusal
    if choice.finish_reason == "content_filter":
        return "content-filter", choice.text or None
    if not choice.text.strip() and not choice.tool_calls:
        cut = "the answer was cut off before its first word" if choice.finish_reason == "length" else None
        return "empty-answer", cut
    if not all(_whole(call) for call in choice.tool_calls):
        return "bad-reply", "a tool call without a function's name and arguments"
    return None


def content_of(choice: Choice, prompt: Content) -> str | list[dict[str, Any]]:
    """The response as it stands in a record: text for a text prompt, one assistant turn for a conversation."""
    if isinstance(prompt, str) and not choice.tool_calls:
        return choice.text
    turn: dict[str, Any] = {"role": "assistant"}
    if choice.text or not choice.tool_calls:
        turn["content"] = choice.text
    if choice.tool_calls:
        turn["tool_calls"] = [_stored(call) for call in choice.tool_calls]
    return [turn]


def _sent(message: Message) -> dict[str, Any]:
    """A message in the protocol's shape, where arguments are JSON text and every tool call has an id."""
    record = message_record(message)
    if message.tool_calls:
        record["tool_calls"] = [_sent_call(call, place) for place, call in enumerate(message.tool_calls)]
        record.setdefault("content", None)
    return record


def _sent_call(call: Mapping[str, Any], place: int) -> dict[str, Any]:
    function = call["function"]
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return {
        "id": call.get("id") or f"call_{place}",
        "type": "function",
        "function": {"name": function["name"], "arguments": text},
    }


def _whole(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(name := function.get("name"), str)
        and name != ""
        and isinstance(function.get("arguments"), str | dict)
    )


def _stored(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    stored = {"type": "function", "function": {"name": function["name"], "arguments": function["arguments"]}}
    return {"id": call["id"], **stored} if isinstance(call.get("id"), str) else stored
