"""Who sees what next, and in which order: decided here, on the server, and written into the log before it is shown."""

from __future__ import annotations

import random
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

import orjson
import xxhash

from prefdata.annotation.answers import content_sha256
from prefdata.annotation.database import append
from prefdata.annotation.settings import Settings
from prefdata.records.codec import response_set_from
from prefdata.types import ResponseSet

REASK_GAP = 5
"""Tasks of one's own that lie between an item and its return with swapped sides."""
COLUMNS = "id, annotator, item, ask, shown, sha256, gold, state, surplus, answer"


@dataclass(frozen=True, slots=True)
class Task:
    """One item before one person; its id is that of its ``shown`` event."""

    id: int
    annotator: str
    item: int
    ask: int
    """0 the first time, 1 for the blind return with the order turned around."""
    shown: tuple[str, ...]
    sha256: str
    gold: bool
    state: str
    """open, undone, answered or skipped."""
    surplus: bool
    answer: int | None
    """The event of the standing answer or skip."""


def task_of(row: tuple[Any, ...]) -> Task:
    """A task from its row (``COLUMNS``)."""
    id, annotator, item, ask, shown, sha256, gold, state, surplus, answer = row
    return Task(id, annotator, item, ask, tuple(orjson.loads(shown)), sha256, bool(gold), state, bool(surplus), answer)


def response_set_of(db: sqlite3.Connection, item: int) -> ResponseSet:
    """The texts of an item."""
    return response_set_from(
        orjson.loads(db.execute("SELECT record FROM item WHERE number = ?", (item,)).fetchone()[0])
    )


def next_task(db: sqlite3.Connection, annotator: str, settings: Settings, after: int | None = None) -> Task | None:
    """The task that ``annotator`` should see now, leased; None where nothing is left. ``after`` is left out.

    Called inside a write transaction. What was begun comes first (what was undone before all), then gold and
    returns at their rates, then the item of the highest priority that still wants answers.
    """
    now = time.time()
    lease = now + 60 * settings.lease_minutes
    begun = db.execute(
        f"SELECT {COLUMNS}, lease FROM task WHERE annotator = ? AND state IN ('undone', 'open') AND id IS NOT ? "
        "ORDER BY state DESC, id",
        (annotator, after),
    ).fetchall()
    for *row, until in begun:
        task = task_of(tuple(row))
        # An item that others took over when the lease ran out waits until it wants answers again.
        if until > now or task.gold or task.ask or _wanted(db, task.item, annotator, now, lease):
            if until < now + (lease - now) / 2:  # else looking again would be a write each time
                db.execute("UPDATE task SET lease = ? WHERE id = ?", (lease, task.id))
            return task
    count = db.execute("SELECT count(*) FROM task WHERE annotator = ?", (annotator,)).fetchone()[0]
    draw = random.Random(_hash(settings.seed, annotator, count))
    if draw.random() < settings.gold_rate and (item := _gold(db, annotator)) is not None:
        return _show(db, annotator, item, 0, settings, lease)
    if draw.random() < settings.reask_rate and (item := _returning(db, annotator, draw)) is not None:
        return _show(db, annotator, item, 1, settings, lease)
    item = _open(db, annotator, now, lease)
    if item is None and settings.gold_rate:
        item = _gold(db, annotator)
    return None if item is None else _show(db, annotator, item, 0, settings, lease)


def left_for(db: sqlite3.Connection, annotator: str) -> int:
    """Items that still want answers and that ``annotator`` has not done; gold and returns come on top."""
    total: int = db.execute("SELECT wanting FROM total").fetchone()[0]
    done: int = db.execute(
        "SELECT count(*) FROM task JOIN item ON item.number = task.item "
        "WHERE task.annotator = ? AND task.ask = 0 AND task.state IN ('answered', 'skipped') "
        "AND item.open > 0 AND item.askable AND item.gold IS NULL",
        (annotator,),
    ).fetchone()[0]
    return total - done


