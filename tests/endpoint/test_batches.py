"""The Batch API: half the price, each call paid once whatever is killed, expired parts and failed lines done again."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.here import Finished, run_here
from tests.judging.sets import judging, longer, read, row, timeless, write
from tests.servers import Batches, Reply, Request, Server, completion, failure, last_words

PREFDATA = str(Path(sys.executable).parent / "prefdata")
PRICES = "m: {input: 1000, output: 10000}\n"
"""A call that the server counts as 10 + 2 tokens costs 3 cents, and in a batch 1.5."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefdata.endpoint.batching.FIRST_POLL", 0.01)


def judge(folder: Path, url: str, *more: str | Path) -> list[str | Path]:
    (folder / "prices.yaml").write_text(PRICES)
    given = ["--judge", f"llm:m@{url}", "--prices", folder / "prices.yaml", "--retries", "1", "--batch"]
    return ["judge", folder / "r.jsonl", "-o", folder / "p.jsonl", *given, *more]


def outputs(folder: Path) -> list[bytes]:
    """The files, but for when a judgment was made, and by which road at which price."""
    files = [timeless(folder / name) for name in ("p.jsonl", "p.judgments.jsonl", "p.dropped.jsonl")]
    return [re.sub(rb',"batch":true|,"cost":[0-9.e-]+', b"", file) for file in files]


def cost(folder: Path) -> float:
    """What all judgments together say that they cost, in dollars."""
    return math.fsum(each["metadata"]["cost"] for each in read(folder / "p.judgments.jsonl"))


def document(done: Finished) -> dict[str, Any]:
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_batches_give_what_single_calls_give_at_half_the_price(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [row(f"s{n}", "a" * n, "bb") for n in range(1, 11)]
    folders = [tmp_path / name for name in ("single", "batch")]
    batches = Batches()
    with Server(judging(longer), batches) as server:
        for folder in folders:
            folder.mkdir()
            write(folder / "r.jsonl", rows)
        single = document(run_here(capfd, *judge(folders[0], server.url)[:-1], "--format", "json"))
        dry = document(run_here(capfd, *judge(folders[1], server.url), "--dry-run", "--format", "json"))
        whole = document(run_here(capfd, *judge(folders[1], server.url)[:-1], "--dry-run", "--format", "json"))
        done = document(run_here(capfd, *judge(folders[1], server.url), "--format", "json"))
        assert (len(batches.made), server.count) == (1, single["calls"]["made"]), "nothing but the batch"
        again = run_here(capfd, *judge(folders[1], server.url), "--overwrite")
        assert len(batches.made) == 1
    assert outputs(folders[0]) == outputs(folders[1])
    assert [cost(folder) for folder in folders] == pytest.approx([0.6, 0.3])
    assert done["calls"]["made"] == single["calls"]["made"] == 20
    assert done["calls"]["paid"] == pytest.approx(single["calls"]["paid"] / 2) == pytest.approx(0.3)
    assert (dry["dollars"], dry["batch"]) == (pytest.approx(whole["dollars"] / 2), True)
    assert "calls: 0 made, 20 reused" in again.err
    assert "$0.3000 saved" in again.err
    assert sorted(path.name for path in (folders[1] / "p.jsonl.state").iterdir()) == ["ledger.jsonl", "lock"]


def test_what_depends_on_an_answer_is_asked_in_the_next_batch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{n}", "a", "bb") for n in range(4)])

    def answer(request: Request, count: int) -> Reply:
        text = last_words(request)
        return judging(longer)(request, count) if "<response " in text else completion("what matters: length")

    batches = Batches()
    with Server(answer, batches) as server:
        done = run_here(capfd, *judge(tmp_path, server.url, "--template", "rules-metrics-reference"))
        assert done.code == 0, done.err
        sizes = [batch["request_counts"]["total"] for batch in batches.made]
    assert sizes == [4, 4, 8], "metrics, then the reference, then both orders"
    assert len(read(tmp_path / "p.jsonl")) == 4


def test_expired_parts_and_failed_lines_are_done_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"q{n}"}) + "\n" for n in range(10)))
    failures = {"q1": 1, "q2": 99, "q3": 99}

    def answer(request: Request, count: int) -> Reply:
        words = last_words(request)
        if failures.get(words, 0) > 0:
            failures[words] -= 1
            return failure(400, "too long") if words == "q3" else failure(500, "oops")
        return completion(f"re {words}")

    batches = Batches(expire=lambda number: 6 if number == 0 else None)
    with Server(answer, batches) as server:
        command = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "1", "--batch"]
        command += ["--model", f"m@{server.url}", "--retries", "2"]
        done = run_here(capfd, *command)
        sizes = [batch["request_counts"]["total"] for batch in batches.made]
        assert sizes == [10, 6, 1], "four expired, two failed in passing, one of them for good; one is refused"
        rows = read(tmp_path / "r.jsonl")
        assert done.code == 1
        failed = {each["prompt"]["prompt"]: each["failures"][0]["detail"] for each in rows if each.get("failures")}
        assert failed == {"q2": "server-error: HTTP 500: oops", "q3": "bad-request: HTTP 400: too long"}
        assert [each["responses"][0]["response"] for each in rows if each["responses"]] == [
            f"re q{n}" for n in (0, 1, 4, 5, 6, 7, 8, 9)
        ]
        failures.clear()
        again = run_here(capfd, *command, "--retry-failed")
        assert again.code == 0, again.err
        assert batches.made[-1]["request_counts"]["total"] == 2


