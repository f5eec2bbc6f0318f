"""The Batch API of one endpoint: files up, a batch made once, polled, and its files down.

Uploading and polling may be repeated at will. Making a batch is paid for and may not: it carries a token of ours in its
metadata, by which a batch is found again that was made while the answer to its making was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson

from prefdata.endpoint.client import TRANSPORT, call_error, checked, connect
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.failures import HOPELESS, CallError, of_status, service_error
from prefdata.errors import ServiceError

if TYPE_CHECKING:
    from openai.types import Batch

Got = TypeVar("Got")

URL: Literal["/v1/chat/completions"] = "/v1/chat/completions"
TOKEN = "prefdata_token"
OVER = ("completed", "expired", "cancelled")
"""Ends after which there may be answers."""
ATTEMPTS = 8
LONGEST_WAIT = 30.0


class RefusedError(ServiceError):
    """The endpoint said no: nothing was made."""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one request of a batch: a response, a failure, or neither where the batch ended before it."""

    key: str
    response: dict[str, Any] | None
    failure: CallError | None


class BatchService:
    """Raises ServiceError where the endpoint has no Batch API, refuses, or cannot be reached for minutes."""

    def __init__(self, endpoint: Endpoint, timeout: float, backoff: float) -> None:
        self.endpoint = endpoint
        self._timeout, self._backoff = timeout, backoff
        self._client = connect(endpoint, timeout)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def upload(self, path: Path) -> str:
        """The id of an uploaded file of requests."""
        file = await self._patiently(lambda: self._client.files.create(file=path, purpose="batch"))
        return file.id

    async def make(self, file: str, token: str) -> str:
        """The id of a batch over ``file``: the one that carries ``token`` already, or a new one."""
        for attempt in range(ATTEMPTS):
            try:
                made = await self._client.batches.create(
                    input_file_id=file, endpoint=URL, completion_window="24h", metadata={TOKEN: token}
                )
            except TRANSPORT as error:
                await self._failed(call_error(error, self._timeout), attempt)
                if found := await self.find(token):
                    return found
            else:
                return made.id
        raise AssertionError

    async def find(self, token: str) -> str | None:
        """The id of the batch that carries ``token``."""

        async def look() -> str | None:
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(TOKEN) == token:
                    return batch.id
            return None

        return await self._patiently(look)

    async def look(self, batch: str) -> Batch:
        """How far a batch is."""
        return await self._patiently(lambda: self._client.batches.retrieve(batch))

    async def download(self, file: str, path: Path) -> None:
        """Write a file of results to ``path``."""

        async def fetch() -> None:
            async with self._client.files.with_streaming_response.content(file) as reply:
                await reply.stream_to_file(path)

        await self._patiently(fetch)

    async def _patiently(self, act: Callable[[], Awaitable[Got]]) -> Got:
        for attempt in range(ATTEMPTS):
            try:
                return await act()
            except TRANSPORT as error:
                await self._failed(call_error(error, self._timeout), attempt)
        raise AssertionError

    async def _failed(self, error: CallError, attempt: int) -> None:
        """Wait before the next attempt, or raise ServiceError where there is none."""
        if error.reason == "not-found":
            raise RefusedError(
                f"{self.endpoint} has no Batch API, or no longer the batch ({error.detail})",
                "leave out --batch, or check the base URL",
            )
        if error.reason == "bad-request":
            raise RefusedError(f"{self.endpoint} refuses the batch ({error.detail})", "mend that, or leave out --batch")
        if error.reason in (*HOPELESS, "forbidden"):
            end = service_error(self.endpoint, error, answered=True)
            raise RefusedError(end.message, end.hint)
        if attempt == ATTEMPTS - 1:
            raise service_error(self.endpoint, error, answered=True)
        await asyncio.sleep(max(min(self._backoff * 2**attempt, LONGEST_WAIT), error.retry_after or 0.0))


def lines_of(path: Path) -> Iterator[Line]:
    """What became of each request, from a file of results; a line that is none is left out: its call is made again."""
    with path.open("rb") as file:
        for raw in file:
            try:
                line = orjson.loads(raw)
                key, response, error = line["custom_id"], line.get("response"), line.get("error")
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
                continue
            yield _line(str(key), response, error)


def _line(key: str, response: Any, error: Any) -> Line:
    if isinstance(error, dict) and error.get("code") in ("batch_expired", "batch_cancelled"):
        return Line(key, None, None)
    if isinstance(response, dict) and "body" in response:
        status, body = response.get("status_code", 200), response["body"]
        if status != 200:
            return Line(key, None, of_status(int(status), {}, body, ""))
        try:
            return Line(key, checked(orjson.dumps(body)), None)
        except CallError as failure:
            return Line(key, None, failure)
    detail = str(error.get("message") or error.get("code")) if isinstance(error, dict) else "no response and no error"
    return Line(key, None, CallError("server-error", detail))
