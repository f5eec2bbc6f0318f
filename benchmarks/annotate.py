"""How long a submit takes under many annotators at once, in a store of many items; ratios in one run.

    python benchmarks/annotate.py                  # 100,000 items beside 1,000, 50 annotators

The real command serves; each annotator is a connection of its own that sends an answer, waits until the server has it
on its disk, fetches the task after that, as the page does, and thinks for a while (exponential, ``--think`` seconds in
the mean; 0 asks as fast as the server answers). Beside it: the same on a store of 1,000 items, and what one flushed
SQLite transaction takes on this disk. Clients share the machine with the server.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import secrets
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def generate(path: Path, items: int, seed: int = 7) -> None:
    """Two responses of some sixty words to each prompt."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(4000)]

    def said(count: int) -> str:
        return " ".join(rng.choices(words, k=count))

    with path.open("w", encoding="utf-8") as file:
        for number in range(items):
            responses = [{"id": f"r{n}", "response": said(60)} for n in range(2)]
            file.write(json.dumps({"id": f"s{number}", "prompt": {"prompt": said(30)}, "responses": responses}) + "\n")


class Annotator(threading.Thread):
    """One person on one connection; what took how long stands in ``submits`` (seconds)."""

    def __init__(self, link: str, think: float, until: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.link, self.think, self.until, self.draw = urlsplit(link), think, until, random.Random(seed)
        self.submits: list[float] = []
        self.following: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.link.hostname or "", self.link.port or 80, timeout=60)
        connection.request("GET", self.link.path)
        reply = connection.getresponse()
        reply.read()
        self.headers = {
            "Cookie": (reply.getheader("set-cookie") or "").split(";")[0],
            "Content-Type": "application/json",
        }
        page = self.ask(connection, "GET", "/task")
        self.headers["X-Prefdata-Form"] = re.search(r'name="form-token" content="([^"]+)"', page)[1]  # type: ignore[index]
        while time.monotonic() < self.until:
            if self.think:
                time.sleep(self.draw.expovariate(1 / self.think))
            task, seen = (re.search(rf'data-{name}="([^"]+)"', page)[1] for name in ("task", "seen"))  # type: ignore[index]
            answer = {"verdict": "ranked", "tiers": [[0], [1]], "milliseconds": 1000}
            document = {"task": int(task), "seen": seen, "token": secrets.token_hex(8), "answer": answer, "have": 1}
            began = time.monotonic()
            self.ask(connection, "POST", "/answers", document)
            between = time.monotonic()
            page = json.loads(self.ask(connection, "GET", "/next"))["next"]
            self.following.append(time.monotonic() - between)
            self.submits.append(between - began)

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, document: Any = None) -> str:
        """One exchange; the connection is kept."""
        connection.request(method, path, None if document is None else json.dumps(document), self.headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        assert reply.status == 200, text
        return text


def measure(folder: Path, items: int, annotators: int, think: float, seconds: float) -> dict[str, float]:
    """A store of ``items``, served and worked on."""
    folder.mkdir()
    generate(folder / "responses.jsonl", items)
    names = [part for n in range(annotators) for part in ("--annotator", f"person-{n}")]
    command = [str(Path(sys.executable).parent / "prefdata"), "annotate", str(folder / "responses.jsonl")]
    began = time.monotonic()
    server = subprocess.Popen(
        [*command, "--store", str(folder / "s.db"), "--port", "0", "--format", "json", "--overlap", "2", *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    told = ""
    for line in server.stdout:
        told += line
        if line.startswith("}"):
            break
    started = time.monotonic() - began
    until = time.monotonic() + seconds
    people = [Annotator(link, think, until, n) for n, link in enumerate(json.loads(told)["annotators"].values())]
    for person in people:
        person.start()
    for person in people:
        person.join()
    server.send_signal(signal.SIGINT)
    server.communicate()
    submits = sorted(one for person in people for one in person.submits)
    following = sorted(one for person in people for one in person.following)
    return {
        "items": items,
        "import and start, s": started,
        "submits": len(submits),
        "submits a second": len(submits) / seconds,
        "submit p50, ms": 1000 * statistics.median(submits),
        "submit p99, ms": 1000 * submits[int(0.99 * len(submits))],
        "next task p99, ms": 1000 * following[int(0.99 * len(following))],
    }


def flush(folder: Path, count: int = 300) -> float:
    """Milliseconds of one SQLite transaction of one row, flushed, at the median."""
    db = sqlite3.connect(folder / "flush.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE t (x)")
    taken = []
    for n in range(count):
        began = time.monotonic()
        db.execute("INSERT INTO t VALUES (?)", (n,))
        taken.append(time.monotonic() - began)
    db.close()
    return 1000 * statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--think", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefdata-benchmark-") as name:
        folder = Path(name)
        one = flush(folder)
        few = measure(folder / "few", max(1000, 20 * given.annotators), given.annotators, given.think, given.seconds)
        many = measure(folder / "many", given.items, given.annotators, given.think, given.seconds)
    print(f"{os.cpu_count()} cores, {given.annotators} annotators, {given.think:g} s of thought in the mean")
    print(f"one flushed transaction: {one:.2f} ms")
    for key in many:
        print(f"{key:24}  {few[key]:>10.1f}  {many[key]:>10.1f}  × {many[key] / few[key]:.2f}")
    print(f"submit p99 at {given.items} items, in flushed transactions: {many['submit p99, ms'] / one:.1f}")


if __name__ == "__main__":
    main()