def drawn_order(response_set: ResponseSet, annotator: str, seed: int) -> tuple[str, ...]:
    """The order in which ``annotator`` sees the responses: drawn for both, and the same in every run."""
    ids = [response.id for response in response_set.responses]
    random.Random(_hash(seed, annotator, response_set.id)).shuffle(ids)
    return tuple(ids)


def _show(db: sqlite3.Connection, annotator: str, item: int, ask: int, settings: Settings, lease: float) -> Task:
    response_set = response_set_of(db, item)
    shown = drawn_order(response_set, annotator, settings.seed)
    if ask:
        first = db.execute(
            "SELECT shown FROM task WHERE annotator = ? AND item = ? AND ask = 0", (annotator, item)
        ).fetchone()
        shown = tuple(reversed(orjson.loads(first[0])))
    gold = db.execute("SELECT gold FROM item WHERE number = ?", (item,)).fetchone()[0] is not None
    sha256 = content_sha256(response_set, shown)
    body = {"shown": shown, "sha256": sha256, "ask": ask, "gold": gold}
    event = append(db, "shown", body, annotator=annotator, item=item)
    db.execute(
        "INSERT INTO task (id, annotator, item, ask, shown, sha256, gold, state, changed, lease) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)",
        (event.seq, annotator, item, ask, orjson.dumps(shown).decode(), sha256, gold, event.seq, lease),
    )
    return Task(event.seq, annotator, item, ask, shown, sha256, gold, "open", False, None)


# A lease longer than any given now comes of a clock that was ahead: it must not keep an item for ever.
LEASED = (
    "(SELECT count(*) FROM task AS other WHERE other.item = item.number AND other.ask = 0 "
    "AND other.state IN ('open', 'undone') AND other.lease > ? AND other.lease <= ? AND other.annotator != ?)"
)


def _wanted(db: sqlite3.Connection, item: int, annotator: str, now: float, lease: float) -> bool:
    """Whether the item wants more answers than others are about to give."""
    found = db.execute(f"SELECT 1 FROM item WHERE number = ? AND open > {LEASED}", (item, now, lease, annotator))
    return found.fetchone() is not None


def _open(db: sqlite3.Connection, annotator: str, now: float, lease: float) -> int | None:
    found = db.execute(
        "SELECT number FROM item WHERE open > 0 AND askable AND gold IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM task WHERE task.annotator = ? AND task.item = item.number AND task.ask = 0) "
        f"AND open > {LEASED} ORDER BY priority DESC, number LIMIT 1",
        (annotator, now, lease, annotator),
    ).fetchone()
    return None if found is None else int(found[0])


def _gold(db: sqlite3.Connection, annotator: str) -> int | None:
    found = db.execute(
        "SELECT number FROM item WHERE gold IS NOT NULL AND askable AND NOT EXISTS "
        "(SELECT 1 FROM task WHERE task.annotator = ? AND task.item = item.number) ORDER BY number LIMIT 1",
        (annotator,),
    ).fetchone()
    return None if found is None else int(found[0])


def _returning(db: sqlite3.Connection, annotator: str, draw: random.Random) -> int | None:
    """An item answered a while ago that has not come back yet."""
    found = db.execute(
        "SELECT item FROM task AS first WHERE annotator = ? AND state = 'answered' AND ask = 0 "
        "AND NOT gold AND NOT surplus "
        "AND id < (SELECT id FROM task WHERE annotator = ? ORDER BY id DESC LIMIT 1 OFFSET ?) "
        "AND NOT EXISTS (SELECT 1 FROM task AS again WHERE again.annotator = first.annotator "
        "AND again.item = first.item AND again.ask = 1) ORDER BY id DESC LIMIT 20",
        (annotator, annotator, REASK_GAP - 1),
    ).fetchall()
    return int(draw.choice(found)[0]) if found else None


def _hash(*parts: object) -> int:
    return xxhash.xxh3_64_intdigest("\0".join(map(str, parts)).encode())
