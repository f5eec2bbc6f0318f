"""Prompts and responses as text that a judge reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from prefdata.types import Content, Message, Prompt, Response

SPEAKERS = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def prompt_text(prompt: Prompt) -> str:
    """The shared context, once: text as it is, one user turn as its text, anything else as a transcript."""
    tools = "".join(f"\n{orjson.dumps(tool).decode()}" for tool in prompt.tools)
    return (f"Tools that the assistant may call:{tools}\n\n" if tools else "") + _text(prompt.content, "user")


def response_text(response: Response) -> str:
    """What follows the context: text as it is, one plain assistant turn as its text, anything else as a transcript."""
    return _text(response.content, "assistant")


def final_text(response: Response) -> str:
    """The last words of a response: its text, or the content of its last turn (empty where that only calls a tool)."""
    if isinstance(response.content, str):
        return response.content
    return (response.content[-1].content or "") if response.content else ""


def reference_text(prompt: Prompt) -> str | None:
    """The known good answer; several are listed by number."""
    if len(prompt.reference) < 2:
        return prompt.reference[0] if prompt.reference else None
    return "\n".join(f"{number}. {text}" for number, text in enumerate(prompt.reference, start=1))


def _text(content: Content, role: str) -> str:
    if isinstance(content, str):
        return content
    if len(content) == 1 and content[0].role == role and not content[0].tool_calls:
        return content[0].content or ""
    return "\n\n".join(_turn(message) for message in content)


def _turn(message: Message) -> str:
    speaker = SPEAKERS.get(message.role, message.role)
    if message.name:
        speaker = f"{speaker} ({message.name})"
    parts = [f"{speaker}: {message.content}"] if message.content or not message.tool_calls else []
    parts += [f"{speaker} calls {_call(call)}" for call in message.tool_calls]
    return "\n".join(parts)


def _call(call: Mapping[str, Any]) -> str:
    function = call["function"]
    arguments = function["arguments"]
    return f"{function['name']}({arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()})"
