"""What the owner sees: how far the work is, how people agree, what each leans to, and where they are apart."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from prefdata.annotation.answers import Answer, content_sha256
from prefdata.annotation.assignment import Task, drawn_order, response_set_of
from prefdata.annotation.database import meta
from prefdata.annotation.export import ItemState, judgment_of, moment, standing
from prefdata.annotation.store import OWNER, Store
from prefdata.pages import Line, forest, section, table
from prefdata.pairing.agree import agree
from prefdata.pairing.agreement import Agreement
from prefdata.pairing.page import sections
from prefdata.records.codec import judgment_record, response_set_from
from prefdata.records.rows import line
from prefdata.stats import Rate, rate
from prefdata.types import Judgment

COOL = 5.0
"""How many times as long as the statistics took to compute they are shown again before they are computed anew."""
LISTED = 200
"""Disagreements that the page lists; those that wait for the owner's word come first."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An item whose answers differ."""

    item: int
    start: str
    words: str
    adjudicated: bool


@dataclass(frozen=True, slots=True)
class Board:
    """The statistics of one moment."""

    last: int
    """The last event that it knows of."""
    agreement: Agreement | None
    """None before the first answer."""
    sides: Mapping[str, Rate]
    """By annotator, how often the left of two won, of the answers with a winner."""