def test_a_field_that_every_line_is_refused_for_is_learnt_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"q{n}"}) + "\n" for n in range(4)))

    def answer(request: Request, count: int) -> Reply:
        if "max_tokens" in request:
            return failure(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return completion("x")

    batches = Batches()
    with Server(answer, batches) as server:
        command = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "1", "--batch"]
        done = run_here(capfd, *command, "--model", f"m@{server.url}", "--max-tokens", "9", "--retries", "0")
        assert done.code == 0, done.err
        assert [batch["request_counts"]["total"] for batch in batches.made] == [4, 4]


def test_samples_that_one_call_does_not_give_come_by_the_next_batch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    batches = Batches()
    with Server(lambda request, count: completion(f"{last_words(request)} {request['seed']}"), batches) as server:
        command = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "3", "--seed", "1"]
        done = run_here(capfd, *command, "--model", f"m@{server.url}", "--batch")
        assert done.code == 0, done.err
        assert [batch["request_counts"]["total"] for batch in batches.made] == [2, 4]
    assert [len({each["response"] for each in one["responses"]}) for one in read(tmp_path / "r.jsonl")] == [3, 3]


def test_a_batch_whose_making_was_not_confirmed_is_found_and_not_made_twice(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{n}", "a", "bb") for n in range(3)])
    batches = Batches(lose=lambda number: True)
    with Server(judging(longer), batches) as server:
        done = run_here(capfd, *judge(tmp_path, server.url))
        assert done.code == 0, done.err
    assert len(batches.made) == 1
    assert len(read(tmp_path / "p.jsonl")) == 3


def test_a_mistake_while_a_batch_is_under_way_does_not_lose_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{n}", "a", "bb") for n in range(5)])
    batches = Batches(looks=10**9)
    with Server(judging(longer), batches) as server:
        command = judge(tmp_path, server.url)
        process = subprocess.Popen([PREFDATA, *map(str, command)], stderr=subprocess.DEVNULL, env={**os.environ})
        deadline = time.monotonic() + 30
        while not batches.seen and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait(20)
        state = tmp_path / "p.jsonl.state" / "batches.json"
        (tmp_path / "prices.yaml").write_text("m: 3\n")
        done = run_here(capfd, *command)
        assert (done.code, "the price of m" in done.err, state.exists()) == (2, True, True)
        (tmp_path / "prices.yaml").write_text(PRICES)
        listed = state.read_bytes()
        state.write_bytes(listed[:-9])
        done = run_here(capfd, *command)
        assert (done.code, "batches.json, which lists the batches under way, is damaged" in done.err) == (2, True)
        assert state.read_bytes() == listed[:-9]
        state.write_bytes(listed)
        batches.looks = 0
        done = run_here(capfd, *command)
        assert (done.code, len(batches.made)) == (0, 1), done.err


def test_a_run_that_is_killed_while_it_waits_takes_up_its_batch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{n}", "a", "bb") for n in range(5)])
    batches = Batches(looks=10**9)
    with Server(judging(longer), batches) as server:
        command = [PREFDATA, *map(str, judge(tmp_path, server.url))]
        for number, ends in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130), (signal.SIGINT, 130)):
            looks = sum(batches.seen.values())
            process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ})
            deadline = time.monotonic() + 30
            while sum(batches.seen.values()) == looks and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(number)
            _, err = process.communicate(timeout=20)
            assert process.returncode == ends, err
            assert len(batches.made) == 1
        single = run_here(capfd, *judge(tmp_path, server.url)[:-1])
        assert single.code == 2, "the calls in the batch would be paid twice"
        assert "10 calls for this output are in batches that are under way" in single.err
        batches.looks = 0
        done = run_here(capfd, *judge(tmp_path, server.url, "--format", "json"))
        assert document(done)["calls"]["made"] == 10
        assert "was made by an earlier run" in done.err
        assert (len(batches.made), server.count) == (1, 0)


