"""Response sets, stores made of them, and a person who answers without a browser."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefdata.annotation.answers import read_answer
from prefdata.annotation.assignment import Task
from prefdata.annotation.importing import add_responses
from prefdata.annotation.store import Saved, Store, opened


def row(id: str, *texts: Any, prompt: Any = None, **rest: Any) -> dict[str, Any]:
    """One response set whose response ids are r0, r1, …"""
    responses = [{"id": f"r{place}", "response": text, "model": f"model-{place}"} for place, text in enumerate(texts)]
    return {"id": id, "prompt": {"prompt": prompt or f"prompt of {id}", **rest}, "responses": responses}


def write(path: Path, records: Iterable[Any]) -> Path:
    """One JSON line a record."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read(path: Path) -> list[Any]:
    """The records of a JSONL file, whose lines end at \\n and nowhere else."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


@contextmanager
def project(folder: Path, rows: Iterable[Any], *names: str, **settings: Any) -> Iterator[Store]:
    """A store at ``folder/s.db`` with these response sets and annotators."""
    file = write(folder / "responses.jsonl", rows)
    with opened(folder / "s.db", create=True) as store:
        store.configure(settings)
        store.add_annotators(names or ("ann",))
        add_responses(store, [str(file)])
        yield store


def prefer(store: Store, task: Task, *tiers: str | tuple[str, ...], token: str | None = None, **more: Any) -> Saved:
    """Rank the responses of a task, best first, by their ids."""
    places = [[task.shown.index(id) for id in ([tier] if isinstance(tier, str) else tier)] for tier in tiers]
    return say(store, task, token=token, verdict="ranked", tiers=places, **more)


def say(store: Store, task: Task, *, token: str | None = None, **document: Any) -> Saved:
    """Submit an answer as a browser would."""
    answer = read_answer(document, store.response_set(task.item), task.shown, store.settings.template)
    return store.submit(task.annotator, task.id, token or secrets.token_hex(8), task.sha256, answer)


def known(count: int) -> list[dict[str, Any]]:
    """Gold for the first response sets: r0 is better than r1."""
    judge = {"kind": "human", "name": "key"}
    shown = {"shown": ["r0", "r1"], "ranking": [["r0"], ["r1"]], "judge": judge}
    return [{"id": f"g{n}", "response_set_id": f"s{n}", **shown} for n in range(count)]
