"""A stand-in for a model server: two models that answer, and one that judges. It ends when nobody asks for a minute."""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def says(model: str, text: str) -> str:
    """``short`` and ``long`` answer a question; ``judge`` prefers the longer of two responses, by the drawn labels."""
    if model == "short":
        return "It depends."
    if model == "long":
        return f"That is a good question. {text} It depends on three things, and here they are: one, two, three."
    shown = re.findall(r"<response (A-\w+|B-\w+)>\n(.*?)\n\s*</response", text, re.DOTALL)
    longest = max(shown, key=lambda each: len(each[1]))[0]
    return f"I prefer the one that says more. [[{longest}]]"


class Handler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with as many choices as were asked for."""
        request: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = says(request["model"], request["messages"][-1]["content"])
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        choices = [{"index": place, **choice} for place in range(request.get("n", 1))]
        usage = {"prompt_tokens": 60, "completion_tokens": 20 * len(choices), "total_tokens": 80}
        body = json.dumps({"object": "chat.completion", "choices": choices, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Ends after a minute without a connection."""

    daemon_threads = True
    timeout = 60.0
    idle = False

    def handle_timeout(self) -> None:
        """Nobody asked."""
        self.idle = True


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        Path(sys.argv[1]).write_text(f"http://127.0.0.1:{server.server_port}/v1")
        while not server.idle:
            server.handle_request()
