"""Whether the memory of ``prefdata judge`` grows with its file: peak resident memory at several sizes.

    python benchmarks/judge_memory.py --sets 10000 30000 100000

Each run is a process of its own, ``prefdata judge`` over that many response sets of two responses. "rule" judges by a
rule. "ledger" judges by a model whose answers are in the ledger already (two calls a set), as a run that is continued
or read again does; the ledger is written by this script in the form in which a run leaves it. "live" asks the server of
benchmarks/service.py, which answers at once. The numbers are those of
``getrusage`` for the child: megabytes at the peak, beside the size of the input and of the ledger.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from prefdata.judging.judges import JudgeSettings, backends
from prefdata.judging.jury import Jury
from prefdata.records.codec import response_set_from

PREFDATA = str(Path(sys.executable).parent / "prefdata")
URL = "http://127.0.0.1:9/v1"
WORDS = "a response of some forty words that says what a response says, neither long nor short, " * 3


def response_set(number: int) -> dict[str, Any]:
    """Two responses of about 250 characters."""
    responses = [{"id": f"r{place}", "response": f"{number} {WORDS}{'!' * place}"} for place in range(2)]
    return {"id": f"s{number}", "prompt": {"prompt": f"question {number}: {WORDS}"}, "responses": responses}


def write(path: Path, sets: int) -> None:
    """The file of response sets."""
    with path.open("wb") as file:
        for number in range(sets):
            file.write(orjson.dumps(response_set(number), option=orjson.OPT_APPEND_NEWLINE))


def write_ledger(path: Path, sets: int) -> None:
    """An answer to every call that the judge would make."""
    jury = Jury(backends([f"llm:m@{URL}"], JudgeSettings()), escalate=False)
    with path.open("wb") as file:
        for number in range(sets):
            for call in jury.planned(response_set_from(response_set(number)), lambda _: None):
                label = re.search(r"\[\[(A-\w+)\]\]", call.body["messages"][-1]["content"])
                message = {"role": "assistant", "content": f"I prefer [[{label[1] if label else 'A'}]]"}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                record = {
                    "key": call.key,
                    "endpoint": "m",
                    "base_url": URL,
                    "model": "m",
                    "request": {**call.body, "model": "m"},
                    "response": {"choices": [choice]},
                    "usage": {"prompt_tokens": 300, "completion_tokens": 6},
                    "started_at": "2026-01-01T00:00:00.000+00:00",
                    "finished_at": "2026-01-01T00:00:01.000+00:00",
                    "attempts": 1,
                }
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


@contextmanager
def service() -> Iterator[str]:
    """A fresh benchmark server; its address."""
    script = str(Path(__file__).with_name("service.py"))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def peak(command: list[str]) -> tuple[float, float, int]:
    """Megabytes at the peak, seconds, and the exit code of a process."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        os.execv(command[0], command)
    _, status, usage = os.wait4(child, 0)
    return usage.ru_maxrss / 1024, time.monotonic() - began, os.waitstatus_to_exitcode(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--judge", choices=["rule", "ledger", "live"], action="append")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    heads = ("input MB", "ledger MB", "seconds", "peak MB")
    print(f"{'judge':8} {'sets':>8} " + " ".join(f"{head:>10}" for head in heads) + "  bytes more a set")
    for judge in arguments.judge or ["rule", "ledger"]:
        first: tuple[int, float] | None = None
        for sets in arguments.sets:
            with tempfile.TemporaryDirectory() as name, service() as url:
                folder = Path(name)
                write(folder / "r.jsonl", sets)
                command = [PREFDATA, "judge", str(folder / "r.jsonl"), "-o", str(folder / "p.jsonl"), "-q"]
                ledger = folder / "p.jsonl.state" / "ledger.jsonl"
                if judge == "rule":
                    command += ["--judge", "rule:length:1-"]
                elif judge == "live":
                    command += ["--judge", f"llm:m@{url}/v1"]
                else:
                    ledger.parent.mkdir()
                    write_ledger(ledger, sets)
                    command += ["--judge", f"llm:m@{URL}"]
                megabytes, seconds, code = peak(command)
                assert code == 0, code
                size = (folder / "r.jsonl").stat().st_size / 1e6
                kept = ledger.stat().st_size / 1e6 if ledger.exists() else 0.0
                more = "" if first is None else f"{(megabytes - first[1]) * 2**20 / (sets - first[0]):.0f}"
                first = first or (sets, megabytes)
                numbers = " ".join(f"{number:10.1f}" for number in (size, kept, seconds, megabytes))
                print(f"{judge:8} {sets:8} {numbers}  {more}", flush=True)


if __name__ == "__main__":
    main()
