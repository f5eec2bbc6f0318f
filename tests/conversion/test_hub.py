"""``--push-to-hub`` by the hub's own client, against a local server that speaks the part of its protocol it needs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import prefdata as api


class Hub(ThreadingHTTPServer):
    """What was asked of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.made: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._answer({"sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self.server.made.append(json.loads(body))
            self._answer({"url": f"http://{self.headers['Host']}/datasets/me/mine", "name": "me/mine"})
        elif "/preupload/" in self.path:
            paths = [one["path"] for one in json.loads(body)["files"]]
            self._answer({"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                one = json.loads(line)
                if one["key"] == "file":
                    self.server.files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            self._answer(
                {"commitUrl": f"http://{self.headers['Host']}/datasets/me/mine/commit/0", "commitOid": "0" * 40}
            )
        else:
            self._answer({})

    def _answer(self, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_output_and_card_are_one_commit(hub: Hub, tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"prompt": "Sum?", "chosen": "BETTER", "rejected": "WORSE"}\n')
    out = tmp_path / "out.jsonl"
    result = api.convert(source, output=out, to="kto", push_to_hub="me/mine", private=True)
    assert "me/mine" in str(result.pushed)
    (made,) = hub.made
    assert (made["type"], made["name"]) == ("dataset", "mine")
    assert made.get("private") is True or made["visibility"] == "private"  # older and newer clients
    assert sorted(hub.files) == ["README.md", "data/train.jsonl"]
    assert hub.files["data/train.jsonl"] == out.read_bytes()
    assert b"path: data/train.jsonl" in hub.files["README.md"]
