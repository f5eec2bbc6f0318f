"""The server of the benchmarks: a process of its own that speaks enough of the OpenAI protocol, and costs little.

    python benchmarks/service.py             # prints its port; POST /v1/chat/completions, GET /setup?…, GET /stats

``/setup?latency=0.2&slow=0.05&slow_latency=4&limit=50`` begins a new count: seconds of a usual call, the share of slow
ones (drawn by the request's bytes, so that every client has the same slow ones), their seconds, and how many calls pass
in any second. One call more gets 429 with Retry-After in whole seconds. ``/stats`` gives calls paid and refused, the
most in flight, and the seconds from the first request to the last reply.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
import urllib.parse
import zlib
from collections import deque
from typing import Any

LABEL = re.compile(rb"\[\[(A-\w+)\]\]")
MODELS = b'{"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "us"}]}'


class Service:
    """What is counted, and what calls are given."""

    def __init__(self) -> None:
        self.setup({})

    def setup(self, given: dict[str, str]) -> None:
        self.latency = float(given.get("latency", 0.0))
        self.slow, self.slow_latency = float(given.get("slow", 0.0)), float(given.get("slow_latency", 4.0))
        self.limit = int(given.get("limit", 0))
        self.paid = self.refused = self.in_flight = self.most = 0
        self.first = self.last = 0.0
        self.bodies: set[int] = set()
        self._passed: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until a call may pass; 0 lets it pass."""
        if not self.limit:
            return 0.0
        while self._passed and self._passed[0] <= now - 1.0:
            self._passed.popleft()
        if len(self._passed) < self.limit:
            self._passed.append(now)
            return 0.0
        return self._passed[0] + 1.0 - now

    def seconds(self, body: bytes) -> float:
        prompt = body[body.find(b'"messages"') :]
        number = re.search(rb"question (\d+)", prompt)
        drawn = zlib.crc32(number[1] if number else prompt) % 1000
        return self.slow_latency if drawn < 1000 * self.slow else self.latency

    def stats(self) -> dict[str, Any]:
        return {
            "paid": self.paid,
            "different": len(self.bodies),
            "refused": self.refused,
            "most_in_flight": self.most,
            "seconds": self.last - self.first,
        }


class Connection(asyncio.Protocol):
    """One connection with its requests one after the other."""

    def __init__(self, service: Service) -> None:
        self.service, self.read = service, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.read += data
        while (end := self.read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.read[:end])
            found = re.search(rb"(?i)content-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if re.search(rb"(?i)expect: *100-continue", head):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self.read) < end + 4 + length:
                return
            body = bytes(self.read[end + 4 : end + 4 + length])
            del self.read[: end + 4 + length]
            self.serve(head.split(b" ", 2)[1].decode(), body)

    def serve(self, path: str, body: bytes) -> None:
        service, now = self.service, time.monotonic()
        if path.startswith("/setup"):
            service.setup(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)))
            return self.reply(b"{}")
        if path == "/stats":
            return self.reply(json.dumps(service.stats()).encode())
        if path == "/v1/models":
            return self.reply(MODELS)
        if not path.startswith("/v1/chat/completions"):
            return self.reply(b'{"error": {"message": "no such route"}}', "404 Not Found")
        service.first = service.first or now
        if wait := service.wait(now):
            service.refused += 1
            service.last = now
            body = b'{"error": {"message": "too many requests", "type": "requests", "code": "rate_limit_exceeded"}}'
            return self.reply(body, "429 Too Many Requests", f"retry-after: {math.ceil(wait)}\r\n")
        service.in_flight += 1
        service.most = max(service.most, service.in_flight)
        seconds = service.seconds(body)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self.answer, body)
        else:
            self.answer(body)
        return None

    def answer(self, body: bytes) -> None:
        service = self.service
        service.in_flight -= 1
        service.paid += 1
        service.bodies.add(zlib.crc32(body))
        service.last = time.monotonic()
        label = LABEL.search(body)
        said = f"[[{label[1].decode()}]]" if label else "an answer"
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        document = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        self.reply(json.dumps({**document, "usage": usage}).encode())

    def reply(self, body: bytes, status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        self.transport.write(head.encode() + body)


async def main() -> None:
    service = Service()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
