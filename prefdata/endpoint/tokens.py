"""How many tokens a request takes, guessed: the tokenizer of a model behind an endpoint is not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

BYTES_PER_TOKEN = 4
PER_MESSAGE = 4
"""Tokens that a chat template puts around a message."""
USUAL = 300
"""Tokens of an answer, where nothing is known of the endpoint's."""


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of the messages and tools of a request; a server's own count differs by some tens of per cent.

    >>> prompt_tokens({"messages": [{"role": "user", "content": "twelve chars"}]})
    7
    """
    total = 0
    for message in body["messages"]:
        content = message.get("content")
        size = len(content.encode("utf-8", "surrogatepass")) if isinstance(content, str) else 0
        if message.get("tool_calls"):
            size += len(orjson.dumps(message["tool_calls"]))
        total += PER_MESSAGE + -(-size // BYTES_PER_TOKEN)
    if body.get("tools"):
        total += len(orjson.dumps(body["tools"])) // BYTES_PER_TOKEN
    return total


def most_completion_tokens(body: Mapping[str, Any]) -> int | None:
    """The most tokens that the answers to a request can have; ``None`` where it sets no limit."""
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    return int(limit) * int(body.get("n") or 1) if isinstance(limit, int) else None
