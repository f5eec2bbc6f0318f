"""The OpenAI protocol, as much of it as the server speaks: requests checked, responses shaped.

What is asked for and not supported is refused by name: an option that is silently ignored looks like a model that does
not follow it.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prefdata_trainer.tiny.engine import Engine, Row, Sampling

HARMLESS = frozenset({"user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"})
"""Options that change nothing about the answer."""


class RequestError(Exception):
    """A request that cannot be answered: the HTTP status and the fields of OpenAI's error object."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.document = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Request(BaseModel):
    """What both kinds of request share."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _refuse_the_unsupported(self) -> Request:
        for name, value in (self.model_extra or {}).items():
            if value and name not in HARMLESS:
                raise ValueError(f"{name} is not supported by this server")
        return self

    def sampling(self, max_tokens: int, top_logprobs: int | None) -> Sampling:
        """The request as the engine understands it, with OpenAI's defaults."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=tuple(text for text in stop if text),
            top_logprobs=top_logprobs,
        )


Kind = TypeVar("Kind", bound=Request)


class TextPart(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message whose content is text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart]
    name: str | None = None
    tool_call_id: str | None = None

    def plain(self) -> dict[str, str]:
        """The message as chat templates take it."""
        parts = [self.content] if isinstance(self.content, str) else [part.text for part in self.content]
        return {"role": self.role, "content": "".join(parts)}


class ChatRequest(Request):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _logprobs_first(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self


class CompletionRequest(Request):
    """The body of ``POST /v1/completions``; prompts are texts or lists of tokens."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[list[Annotated[list[int], Field(min_length=1)]], Field(min_length=1)]
    )
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None


def parse(kind: type[Kind], body: bytes) -> Kind:
    """The checked request; raises ``RequestError`` that names the first thing wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        message = first["msg"].removeprefix("Value error, ")
        raise RequestError(f"{param}: {message}" if param else message, param=param) from None


def chat_document(engine: Engine, request: ChatRequest, rows: list[Row]) -> dict[str, Any]:
    """The body that answers a chat request."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": row.text, "refusal": None},
            "logprobs": {"content": _chat_logprobs(engine, row), "refusal": None} if request.logprobs else None,
            "finish_reason": row.finish_reason,
        }
        for index, row in enumerate(rows)
    ]
    return _document("chat.completion", "chatcmpl", request, rows, choices)


def completion_document(engine: Engine, request: CompletionRequest, rows: list[Row]) -> dict[str, Any]:
    """The body that answers a completion request."""
    choices = [
        {
            "index": index,
            "text": row.text,
            "logprobs": _completion_logprobs(engine, row) if request.logprobs is not None else None,
            "finish_reason": row.finish_reason,
        }
        for index, row in enumerate(rows)
    ]
    return _document("text_completion", "cmpl", request, rows, choices)


def _document(
    kind: str, prefix: str, request: Request, rows: list[Row], choices: list[dict[str, Any]]
) -> dict[str, Any]:
    # OpenAI counts a prompt once, however many choices it was asked for.
    asked = sum(len(row.prompt) for row in rows[:: request.n or 1])
    answered = sum(len(row.tokens) for row in rows)
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
        "choices": choices,
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }


def _chat_logprobs(engine: Engine, row: Row) -> list[dict[str, Any]]:
    def one(token: int, logprob: float) -> dict[str, Any]:
        text = engine.decode([token], special=True)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return [
        {**one(scored.token, scored.logprob), "top_logprobs": [one(*pair) for pair in scored.top]}
        for scored in row.scored
    ]


def _completion_logprobs(engine: Engine, row: Row) -> dict[str, Any]:
    tokens = [engine.decode([scored.token], special=True) for scored in row.scored]
    return {
        "tokens": tokens,
        "token_logprobs": [scored.logprob for scored in row.scored],
        "top_logprobs": [
            {engine.decode([token], special=True): logprob for token, logprob in scored.top} for scored in row.scored
        ],
        "text_offset": [sum(map(len, tokens[:number])) for number in range(len(tokens))],
    }
