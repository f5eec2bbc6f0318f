"""A real HTTP server that speaks the OpenAI protocol and answers, or fails, as a test tells it to.

It runs in a thread of its own with its own event loop. What it answers is decided by a function of the request's body
and of how many requests there were before; it counts what it served.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """What goes back over the socket. ``raw`` replaces HTTP itself; ``hang`` never answers."""

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    raw: bytes | None = None
    hang: bool = False


Answer = Callable[[Request, int], Reply]


def completion(
    *texts: str | None,
    finish_reason: str = "stop",
    logprobs: Sequence[Mapping[str, Any]] | None = None,
    delay: float = 0.0,
    **message: Any,
) -> Reply:
    """A chat completion with one choice a text; ``message`` adds fields such as refusal or tool_calls."""
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "served",
        "choices": [
            {
                "index": place,
                "finish_reason": finish_reason,
                "logprobs": None if logprobs is None else {"content": list(logprobs)},
                "message": {"role": "assistant", "content": text, **message},
            }
            for place, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2 * len(texts), "total_tokens": 10 + 2 * len(texts)},
    }
    return Reply(json.dumps(document).encode(), delay=delay)


def failure(
    status: int, message: str = "no", code: str | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """An error in OpenAI's shape."""
    document = {"error": {"message": message, "type": "error", "code": code}}
    return Reply(json.dumps(document).encode(), status=status, headers=headers or {})


HTML = Reply(b"<html><head><title>Welcome to nginx!</title></head><body>hello</body></html>")
GARBAGE = Reply(b"\x00\xff\xfe\x80 not json")
NOT_HTTP = Reply(raw=b"\x16\x03\x01 what is this\r\n\r\n")
SILENCE = Reply(hang=True)
NO_CHOICES = completion()


def token(text: str, **alternatives: float) -> dict[str, Any]:
    """One entry of logprobs.content: the token, and log-probabilities by token."""
    top = [{"token": each, "logprob": value, "bytes": None} for each, value in alternatives.items()]
    return {"token": text, "logprob": alternatives.get(text, 0.0), "bytes": None, "top_logprobs": top}


def last_words(request: Request) -> str:
    """The text of the last message of a request."""
    return str(request["messages"][-1]["content"])


@dataclass
class Batches:
    """The Batch API of a server: files, and batches whose requests are answered as those that come one by one are.

    A batch is over after it was looked at ``looks`` times. ``expire`` says how many of its requests are answered before
    it expires (by the number of the batch, from 0); ``None`` lets all be answered.
    """

    looks: int = 2
    expire: Callable[[int], int | None] = lambda number: None
    lose: Callable[[int], bool] = lambda number: False
    """Whether the reply to the making of a batch is lost: it is made, and the connection ends."""
    refuse: str | None = None
    """Why every batch fails its validation."""
    files: dict[str, bytes] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def serve(self, method: str, path: str, headers: Mapping[str, str], body: bytes, answer: Answer) -> Reply | None:
        """The reply to a request about files or batches; ``None`` for any other."""
        where, _, query = path.partition("?")
        parts = where.removeprefix("/v1/").split("/")
        if parts == ["files"] and method == "POST":
            boundary = b"--" + headers["content-type"].split("boundary=")[1].strip('"').encode()
            content = next(part for part in body.split(boundary) if b"filename=" in part)
            return _json(self._file(content.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")))
        if parts[0] == "files" and parts[-1] == "content":
            return Reply(self.files[parts[1]])
        if parts == ["batches"] and method == "POST":
            batch = self._make(json.loads(body), answer)
            lost = self.lose(len(self.made) - 1)
            return Reply(raw=b"") if lost else _json(batch)
        if parts == ["batches"]:
            at = next((n + 1 for n, each in enumerate(self.made) if f"after={each['id']}" in query), 0)
            page = self.made[at : at + 2]
            return _json({"object": "list", "data": page, "has_more": at + 2 < len(self.made)})
        if parts[0] == "batches":
            return _json(self._look(next(each for each in self.made if each["id"] == parts[1])))
        return None

    def _file(self, content: bytes) -> dict[str, Any]:
        id = f"file-{len(self.files)}"
        self.files[id] = content
        return {"id": id, "object": "file", "bytes": len(content), "created_at": 0, "filename": "f", "purpose": "batch"}

    def _make(self, wanted: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.files[wanted["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert len({line["body"]["model"] for line in lines}) == 1
        number, out, err = len(self.made), [], []
        until = self.expire(number)
        for place, line in enumerate(lines):
            expired = {"code": "batch_expired", "message": "This request could not be executed before it expired."}
            if until is not None and place >= until:
                err.append({"custom_id": line["custom_id"], "response": None, "error": expired})
                continue
            reply = answer(line["body"], place)
            response = {"status_code": reply.status, "request_id": "r", "body": json.loads(reply.body)}
            (out if reply.status == 200 else err).append(
                {"id": f"b{place}", "custom_id": line["custom_id"], "response": response, "error": None}
            )
        files = [self._file(b"".join(json.dumps(each).encode() + b"\n" for each in own))["id"] for own in (out, err)]
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": wanted["endpoint"],
            "completion_window": wanted["completion_window"],
            "input_file_id": wanted["input_file_id"],
            "metadata": wanted.get("metadata"),
            "created_at": 0,
            "status": "validating",
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "_over": {
                "status": "failed" if self.refuse else "completed" if until is None else "expired",
                "output_file_id": files[0] if out else None,
                "error_file_id": files[1] if err else None,
                "request_counts": {"total": len(lines), "completed": len(out), "failed": len(err)},
            },
        }
        if self.refuse:
            problem = {"code": "invalid", "message": self.refuse, "line": None, "param": None}
            batch["_over"] |= {"errors": {"object": "list", "data": [problem]}, "output_file_id": None}  # type: ignore[operator]
        self.made.append(batch)
        return batch

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        id = batch["id"]
        self.seen[id] = self.seen.get(id, 0) + 1
        if self.seen[id] >= self.looks:
            return {**batch, **batch["_over"]}
        return {**batch, "status": "in_progress"}


def _json(document: Mapping[str, Any]) -> Reply:
    return Reply(json.dumps(document).encode())


class Server:
    """``with Server(answer) as server:`` serves at ``server.url``; ``answer`` may be one fixed reply."""

    def __init__(self, answer: Answer | Reply, batches: Batches | None = None) -> None:
        self.batches = batches
        self._answer: Answer = (lambda request, count: answer) if isinstance(answer, Reply) else answer
        self.requests: list[Request] = []
        """Bodies in the order in which they came."""
        self.served = 0
        """Replies written."""
        self.in_flight = 0
        self.most_in_flight = 0
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def count(self) -> int:
        """Requests received."""
        return len(self.requests)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # A killed client resets its connections.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply; ``False`` ends the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path = head[0].split(" ")[:2]
        if self.batches is not None and (found := self.batches.serve(method, path, headers, body, self._answer)):
            reply = found
        elif not head[0].startswith("POST /v1/chat/completions "):
            reply = failure(404, f"no route {head[0]}")
        else:
            request = {**json.loads(body), "_authorization": headers.get("authorization")}
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                reply = self._answer(request, len(self.requests) - 1)
                if reply.hang:
                    await asyncio.sleep(3600)
                if reply.delay:
                    await asyncio.sleep(reply.delay)
            finally:
                self.in_flight -= 1
        writer.write(reply.raw if reply.raw is not None else _http(reply))
        await writer.drain()
        self.served += 1
        return reply.raw is None


def _http(reply: Reply) -> bytes:
    headers = {"content-type": "application/json", "content-length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + reply.body