def test_a_cap_cuts_a_batch_to_what_it_covers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": f"question number {n:8}"}) + "\n" for n in range(20))
    )
    (tmp_path / "prices.yaml").write_text(PRICES)
    batches = Batches()
    with Server(completion("x"), batches) as server:
        command = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "1", "--batch"]
        command += ["--model", f"m@{server.url}", "--max-tokens", "2", "--prices", tmp_path / "prices.yaml"]
        done = run_here(capfd, *command, "--max-cost", "0.2")
        assert (done.code, "the run stopped at --max-cost 0.2" in done.err) == (3, True)
        asked = sum(batch["request_counts"]["total"] for batch in batches.made)
        assert 10 <= asked <= 13, "13 calls cost 19.5 cents"
        done = run_here(capfd, *command, "--max-cost", "1")
        assert done.code == 0, done.err
        assert sum(batch["request_counts"]["total"] for batch in batches.made) == 20


def test_what_cannot_work_is_said_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "r.jsonl", [row("s", "a", "bb")])
    with Server(judging(longer)) as server:
        done = run_here(capfd, *judge(tmp_path, server.url))
        assert (done.code, "has no Batch API" in done.err, "leave out --batch" in done.err) == (3, True, True)
        assert server.count == 0
    with Server(judging(longer), Batches(refuse="enqueued token limit reached")) as server:
        for _ in range(2):
            done = run_here(capfd, *judge(tmp_path, server.url))
            assert (done.code, "enqueued token limit reached" in done.err) == (3, True)
    batches, valid = Batches(), False
    with Server(lambda request, count: judging(longer)(request, count) if valid else failure(401), batches) as server:
        done = run_here(capfd, *judge(tmp_path, server.url))
        assert (done.code, "wants a key" in done.err) == (3, True)
        valid = True
        assert run_here(capfd, *judge(tmp_path, server.url)).code == 0, "the batch that failed is done with"
    (tmp_path / "p.jsonl").unlink()
    (tmp_path / "p.judgments.jsonl").unlink()
    (tmp_path / "p.dropped.jsonl").unlink()
    with Server(judging(longer), Batches(expire=lambda number: 0)) as server:
        done = run_here(capfd, *judge(tmp_path, server.url))
        assert (done.code, "batches expire again and again" in done.err) == (3, True)
