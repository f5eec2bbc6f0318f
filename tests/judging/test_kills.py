"""``prefdata judge`` and ``prefdata collect`` killed with SIGKILL again and again: they end like an undisturbed run.

A moment to kill at is drawn by what the run has done so far, so that every stage is hit however fast the machine is.
``PREFDATA_KILLS=50`` kills ``judge`` fifty times, over a file that is as much longer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.judging.sets import judging, longer, row, timeless, write
from tests.servers import Reply, Request, Server, completion, last_words

CONCURRENCY = 4
KILLS = int(os.environ.get("PREFDATA_KILLS", "10"))
PREFDATA = str(Path(sys.executable).parent / "prefdata")


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([PREFDATA, *arguments], stderr=subprocess.DEVNULL, env={**os.environ})


def killed(server: Server, arguments: list[str], draw: random.Random) -> bool:
    """Begin the command and kill it at a random moment; ``False`` where it had ended before."""
    before = server.count
    process = start(arguments)
    more = draw.choice([0, *range(1, 25)])  # calls from now at which to kill; 0: before the first, at any time
    deadline = time.monotonic() + (draw.uniform(0.05, 1.0) if more == 0 else 20)
    while time.monotonic() < deadline and process.poll() is None and (more == 0 or server.count < before + more):
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    return process.wait(10) == -signal.SIGKILL


def run_and_kill(server: Server, arguments: list[str], kills: int, seed: int) -> int:
    """Kill the command up to ``kills`` times, then let it end; how often it was killed."""
    draw, struck = random.Random(seed), 0
    for _ in range(kills):
        if not killed(server, arguments, draw):
            break
        struck += 1
    process = start(arguments)
    code = process.wait(60)
    assert code in (0, 1, 2), "1: an invalid line; 2: the last kill came after the very last step"
    return struck


def test_judge_ends_as_if_it_had_never_been_killed(tmp_path: Path) -> None:
    rows = [row(f"s{number}", "a" * (number % 5 + 1), "b" * (number % 7 + 1)) for number in range(7 * KILLS)]
    rows.insert(3, row("", "no id", "at all"))  # an invalid line: an id must not be empty

    def answer(request: Request, count: int) -> Reply:
        reply = judging(longer)(request, count)
        return Reply(reply.body, delay=0.02)

    outcomes, counts = [], []
    with Server(answer) as server:
        for name, kills in (("undisturbed", 0), ("disturbed", KILLS)):
            folder = tmp_path / name
            folder.mkdir()
            write(folder / "r.jsonl", rows)
            command = [
                "judge",
                str(folder / "r.jsonl"),
                "-o",
                str(folder / "p.jsonl"),
                "--judge",
                f"llm:m@{server.url}",
            ]
            before = server.count
            struck = run_and_kill(server, [*command, "--concurrency", str(CONCURRENCY)], kills, seed=len(outcomes))
            counts.append(server.count - before)
            files = ("p.jsonl", "p.judgments.jsonl", "p.dropped.jsonl")
            texts = [timeless(folder / file) for file in files]
            outcomes.append([text.replace(str(folder).encode(), b"") for text in texts])
            assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "p.jsonl.state", "r.jsonl"])
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][1].splitlines()) == counts[0] > 10 * KILLS
    assert struck >= KILLS // 2
    assert counts[1] <= counts[0] + struck * CONCURRENCY


@pytest.mark.parametrize(("takes_n", "times"), [(True, 2), (False, 3)])
def test_collect_ends_as_if_it_had_never_been_killed(tmp_path: Path, takes_n: bool, times: int) -> None:
    def answer(request: Request, count: int) -> Reply:
        samples = request.get("n", 1) if takes_n else 1
        words = last_words(request)
        if words == "prompt 7":
            return completion(*["no"] * samples, refusal="I cannot.")
        reply = completion(*[f"{words}, {request['seed']}"] * samples)
        return Reply(reply.body, delay=0.02)

    outcomes, counts = [], []
    with Server(answer) as server:
        for name, kills in (("undisturbed", 0), ("disturbed", times)):
            folder = tmp_path / name
            folder.mkdir()
            prompts = folder / "prompts.jsonl"
            prompts.write_text("".join(json.dumps({"prompt": f"prompt {number}"}) + "\n" for number in range(45)))
            out = folder / "r.jsonl"
            command = ["collect", str(prompts), "-o", str(out), "--model", f"m@{server.url}", "-n", "3", "--seed", "5"]
            before = server.count
            struck = run_and_kill(server, [*command, "--concurrency", str(CONCURRENCY)], kills, seed=len(outcomes))
            counts.append(server.count - before)
            outcomes.append(out.read_bytes())
            assert (folder / "r.dropped.jsonl").read_bytes() == b""
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0].splitlines()) == 45
    assert counts[0] == (45 if takes_n else 135)
    assert struck > 0
    assert counts[1] <= counts[0] + struck * CONCURRENCY
