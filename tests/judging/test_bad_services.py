"""Services that fail: each gets one clear line that says what to do, the right exit code, and never a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.here import Finished, run_here
from tests.judging.sets import judging, longer, read, row, write
from tests.servers import (
    GARBAGE,
    HTML,
    NO_CHOICES,
    NOT_HTTP,
    SILENCE,
    Reply,
    Request,
    Server,
    completion,
    failure,
)


def command(folder: Path, url: str, *more: str) -> list[str | Path]:
    responses = folder / "r.jsonl"
    if not responses.exists():
        write(responses, [row(f"s{number}", "a", "bb") for number in range(20)])
    quick = ["--retries", "1", "--timeout", "5", "--concurrency", "8", *more]
    return ["judge", responses, "-o", folder / "p.jsonl", "--judge", f"llm:m@{url}", *quick]


def errors(done: Finished) -> list[str]:
    """What was printed, without the notes on what is tried again."""
    return [line for line in done.err.splitlines() if not line.startswith("note: ")]


@pytest.mark.parametrize(
    ("fault", "words", "advice"),
    [
        (failure(401, "Incorrect API key"), "wants a key (HTTP 401: Incorrect API key)", "export M_API_KEY="),
        (failure(404, "The model does not exist"), "HTTP 404: The model does not exist", "check the model's name"),
        (failure(429, "Rate limit reached"), "lets no call through (HTTP 429: Rate limit reached", "--concurrency"),
        (failure(429, "no money", code="insufficient_quota"), "no quota left", "add credit"),
        (failure(500, "Internal error"), "never answered (HTTP 500: Internal error)", "check the server"),
        (failure(400, "unknown field"), "refuses every call (HTTP 400: unknown field)", "change what it refuses"),
        (GARBAGE, "never answered (the reply is not JSON", "check the base URL"),
        (HTML, "Welcome to nginx!", "check the base URL"),
        (NOT_HTTP, "does not speak HTTP", "check the base URL"),
        (NO_CHOICES, "the reply has no choices", "check the base URL"),
        (SILENCE, "no answer within 0.5 s", "--timeout"),
    ],
)
def test_a_service_that_fails_gets_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: Reply, words: str, advice: str
) -> None:
    with Server(fault) as server:
        done = run_here(capfd, *command(tmp_path, server.url, *(["--timeout", "0.5"] if fault is SILENCE else [])))
    error, hint = errors(done)
    assert (done.code, done.out) == (3, "")
    assert error.startswith("error: m at http://127.0.0.1:")
    assert words in error
    assert hint.startswith("  help: ")
    assert advice in hint
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"], "nothing is left where nothing was done"


def test_in_a_process_of_its_own_a_refused_key_and_no_server_at_all_look_the_same(
    tmp_path: Path, prefdata: Run
) -> None:
    with Server(failure(401, "Incorrect API key: sk-wr***")) as server:
        done = prefdata(*command(tmp_path, server.url), env={"M_API_KEY": "sk-wrong"})
    assert (done.returncode, done.stdout) == (3, "")
    error, hint = done.stderr.splitlines()
    assert "refuses the key (HTTP 401" in error
    assert "sk-wrong" not in done.stderr
    assert "export M_API_KEY=" in hint
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        done = prefdata(*command(tmp_path, f"http://127.0.0.1:{held.getsockname()[1]}/v1"))
    note, error, hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, "")
    assert note.endswith("connection refused; trying again")
    assert error.endswith("never answered (connection refused)")
    assert "check that the server runs" in hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("folder", "is a directory"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n', "is a response set (line 1: "),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"prompt,response\n", "not JSON"),
    ],
)
def test_an_input_that_cannot_be_judged_gets_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | str | None, words: str
) -> None:
    path = tmp_path / "r.jsonl"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    output = tmp_path / "p.jsonl"
    done = run_here(capfd, "judge", path, "-o", output, "--judge", "llm:m@http://127.0.0.1:9/v1")
    error, hint = done.err.splitlines()
    assert done.code == 2
    assert words in error
    assert str(path) in error
    assert hint.startswith("  help: ")
    assert not list(tmp_path.glob("p.*"))


def test_a_fault_now_and_then_costs_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    faults = [failure(500), failure(429), GARBAGE, HTML, NO_CHOICES, NOT_HTTP]

    def answer(request: Request, count: int) -> Reply:
        return faults[count // 7 % len(faults)] if count % 7 == 3 else judging(longer)(request, count)

    with Server(answer) as server:
        done = run_here(capfd, *command(tmp_path, server.url, "--retries", "5"))
    assert done.code == 0
    assert len(read(tmp_path / "p.jsonl")) == 20
    assert "40 made" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_at_once_says_so_and_goes_on_where_it_was(
    tmp_path: Path, prefdata: Run, number: signal.Signals
) -> None:
    slow = True

    def answer(request: Request, count: int) -> Reply:
        return completion("[[A]]", delay=30.0) if slow and count >= 10 else judging(longer)(request, count)

    with Server(answer) as server:
        arguments = [str(each) for each in command(tmp_path, server.url, "--timeout", "60")]
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "prefdata"), *arguments], stderr=subprocess.PIPE, env={**os.environ}
        )
        deadline = time.monotonic() + 30
        while server.count < 18 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=10)
        assert process.returncode == 130
        assert stderr.decode().strip() == (
            "interrupted: what was finished is kept; run the same command again to continue"
        )
        assert not (tmp_path / "p.jsonl").exists()
        slow = False
        done = prefdata(*arguments)
        assert done.returncode == 0
        assert "30 made" in done.stderr
        assert "10 reused" in done.stderr
    assert len(read(tmp_path / "p.jsonl")) == 20
