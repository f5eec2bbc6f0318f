"""What comes into a store: response sets, known answers, and the judges' views that say where people are wanted."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from prefdata.annotation.store import Store, latest_settings
from prefdata.errors import InputError
from prefdata.pairing.index import JudgmentIndex
from prefdata.pairing.votes import sightings, verdict
from prefdata.records.codec import judgment_record, response_set_from, response_set_record
from prefdata.records.ids import canonical
from prefdata.records.rows import Row, nothing_to_do, read_rows
from prefdata.records.sources import sources
from prefdata.types import Judgment, ResponseSet

NOT_ASKED = ("fewer-than-two-responses", "identical-responses")


@dataclass(slots=True)
class Imported:
    """What became of the lines of a file of responses: ``items == new + known``."""

    items: int = 0
    new: int = 0
    known: int = 0
    not_asked: Counter[str] = field(default_factory=Counter)
    """Items that no person is asked about, by reason (``NOT_ASKED``)."""
    invalid_lines: int = 0
    first_problem: str | None = None


def add_responses(store: Store, paths: Sequence[str], limit: int | None = None) -> Imported:
    """Take response sets into the store; what it has already is left alone.

    Raises InputError where no line holds one, or where one has the id of another with other texts.
    """
    found = Imported()
    first: Row[ResponseSet] | None = None
    with store.database.writing() as db:
        number = db.execute("SELECT coalesce(max(number), 0) FROM item").fetchone()[0]
        added = db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
        overlap = latest_settings(db).overlap
        for row in read_rows(
            sources(paths), "response_set", response_set_from, limit=limit, identify=lambda noun: noun.id
        ):
            first = first or row
            if row.noun is None:
                found.invalid_lines += 1
                found.first_problem = found.first_problem or f"{row.file} line {row.line}: {row.problem}"
                continue
            found.items += 1
            record = canonical(response_set_record(row.noun))
            held = db.execute("SELECT record FROM item WHERE id = ?", (row.noun.id,)).fetchone()
            reason = _not_asked(row.noun)
            if reason is not None:
                found.not_asked[reason] += 1
            if held is not None:
                if held[0] != record:
                    raise InputError(
                        f"{row.file} line {row.line}: the store has other texts under the id {row.noun.id}",
                        "give the changed response set another id, or name another --store",
                    )
                found.known += 1
                continue
            number += 1
            found.new += 1
            db.execute(
                "INSERT INTO item (number, id, record, added, askable, open) VALUES (?, ?, ?, ?, ?, ?)",
                (number, row.noun.id, record, added, reason is None, overlap),
            )
        if not found.items:
            raise nothing_to_do(" ".join(paths), "response set", first)
    return found


def set_gold(store: Store, paths: Sequence[str]) -> int:
    """Mark the items that ``paths`` hold judgments of as gold; gives how many. Raises InputError where none is here."""
    return _set(store, paths, _mark_gold, "gold")


def set_queue(store: Store, paths: Sequence[str]) -> int:
    """Put the items on whose responses the judges of ``paths`` disagree first; gives how many have a judge's view."""
    return _set(store, paths, _mark_queue, "queue")


def disagreement(judgments: Sequence[Judgment]) -> float:
    """How far verdicts are apart, from 0 (all one way) to 1 (as many one way as the other, or none readable).

    The mean over couples of 1 - |wins of one - wins of the other| / verdicts, every judge and shown order counted.
    """
    aliases = {id: id for judgment in judgments for id in judgment.shown}
    apart = []
    for seen in sightings(judgments, aliases).values():
        said = Counter(verdict(one.judgment, one.first, one.second) for one in seen)
        apart.append(1 - abs(said["first"] - said["second"]) / said.total())
    return sum(apart) / len(apart) if apart else 0.0


def _set(store: Store, paths: Sequence[str], mark: Any, what: str) -> int:
    found = 0
    with tempfile.TemporaryDirectory(prefix="prefdata-") as folder, JudgmentIndex(Path(folder) / "j.sqlite") as index:
        bad = next(iter(list(index.load(sources(paths)))), None)
        if bad is not None:
            raise InputError(f"{bad.file} line {bad.line}: {bad.problem}", f"every line of --{what} must be a judgment")
        with store.database.writing() as db:
            for id in index.response_set_ids():
                row = db.execute("SELECT number, record FROM item WHERE id = ?", (id,)).fetchone()
                if row is None:
                    continue
                known = {response.id for response in response_set_from(orjson.loads(row[1])).responses}
                own = [one.judgment for one in index.of(id) if set(one.judgment.shown) <= known]
                if own:
                    mark(db, row[0], own)
                    found += 1
    if not found:
        raise InputError(
            f"--{what} has no judgment of a response set in the store", "its response_set_id must be that of an item"
        )
    return found


def _mark_gold(db: sqlite3.Connection, number: int, judgments: Sequence[Judgment]) -> None:
    held = orjson.dumps([judgment_record(one) for one in judgments]).decode()
    db.execute("UPDATE item SET gold = ? WHERE number = ?", (held, number))


def _mark_queue(db: sqlite3.Connection, number: int, judgments: Sequence[Judgment]) -> None:
    views = [
        {"judge": f"{one.judge.kind}:{one.judge.name}", "ranking": one.ranking, "flags": one.flags} for one in judgments
    ]
    db.execute(
        "UPDATE item SET priority = ?, judges = ? WHERE number = ?",
        (disagreement(judgments), orjson.dumps(views).decode(), number),
    )


def _not_asked(response_set: ResponseSet) -> str | None:
    if len(response_set.responses) < 2:
        return NOT_ASKED[0]
    if all(response.content == response_set.responses[0].content for response in response_set.responses):
        return NOT_ASKED[1]
    return None