class Dashboard:
    """Computes boards, and holds the last one while nothing has changed (or for some seconds)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._board: Board | None = None
        self._good_until = 0.0
        self._apart: tuple[int, tuple[Disagreement, ...]] | None = None
        self._apart_lock = threading.Lock()

    def board(self, *, fresh: bool = False) -> Board:
        """The statistics now, or, unless ``fresh``, of a little while ago where they are costly."""
        with self._lock:
            with self._store.database.reading() as db:
                last, _ = moment(db, None)
            if self._board is not None and (
                self._board.last == last or (not fresh and time.monotonic() < self._good_until)
            ):
                return self._board
            began = time.monotonic()
            self._board = _board(self._store)
            self._good_until = time.monotonic() + COOL * (time.monotonic() - began)
            return self._board

    def disagreements(self) -> tuple[Disagreement, ...]:
        """The items whose answers differ now: without the statistics, so that adjudication need not wait for them."""
        with self._apart_lock, self._store.database.reading() as db:
            last, _ = moment(db, None)
            if self._apart is None or self._apart[0] != last:
                self._apart = last, tuple(_disagreements(db, standing(db, last)))
            return self._apart[1]

    def last(self) -> int:
        """The last event of the log."""
        with self._store.database.reading() as db:
            return moment(db, None)[0]

    def numbers(self) -> str:
        """Progress, as HTML."""
        store = self._store
        with store.database.reading() as db:
            items, askable, wanted = db.execute(
                "SELECT count(*), sum(askable), sum(open) FILTER (WHERE askable AND gold IS NULL) FROM item"
            ).fetchone()
            finished = db.execute("SELECT count(*) FROM item WHERE open = 0 AND askable").fetchone()[0]
            states = db.execute(
                "SELECT annotator, sum(state = 'answered'), sum(state = 'skipped'), sum(surplus), "
                "sum(state = 'answered' AND ask = 1), max(changed) FROM task GROUP BY annotator"
            ).fetchall()
            last = {
                name: db.execute("SELECT at FROM event WHERE seq = ?", (seq,)).fetchone()[0] for name, *_, seq in states
            }
        rows = []
        done = {name: counts for name, *counts, _ in states}
        for name in store.annotators():
            answered, skipped, surplus, again = done.get(name, (0, 0, 0, 0))
            pace = store.progress(name).pace
            when = last.get(name, "–")[:19].replace("T", " ")
            cells = (answered, skipped, surplus, again)
            rows.append([name, *map(str, cells), f"{pace:.0f} s" if pace is not None else "–", when])
        note = f"{finished} of {askable or 0} items have the {store.settings.overlap} answers wanted of each; "
        note += f"{wanted or 0} answers are still wanted. {items - (askable or 0)} items cannot be compared."
        names = ["annotator", "answered", "skipped", "late", "asked again", "pace", "last seen (UTC)"]
        return section("Progress", note, table(names, rows))

    def statistics(self, *, fresh: bool = False) -> str:
        """Agreement and bias, as HTML."""
        board = self.board(fresh=fresh)
        if board.agreement is None:
            return section("Agreement", "Nobody has answered yet.", "")
        # Models stay out: the page is about people, and is looked at while they still work blind.
        made = list(sections(replace(board.agreement, models=(), duels=())))
        lines = [Line(f"human:{name}", found) for name, found in board.sides.items()]
        if any(found.total for found in board.sides.values()):
            note = "Of answers about two responses that name a winner; dashed: no preference."
            made.append(section("Left side wins", note, forest(lines, 0, 1, 0.5)))
        return "".join(made)


def adjudication_task(store: Store, item: int) -> Task:
    """An item before the owner; nothing of it is in the log until it is decided."""
    response_set = store.response_set(item)
    shown = drawn_order(response_set, OWNER, store.settings.seed)
    return Task(0, OWNER, item, 0, shown, content_sha256(response_set, shown), False, "open", False, None)


def _board(store: Store) -> Board:
    with store.database.reading() as db:
        last, _ = moment(db, None)
        states = standing(db, last)
        store_id = meta(db, "store") or ""
        judgments: list[Judgment] = []
        records: list[bytes] = []
        gold: list[bytes] = []
        for item in sorted(states):
            answers = [one for one in states[item].answers if not one.event.body["surplus"]]
            if not answers:
                continue
            record, known = db.execute("SELECT record, gold FROM item WHERE number = ?", (item,)).fetchone()
            response_set = response_set_from(orjson.loads(record))
            own = [judgment_of(response_set, one.event, one.shown, store=store_id) for one in answers]
            judgments += own
            records.append(record)
            gold += [line(one) for one in orjson.loads(known)] if known else []
    return Board(last, _agreement(judgments, records, gold), _sides(judgments))


def _agreement(judgments: Sequence[Judgment], records: Sequence[bytes], gold: Sequence[bytes]) -> Agreement | None:
    if not judgments:
        return None
    with tempfile.TemporaryDirectory(prefix="prefdata-") as name:
        folder = Path(name)
        (folder / "judgments.jsonl").write_bytes(b"".join(line(judgment_record(one)) for one in judgments))
        (folder / "responses.jsonl").write_bytes(b"".join(record + b"\n" for record in records))
        (folder / "gold.jsonl").write_bytes(b"".join(gold))
        return agree(folder / "judgments.jsonl", folder / "gold.jsonl" if gold else None, folder / "responses.jsonl")


def _sides(judgments: Sequence[Judgment]) -> dict[str, Rate]:
    left: Counter[str] = Counter()
    decided: Counter[str] = Counter()
    for one in judgments:
        if len(one.shown) == 2 and one.ranking is not None and len(one.ranking) == 2:
            decided[one.judge.name] += 1
            left[one.judge.name] += one.ranking[0][0] == one.shown[0]
    return {name: rate(left[name], decided[name]) for name in sorted({one.judge.name for one in judgments})}


def _disagreements(db: sqlite3.Connection, states: Mapping[int, ItemState]) -> Iterator[Disagreement]:
    for item in sorted(states):
        answers = [
            one.answer for one in states[item].answers if not one.event.body["surplus"] and not one.event.body["ask"]
        ]
        if len({_outcome(one) for one in answers}) < 2:
            continue
        response_set = response_set_of(db, item)
        content = response_set.prompt.content
        text = content if isinstance(content, str) else content[-1].content or ""
        places = [response.id for response in response_set.responses]
        said = Counter(_short(one, places) for one in answers)
        words = "; ".join(f"{what} ({number})" for what, number in said.most_common())
        start = " ".join(text.split())[:80] or "(an empty prompt)"
        yield Disagreement(item, start, words, states[item].adjudicated is not None)


def _outcome(answer: Answer) -> object:
    if answer.ranking is None:
        return None
    return tuple(tuple(sorted(tier)) for tier in answer.ranking), answer.verdict == "both_bad"


def _short(answer: Answer, places: Sequence[str]) -> str:
    """A verdict in a few words; responses go by their place in the file, since ids may tell who wrote them."""
    words = {"both_bad": "bad", "both_good": "good", "cannot_judge": "cannot judge"}.get(answer.verdict)
    if words is not None:
        return words
    if answer.ranking is None or len(answer.ranking) == 1:
        return "tie"
    best = sorted(places.index(id) + 1 for id in answer.ranking[0])
    return f"response {' and '.join(map(str, best))} best"
