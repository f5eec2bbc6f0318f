"""A call as it is wanted, and what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prefdata.endpoint.endpoint import Endpoint
from prefdata.records.ids import content_id


@dataclass(frozen=True)
class Call:
    """One request as it is wanted; what had to be changed for a server's sake does not change its key."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    """Messages and parameters of a chat completion, without the model."""
    sample: int = 0
    """Tells equal requests apart that are meant to be answered more than once."""
    optional: tuple[str, ...] = ()
    """Fields that may be left out where the server refuses them."""

    @cached_property
    def key(self) -> str:
        """Content hash of base URL, model, request and sample."""
        return content_id([self.endpoint.base_url, self.endpoint.model, self.body, self.sample])


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of a completion."""

    text: str
    refusal: str | None
    finish_reason: str | None
    tool_calls: tuple[Mapping[str, Any], ...]
    logprobs: tuple[Mapping[str, Any], ...]
    """Per token of the answer: token, logprob, top_logprobs; empty where the server gives none."""


def choices_of(response: Mapping[str, Any]) -> list[Choice]:
    """The choices of a chat completion that ``malformed`` found nothing wrong with."""
    choices = []
    for choice in response["choices"]:
        message = choice["message"]
        logprobs = choice.get("logprobs")
        tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
        tokens = tokens if isinstance(tokens, list) else ()  # a server's own idea of log-probabilities is none
        reason = choice.get("finish_reason")
        choices.append(
            Choice(
                text=_text(message.get("content")),
                refusal=message.get("refusal") or None,
                finish_reason=reason if isinstance(reason, str) else None,
                tool_calls=tuple(message.get("tool_calls") or ()),
                logprobs=tuple(token for token in tokens if isinstance(token, dict)),
            )
        )
    return choices


def malformed(response: Any) -> str | None:
    """What is wrong with a reply that should be a chat completion, or ``None``."""
    if not isinstance(response, dict):
        return "the reply is not a JSON object"
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices:
        return "the reply has no choices"
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            return "a choice in the reply has no message"
        if not isinstance(message.get("content"), str | list | None):
            return "a message in the reply has a content that is no text"
        if not isinstance(message.get("refusal"), str | None) or not isinstance(message.get("tool_calls"), list | None):
            return "a message in the reply is not in the protocol's shape"
    return None


def _text(content: str | Sequence[Any] | None) -> str:
    """Content as text; some servers send a list of parts."""
    if isinstance(content, str):
        return content
    parts = [part.get("text") for part in content or () if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))
