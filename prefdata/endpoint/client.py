"""One attempt at one call, over the openai client: a well-formed completion comes back, or a CallError."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import openai
import orjson

from prefdata.endpoint.calls import malformed
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.failures import CallError, of_status, server_message

CONNECT_SECONDS = 20.0


class Client:
    """A connection pool to one endpoint. Retries are the caller's: the client's own would not share one gate."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._client = connect(endpoint, timeout)

    async def attempt(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The completion for ``body``, whole within the deadline; raises CallError."""
        try:
            # A total deadline: the transport's own timeouts start again with every byte that trickles in.
            async with asyncio.timeout(self.timeout):
                reply = await self._client.chat.completions.with_raw_response.create(
                    model=self.endpoint.model, messages=[], extra_body=body
                )
            content: bytes = reply.http_response.content
        except TRANSPORT as error:
            raise call_error(error, self.timeout) from None
        return checked(content)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()


def connect(endpoint: Endpoint, timeout: float, *, retries: int = 0) -> openai.AsyncOpenAI:
    """The openai client for an endpoint; ``timeout`` in seconds. Raises ServiceError without a key where one is needed.

    Checked here and not before: an estimate, or a run whose answers are all in the ledger, needs none.
    """
    endpoint.check_key()
    limits = openai.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
    return openai.AsyncOpenAI(
        api_key=endpoint.key() or "none",
        base_url=endpoint.base_url,
        max_retries=retries,
        timeout=limits,
        http_client=openai.DefaultAioHttpClient(timeout=limits, trust_env=not endpoint.loopback),
    )


def checked(content: bytes) -> dict[str, Any]:
    """The completion in the bytes of a reply; raises CallError where they hold none."""
    response = _decoded(content)
    if response is None:
        text = content[:2000].decode("utf-8", errors="replace")
        raise CallError("bad-reply", f"the reply is not JSON: {server_message(None, text)[:100]}")
    problem = malformed(response)
    if problem is None:
        assert isinstance(response, dict)
        for choice in response["choices"]:
            if choice.get("finish_reason") == "error" or choice.get("error"):  # so proxies end what broke upstream
                words = server_message(choice.get("error"), "finish_reason is error")
                raise CallError("server-error", f"the answer broke off: {words}")
        return response
    error = response.get("error") if isinstance(response, dict) else None
    if isinstance(error, dict):  # some proxies report an upstream failure with HTTP 200
        code = error.get("code")
        if isinstance(code, int) and 400 <= code < 600:
            raise of_status(code, {}, response, "")
        problem = server_message(error, problem)
    raise CallError("bad-reply", problem)


TRANSPORT = (TimeoutError, openai.OpenAIError, aiohttp.ClientError, OSError, ValueError)
"""What the client and its transport raise."""


def call_error(error: BaseException, timeout: float) -> CallError:
    """What stands behind the client's words: its transport reports a refused connection as a timeout."""
    if isinstance(error, openai.APIStatusError):
        response = error.response
        return of_status(response.status_code, response.headers, _decoded(response.content), response.text)
    if isinstance(error, TimeoutError):
        return CallError("timeout", f"no answer within {timeout:g} s")
    for cause in _causes(error):
        if isinstance(cause, TimeoutError):
            return CallError("timeout", f"no connection within {min(timeout, CONNECT_SECONDS):g} s")
        if isinstance(cause, aiohttp.ServerDisconnectedError):
            return CallError("connection", "the server closed the connection without an answer")
        if isinstance(cause, aiohttp.ClientPayloadError):
            return CallError("connection", "the server closed the connection in the middle of an answer")
        if isinstance(cause, aiohttp.ClientResponseError | aiohttp.http_exceptions.HttpProcessingError):
            return CallError("bad-reply", "what answers there does not speak HTTP")
        if isinstance(cause, OSError):
            return CallError("connection", _os_words(cause))
    return CallError("connection", server_message(None, str(error)))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _os_words(error: OSError) -> str:
    inner: OSError = getattr(error, "os_error", error)
    if isinstance(inner, ConnectionRefusedError):
        return "connection refused"
    return server_message(None, inner.strerror or str(inner)).lower()


def _decoded(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
