"""``prefdata collect`` and ``judge`` against the bare client library and other tools, on one local server, in one run.

    python benchmarks/judge.py --peer inspect_ai=/path/to/its/python --peer distilabel=/path/to/its/python

A peer is a tool of benchmarks/peers.py and the Python in which it is installed; this script installs nothing and says
which peers were left out. Every contestant is a process of its own that asks 1,000 different questions of the server
(``judge`` asks about 500 response sets in both orders) at the same concurrency. The seconds are the server's, from the
first request to the last reply, so that the start of a process counts for nobody; "process" are the seconds of the
whole command. Rounds are interleaved, and the best of each contestant counts: the machine may be shared.

    plain   every call takes 200 ms
    slow    5% of the calls take 4 s
    limit   the server lets 50 calls through in any second, and answers others with 429 and Retry-After: 1
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PREFDATA = str(Path(sys.executable).parent / "prefdata")
SCENARIOS = {
    "plain": {"latency": 0.2},
    "slow": {"latency": 0.2, "slow": 0.05, "slow_latency": 4.0},
    "limit": {"latency": 0.2, "limit": 50},
}


@dataclass(frozen=True)
class Outcome:
    """One process that did the job."""

    seconds: float
    process: float
    paid: int
    different: int
    refused: int
    ok: bool


@contextmanager
def service() -> Iterator[str]:
    """A fresh benchmark server; its address."""
    with subprocess.Popen([sys.executable, str(HERE / "service.py")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def get(url: str) -> dict[str, Any]:
    """A JSON document."""
    with urllib.request.urlopen(url) as reply:
        document: dict[str, Any] = json.loads(reply.read())
    return document


def run(command: list[str], url: str, settings: Mapping[str, float], timeout: float) -> Outcome:
    """One contestant against a server set up anew."""
    get(f"{url}/setup?" + "&".join(f"{name}={value}" for name, value in settings.items()))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(timeout, timeout, 0, 0, 0, False)
    process = time.monotonic() - began
    stats = get(f"{url}/stats")
    if done.returncode:
        print(f"    failed: {' '.join(command)[:100]}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return Outcome(stats["seconds"], process, stats["paid"], stats["different"], stats["refused"], not done.returncode)


def prefdata(folder: Path, url: str, calls: int, how: str, what: str) -> list[str]:
    """The command of one of our two contestants; every run begins without a ledger."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    flags = ["--concurrency", how, "--quiet", "--timeout", "60"]
    if what == "collect":
        rows = ({"prompt": f"question {number}: how do you do?"} for number in range(calls))
        target = ["--model", f"m@{url}/v1", "-n", "1"]
    else:
        rows = (
            {
                "prompt": {"prompt": f"question {number}: how do you do?"},
                "responses": [{"response": "well"}, {"response": "so so"}],
            }
            for number in range(calls // 2)
        )
        target = ["--judge", f"llm:m@{url}/v1"]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [PREFDATA, what, str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"), *target, *flags]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="TOOL=PYTHON")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="of our contestants and the bare client; peers run once")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS))
    parser.add_argument("--timeout", type=float, default=240.0)
    arguments = parser.parse_args()
    peers = dict(each.split("=", 1) for each in arguments.peer)
    calls, concurrency = arguments.calls, str(arguments.concurrency)
    for tool in ("inspect_ai", "curator", "distilabel"):
        if tool not in peers:
            print(f"{tool} is left out: no --peer {tool}=PYTHON")
    print(f"{calls} calls, concurrency {concurrency}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder, service() as url:
        for name in arguments.scenario or SCENARIOS:
            settings = SCENARIOS[name]
            best: dict[str, Outcome] = {}
            for turn in range(arguments.rounds):
                contestants = {
                    "bare client": lambda: [sys.executable, str(HERE / "peers.py"), "bare"],
                    **{tool: lambda python=python, tool=tool: [python, str(HERE / "peers.py"), tool]  # type: ignore[misc]
                       for tool, python in peers.items() if turn == 0},
                }  # fmt: skip
                for tool, command in contestants.items():
                    full = [*command(), f"{url}/v1", str(calls), concurrency]
                    note(best, tool, run(full, url, settings, arguments.timeout))
                for what in ("collect", "judge"):
                    for how in ("auto",) if name == "limit" else (concurrency,):
                        command_line = prefdata(Path(folder) / what, url, calls, how, what)
                        note(best, f"prefdata {what}", run(command_line, url, settings, arguments.timeout))
            report(name, best, calls, int(concurrency))


def note(best: dict[str, Outcome], name: str, outcome: Outcome) -> None:
    """Keep the fastest run."""
    if name not in best or outcome.seconds < best[name].seconds:
        best[name] = outcome


def report(scenario: str, best: Mapping[str, Outcome], calls: int, concurrency: int) -> None:
    """A table, and what the scenario must show."""
    print(f"\n{scenario}: {SCENARIOS[scenario]}")
    print(f"  {'':20} {'seconds':>8} {'calls/s':>8} {'process':>8} {'paid':>6} {'answered':>9} {'429':>5}")
    for name, each in best.items():
        rate = each.paid / each.seconds if each.seconds else 0.0
        print(
            f"  {name:20} {each.seconds:8.2f} {rate:8.1f} {each.process:8.2f} {each.paid:6} {each.different:9} "
            f"{each.refused:5}{'' if each.ok else '  FAILED'}"
        )
    bare, others = best["bare client"], [each for name, each in best.items() if not name.startswith(("pref", "bare"))]
    for name in ("prefdata collect", "prefdata judge"):
        ours = best[name]
        if scenario == "limit":
            ideal = calls / SCENARIOS["limit"]["limit"]
            print(f"  {name}: {ours.seconds / ideal:.3f} of the ideal {ideal:g} s; {calls - ours.paid} calls lost")
        else:
            print(f"  {name}: {bare.seconds / ours.seconds:.3f} of the bare client's rate")
        if scenario == "slow":
            least = chain(calls, concurrency, each=1 if name == "prefdata collect" else 2)
            print(f"  {name}: {ours.seconds / least:.3f} of {least:.2f} s, which {concurrency} places cannot go below")
        if others:
            fastest = min(each.seconds if each.ok else float("inf") for each in others)
            print(f"  {name}: {fastest / ours.seconds:.2f} times as fast as the fastest peer")


def chain(calls: int, concurrency: int, each: int) -> float:
    """Seconds of the schedule that takes calls in their order, ``each`` a question, as places become free."""
    import heapq
    import zlib

    slow = SCENARIOS["slow"]
    free = [0.0] * concurrency
    for number in range(calls):
        drawn = zlib.crc32(str(number // each).encode()) % 1000
        took = slow["slow_latency"] if drawn < 1000 * slow["slow"] else slow["latency"]
        heapq.heappush(free, heapq.heappop(free) + took)
    return max(free)


if __name__ == "__main__":
    main()
