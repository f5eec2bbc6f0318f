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
from prefdata.errors import InputError, ServiceError
from tests.here import run_here


class Hub(ThreadingHTTPServer):
    """What was asked of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.made: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if "/nothing" in self.path or "/closed" in self.path:
            self.send_response(404 if "/nothing" in self.path else 403)
            self.send_header("X-Error-Code", "RepoNotFound" if "/nothing" in self.path else "GatedRepo")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
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


def test_what_the_hub_does_not_have_is_said_at_once(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="the hub has no data set 'nobody/nothing'"):
        api.convert("hf:nobody/nothing")
    with pytest.raises(ServiceError, match="hf:nobody/closed is gated"):
        api.convert("hf:nobody/closed")
    with pytest.raises(InputError, match="the hub has no data set 'a/b/c/d'"):
        api.convert("hf:a/b/c/d")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    done = run_here(capfd, "convert", "hf:nobody/nothing", "-o", tmp_path / "out.jsonl")
    assert (done.code, len(done.err.splitlines())) == (3, 2), done.err
    assert "http://127.0.0.1:9 cannot be reached for hf:nobody/nothing" in done.err
