"""Eight people at once through HTTP while the server is killed 20 times: what was acknowledged is there."""

from __future__ import annotations

import json
import random
import secrets
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from prefdata.annotation.database import Database
from prefdata.annotation.export import export_annotations
from prefdata.annotation.store import rebuild
from tests.annotation.conftest import Served, start
from tests.annotation.projects import read, row, write
from tests.annotation.test_server import task_on

PEOPLE, KILLS, ITEMS, OVERLAP = 8, 20, 400, 2


class Worker(threading.Thread):
    """One person, who sends every answer until it is acknowledged, as the page does."""

    def __init__(self, link: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.link, self.stop, self.draw = link, stop, random.Random(number)
        self.acknowledged: dict[str, tuple[int, list[list[int]], int]] = {}
        self.failed: str | None = None

    def run(self) -> None:
        with httpx2.Client(base_url=self.link.split("/in/")[0], timeout=10) as http:
            entered = self._until_it_answers(http, "GET", self.link.split("/in/")[1])
            while not self.stop.is_set():
                page = self._until_it_answers(http, "GET", None)
                if page is None or 'id="answer"' not in page.text:
                    return
                form = page.text.split('name="form-token" content="')[1].split('"')[0]
                task = task_on(page.text)
                tiers = [[0], [1]] if self.draw.random() < 0.5 else [[1], [0]]
                token = secrets.token_hex(8)
                document = {
                    "task": int(task["task"]),
                    "seen": task["seen"],
                    "token": token,
                    "answer": {"verdict": "ranked", "tiers": tiers},
                    "have": 1,
                }
                reply = self._until_it_answers(http, "POST", None, json=document, headers={"x-prefdata-form": form})
                if reply is None:
                    return
                if reply.status_code != 200:
                    self.failed = reply.text
                    return
                self.acknowledged[token] = (int(task["task"]), tiers, reply.json()["seq"])
            del entered

    def _until_it_answers(self, http: httpx2.Client, method: str, link: str | None, **more: Any) -> Any:
        path = f"/in/{link}" if link else "/answers" if method == "POST" else "/task"
        while not self.stop.is_set():
            try:
                return http.request(method, path, **more)
            except httpx2.TransportError:
                time.sleep(0.02)
        return None


def test_every_acknowledged_answer_is_there_and_no_item_is_over_quota(tmp_path: Path) -> None:
    write(tmp_path / "responses.jsonl", [row(f"s{n}", f"one {n}", f"two {n}") for n in range(ITEMS)])
    names = [f"person-{n}" for n in range(PEOPLE)]
    people = [part for name in names for part in ("--annotator", name)]
    # Leases of a moment: what keeps the quota is the check inside the submit, not politeness.
    arguments = (*people, "--overlap", str(OVERLAP), "--lease", "0.0001")
    draw, stop = random.Random(0), threading.Event()
    served: Served = start(tmp_path, *arguments)
    port = int(served.url.rsplit(":", 1)[1])
    workers = [Worker(served.links[name], number, stop) for number, name in enumerate(names)]
    try:
        for worker in workers:
            worker.start()
        for _ in range(KILLS):
            time.sleep(draw.uniform(0.05, 0.3))
            served.stop(signal.SIGKILL)
            served = start(tmp_path, *arguments, port=port)
        time.sleep(0.5)
    finally:
        stop.set()
        for worker in workers:
            worker.join(30)
        served.stop(signal.SIGKILL)
    assert [worker.failed for worker in workers] == [None] * PEOPLE
    acknowledged = {token: said for worker in workers for token, said in worker.acknowledged.items()}
    assert len(acknowledged) > KILLS

    with sqlite3.connect(tmp_path / "s.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {
            token: (task, seq, json.loads(body), json.loads(shown))
            for token, task, seq, body, shown in db.execute(
                "SELECT token, event.task, seq, body, shown FROM event JOIN task ON task.id = event.task "
                "WHERE kind = 'answered'"
            )
        }
        over = db.execute(
            "SELECT item, count(*) AS answers FROM task WHERE state = 'answered' AND NOT surplus "
            "GROUP BY item HAVING answers > ?",
            (OVERLAP,),
        ).fetchall()
        before = db.execute("SELECT id, state, surplus, answer FROM task ORDER BY id").fetchall()
    db.close()
    for token, (task, tiers, seq) in acknowledged.items():
        found_task, found_seq, body, shown = kept[token]
        assert (found_task, found_seq) == (task, seq)
        assert body["ranking"] == [[shown[place] for place in tier] for tier in tiers]
    assert over == []
    database = Database(tmp_path / "s.db")
    with database.writing() as db:
        rebuild(db)
        assert db.execute("SELECT id, state, surplus, answer FROM task ORDER BY id").fetchall() == before
    database.close()
    result = export_annotations(tmp_path / "s.db", tmp_path / "j.jsonl", surplus=True)
    assert result.judgments == len(kept)
    counts = Counter(
        record["response_set_id"] for record in read(result.output) if not record["metadata"].get("surplus")
    )
    assert max(counts.values()) <= OVERLAP
