"""One attempt: a completion, or a failure with the right name and the server's own words."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest

from prefdata.endpoint.calls import choices_of
from prefdata.endpoint.client import Client
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.failures import CallError
from tests.servers import (
    GARBAGE,
    HTML,
    NO_CHOICES,
    NOT_HTTP,
    SILENCE,
    Answer,
    Reply,
    Server,
    completion,
    failure,
)

BODY = {"messages": [{"role": "user", "content": "hi"}], "top_k": 3}


def attempt(url: str, timeout: float = 5.0) -> dict[str, Any]:
    async def once() -> dict[str, Any]:
        client = Client(Endpoint("m", "model-m", url, "M_API_KEY"), timeout)
        try:
            return await client.attempt(BODY)
        finally:
            await client.close()

    return asyncio.run(once())


def failed(answer: Answer | Reply, timeout: float = 5.0) -> CallError:
    with Server(answer) as server, pytest.raises(CallError) as error:
        attempt(server.url, timeout)
    return error.value


def test_a_completion_comes_back_whole_and_the_request_is_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M_API_KEY", "secret")
    with Server(completion("yes")) as server:
        response = attempt(server.url)
    assert choices_of(response)[0].text == "yes"
    assert response["usage"]["prompt_tokens"] == 10
    assert server.requests == [{**BODY, "model": "model-m", "_authorization": "bearer secret"}]


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (failure(401, "bad key"), "unauthorized", "HTTP 401: bad key"),
        (failure(403, "not you"), "forbidden", "HTTP 403: not you"),
        (failure(404, "no such model"), "not-found", "no such model"),
        (failure(402, "pay"), "no-quota", "pay"),
        (failure(429, "used up", code="insufficient_quota"), "no-quota", "used up"),
        (failure(429, "slow down"), "rate-limited", "slow down"),
        (
            failure(429, "Request too large for m on tokens per min", code="rate_limit_exceeded"),
            "bad-request",
            "too large",
        ),
        (failure(400, "too\nlong"), "bad-request", "HTTP 400: too long"),
        (failure(422, "what?"), "bad-request", "what?"),
        (failure(500, "oops"), "server-error", "oops"),
        (Reply(HTML.body, status=502), "server-error", "Welcome to nginx!"),
        (HTML, "bad-reply", "Welcome to nginx!"),
        (GARBAGE, "bad-reply", "not JSON"),
        (Reply(b""), "bad-reply", "not JSON"),
        (Reply(b"[]"), "bad-reply", "not a JSON object"),
        (NO_CHOICES, "bad-reply", "no choices"),
        (Reply(b'{"choices": [{"index": 0}]}'), "bad-reply", "no message"),
        (Reply(b'{"choices": [{"message": {"content": 7}}]}'), "bad-reply", "no text"),
        (Reply(json.dumps({"error": {"code": 429, "message": "upstream is busy"}}).encode()), "rate-limited", "busy"),
        (completion("Once upon a", finish_reason="error"), "server-error", "the answer broke off"),
        (NOT_HTTP, "bad-reply", "does not speak HTTP"),
        (Reply(raw=b""), "connection", "closed the connection"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"), "connection", "in the middle"),
    ],
)
def test_every_failure_has_its_name_and_the_words_of_the_server(answer: Reply, reason: str, words: str) -> None:
    error = failed(answer)
    assert (error.reason, error.retry_after) == (reason, None)
    assert words in error.detail
    assert "\n" not in error.detail


def test_the_deadline_is_for_the_whole_answer_and_not_for_each_byte() -> None:
    began = time.monotonic()
    assert failed(SILENCE, timeout=0.2).reason == "timeout"
    assert failed(completion("late", delay=30), timeout=0.2).detail == "no answer within 0.2 s"
    assert time.monotonic() - began < 5


def test_nobody_listening_is_a_refused_connection_and_not_a_timeout() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(CallError) as error:
            attempt(f"http://127.0.0.1:{held.getsockname()[1]}/v1")
    assert (error.value.reason, error.value.detail) == ("connection", "connection refused")
    with pytest.raises(CallError) as error:
        attempt("http://no-such-host.invalid/v1")
    assert error.value.reason == "connection"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": formatdate(4102444800, usegmt=True)}, 4102444800 - time.time()),
        ({"retry-after": "soon"}, None),
    ],
    ids=["seconds", "milliseconds", "a date", "no number"],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    error = failed(failure(429, headers=headers))
    assert error.retry_after == (None if seconds is None else pytest.approx(seconds, abs=600 if seconds > 1000 else 0))


def test_a_server_on_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server(completion("direct")) as server:
        assert choices_of(attempt(server.url))[0].text == "direct"


def test_text_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": parts}}]}).encode()
    with Server(Reply(body)) as server:
        assert choices_of(attempt(server.url))[0].text == "ab"
