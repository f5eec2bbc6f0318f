"""The store of one annotation project: what people did, in an append-only log, and what follows from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from prefdata.annotation.answers import Answer, AnswerError, content_sha256, diff, editable, edited
from prefdata.annotation.assignment import COLUMNS, Task, left_for, next_task, response_set_of, task_of
from prefdata.annotation.database import Database, Event, append, events, meta
from prefdata.annotation.settings import Settings, settings_from
from prefdata.errors import PrefdataError, UsageError
from prefdata.records.codec import content_record
from prefdata.records.ids import content_id
from prefdata.types import ResponseSet

OWNER = "owner"
LONGEST_NAME = 100


class StaleError(PrefdataError):
    """An answer to something else than what the store knows to have shown."""


class UnknownTaskError(PrefdataError):
    """A task that is not there, or somebody else's."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a submit; the same for every repetition of it."""

    seq: int
    task: Task
    surplus: bool = False
    """The item had all its answers already: this one is kept beside them."""
    repeated: bool = False
    following: Task | None = None
    """What comes after it, where that was asked for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One person's work; ``pace`` in seconds for a task, None before the first."""

    answered: int
    skipped: int
    left: int
    pace: float | None


class Store:
    """``with open_store(...) as store``; every method is one transaction, safe from any thread or process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.reading() as db:
            self.id = meta(db, "store") or ""
            self.settings = latest_settings(db)

    @property
    def path(self) -> Path:
        """Where the store lies."""
        return self.database.path

    def configure(self, changes: Mapping[str, Any]) -> Settings:
        """Put those of ``changes`` that are not None over the settings; logged where that changes something."""
        with self.database.writing() as db:
            settings = settings_from(latest_settings(db).record(), changes)
            if settings != latest_settings(db) or not _configured(db):
                append(db, "configured", settings.record())
                db.execute(
                    "UPDATE item SET open = max(0, ? - (SELECT count(*) FROM task WHERE task.item = item.number "
                    "AND task.ask = 0 AND task.state = 'answered' AND NOT task.surplus))",
                    (settings.overlap,),
                )
            self.settings = settings
        return settings

    def add_annotators(self, names: Sequence[str]) -> None:
        """Let ``names`` in; raises UsageError for names that cannot be shown or are the owner's."""
        for name in names:
            if not name or name != name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
                raise UsageError(
                    f"{name!r} is no name for an annotator",
                    f"use up to {LONGEST_NAME} printable letters, and no space before or after them",
                )
            if name == OWNER:
                raise UsageError(f"{OWNER!r} is the name of the one who owns the store", "choose another name")
        with self.database.writing() as db:
            db.executemany("INSERT OR IGNORE INTO annotator VALUES (?, 'annotator')", [(name,) for name in names])

    def annotators(self) -> list[str]:
        """Everyone who was let in, sorted."""
        with self.database.reading() as db:
            found = db.execute("SELECT name FROM annotator WHERE role = 'annotator' ORDER BY name")
            return [name for (name,) in found]

    def next(self, annotator: str, after: int | None = None) -> Task | None:
        """The task to show now, or, with ``after``, the one to hold ready behind that."""
        with self.database.writing() as db:
            return next_task(db, annotator, self.settings, after)

    def task(self, annotator: str, id: int) -> Task:
        """One's own task; raises UnknownTaskError."""
        with self.database.reading() as db:
            return _task(db, annotator, id)

    def response_set(self, item: int) -> ResponseSet:
        """The texts of an item."""
        with self.database.reading() as db:
            return response_set_of(db, item)

    def event(self, seq: int) -> Event:
        """One event."""
        with self.database.reading() as db:
            return next(events(db, "seq = ?", (seq,)))

    def edits_of(self, answer: int) -> dict[str, str]:
        """The edited texts, by response id, that were sent with the answer of that event."""
        with self.database.reading() as db:
            task = db.execute("SELECT task FROM event WHERE seq = ?", (answer,)).fetchone()[0]
            found = events(db, "task = ? AND kind = 'edited'", (task,))
            return {one.body["response_id"]: one.body["text"] for one in found if one.body["answer"] == answer}

    def submit(
        self, annotator: str, task_id: int, token: str, seen: str, answer: Answer, *, follow: bool = False
    ) -> Saved:
        """Keep an answer. It is on the disk when this returns.

        ``token`` is the client's own for this one submit: sent again, it changes nothing and gives the same reply.
        ``seen`` is the hash of the texts on the screen. Raises UnknownTaskError, and StaleError where the texts or the
        token belong to something else. A second answer to a task takes the place of the first; both stay in the log.
        ``follow`` gives the task after it too, in the same transaction.
        """
        with self.database.writing() as db:
            task = _task(db, annotator, task_id)
            sent = {**answer.record(), "edits": dict(answer.edits)}
            if (before := _repeated(db, token, "answered", annotator, task_id, content_id(sent))) is not None:
                following = next_task(db, annotator, self.settings) if follow else None
                return Saved(before.seq, task, bool(before.body["surplus"]), True, following)
            if seen != task.sha256:
                raise StaleError("these are not the texts that were shown", "load the page again")
            body = {
                **answer.record(),
                "sha256": task.sha256,
                "ask": task.ask,
                "sent": content_id(sent),
                # Checked here, inside the transaction: leases alone let two people fill the last place.
                "surplus": not task.ask and not task.gold and _answers(db, task) >= self.settings.overlap,
                "revealed": _revealed(db, task),
                "rubric": template.sha256 if (template := self.settings.template) else None,
            }
            event = append(db, "answered", body, annotator=annotator, item=task.item, task=task.id, token=token)
            response_set = response_set_of(db, task.item)
            contents = {response.id: response.content for response in response_set.responses}
            for id, text in answer.edits.items():
                old = editable(contents[id]) or ""
                made = {
                    "answer": event.seq,
                    "response_id": id,
                    "text": text,
                    "content": content_record(edited(contents[id], text)),
                    "diff": diff(old, text),
                }
                append(db, "edited", made, annotator=annotator, item=task.item, task=task.id)
            _apply(db, event, self.settings)
            following = next_task(db, annotator, self.settings) if follow else None
            return Saved(event.seq, _task(db, annotator, task_id), bool(body["surplus"]), False, following)

    def skip(self, annotator: str, task_id: int, token: str, reason: str) -> Saved:
        """Pass over a task for a ``reason``; it goes to others. Raises what ``submit`` raises, and AnswerError."""
        if not reason.strip() or len(reason) > 1000:
            raise AnswerError("say in a few words why you skip this one")
        with self.database.writing() as db:
            task = _task(db, annotator, task_id)
            if (before := _repeated(db, token, "skipped", annotator, task_id, content_id(reason))) is not None:
                return Saved(before.seq, task, repeated=True)
            body = {"reason": reason, "ask": task.ask, "sent": content_id(reason)}
            event = append(db, "skipped", body, annotator=annotator, item=task.item, task=task.id, token=token)
            _apply(db, event, self.settings)
            return Saved(event.seq, _task(db, annotator, task_id))

    def undo(self, annotator: str, token: str) -> Saved | None:
        """Take back one's last answer or skip, which opens its task again; None where there is none."""
        with self.database.writing() as db:
            if (before := _repeated(db, token, "undone", annotator, None, None)) is not None:
                assert before.task is not None
                return Saved(before.seq, _task(db, annotator, before.task), repeated=True)
            found = db.execute(
                f"SELECT {COLUMNS} FROM task WHERE annotator = ? AND state IN ('answered', 'skipped') "
                "ORDER BY changed DESC LIMIT 1",
                (annotator,),
            ).fetchone()
            if found is None:
                return None
            task = task_of(found)
            body = {"took_back": task.answer}
            event = append(db, "undone", body, annotator=annotator, item=task.item, task=task.id, token=token)
            _apply(db, event, self.settings)
            return Saved(event.seq, _task(db, annotator, task.id))

    def adjudicate(self, item: int, token: str, shown: Sequence[str], answer: Answer) -> int:
        """The owner's last word on an item; gives its event."""
        with self.database.writing() as db:
            response_set = response_set_of(db, item)
            body = {**answer.record(), "shown": list(shown), "sha256": content_sha256(response_set, shown)}
            body["sent"] = content_id(body)
            known = next(events(db, "token = ?", (token,)), None)
            if known is not None:
                if known.item != item or known.body.get("sent") != body["sent"]:
                    raise StaleError("this form was sent before with other content", "load the page again")
                return known.seq
            return append(db, "adjudicated", body, annotator=OWNER, item=item, token=token).seq

    def history(self, annotator: str, limit: int = 500) -> list[Task]:
        """One's own finished tasks, the last first."""
        with self.database.reading() as db:
            found = db.execute(
                f"SELECT {COLUMNS} FROM task WHERE annotator = ? AND state IN ('answered', 'skipped') "
                "ORDER BY changed DESC LIMIT ?",
                (annotator, limit),
            )
            return [task_of(row) for row in found]

    def progress(self, annotator: str) -> Progress:
        """How far one is."""
        with self.database.reading() as db:
            states = dict(
                db.execute("SELECT state, count(*) FROM task WHERE annotator = ? GROUP BY state", (annotator,))
            )
            recent = events(
                db,
                "seq IN (SELECT answer FROM task WHERE annotator = ? AND state = 'answered' "
                "ORDER BY changed DESC LIMIT 20)",
                (annotator,),
            )
            taken = [said for one in recent if (said := one.body["milliseconds"]) is not None]
            pace = sorted(taken)[len(taken) // 2] / 1000 if taken else None
            return Progress(states.get("answered", 0), states.get("skipped", 0), left_for(db, annotator), pace)

    def judges_of(self, item: int) -> list[dict[str, Any]]:
        """What ``--queue`` says of an item: for each judgment its judge and ranking."""
        with self.database.reading() as db:
            found = db.execute("SELECT judges FROM item WHERE number = ?", (item,)).fetchone()
            return list(orjson.loads(found[0])) if found and found[0] else []

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    def discard(self) -> None:
        """Remove the file: for a store that was just made and could not be filled."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[Store]:
    """The store at ``path``; raises InputError where there is none and ``create`` is not set."""
    store = Store(Database(path, create=create))
    try:
        yield store
    finally:
        store.close()


def latest_settings(db: sqlite3.Connection, last: int | None = None) -> Settings:
    """The settings as the log has them, at its end or at event ``last``."""
    found = db.execute(
        "SELECT body FROM event WHERE kind = 'configured' AND seq <= coalesce(?, seq) ORDER BY seq DESC LIMIT 1",
        (last,),
    ).fetchone()
    return settings_from(orjson.loads(found[0]) if found else {}, {})


def rebuild(db: sqlite3.Connection) -> None:
    """Compute the current state from the log again, as it was computed event by event; leases are over then."""
    db.execute("DELETE FROM task")
    db.execute("UPDATE item SET open = 0")
    settings = Settings()
    for event in list(events(db)):
        if event.kind == "configured":
            settings = settings_from(event.body, {})
        elif event.kind == "shown":
            shown = orjson.dumps(event.body["shown"]).decode()
            held = (event.seq, event.annotator, event.item, event.body["ask"], shown, event.body["sha256"])
            db.execute(
                "INSERT INTO task (id, annotator, item, ask, shown, sha256, gold, state, changed, lease) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?, 0)",
                (*held, event.body["gold"], event.seq),
            )
        else:
            _apply(db, event, settings)
    for (number,) in db.execute("SELECT number FROM item").fetchall():
        _count(db, number, settings)


def _apply(db: sqlite3.Connection, event: Event, settings: Settings) -> None:
    """What an event means for the state of its task and item."""
    if event.kind in ("answered", "skipped"):
        db.execute(
            "UPDATE task SET state = ?, surplus = ?, answer = ?, changed = ? WHERE id = ?",
            (event.kind, event.body.get("surplus", False), event.seq, event.seq, event.task),
        )
    elif event.kind == "undone":
        db.execute("UPDATE task SET state = 'undone', surplus = 0, changed = ? WHERE id = ?", (event.seq, event.task))
    else:
        return
    _count(db, event.item, settings)


def _count(db: sqlite3.Connection, item: int | None, settings: Settings) -> None:
    db.execute(
        "UPDATE item SET open = max(0, ? - (SELECT count(*) FROM task WHERE item = ? AND ask = 0 "
        "AND state = 'answered' AND NOT surplus)) WHERE number = ?",
        (settings.overlap, item, item),
    )


def _answers(db: sqlite3.Connection, task: Task) -> int:
    """Answers that count for the item of ``task``, its own left out."""
    found: int = db.execute(
        "SELECT count(*) FROM task WHERE item = ? AND id != ? AND ask = 0 AND state = 'answered' AND NOT surplus",
        (task.item, task.id),
    ).fetchone()[0]
    return found


def _task(db: sqlite3.Connection, annotator: str, id: int) -> Task:
    found = db.execute(f"SELECT {COLUMNS} FROM task WHERE id = ? AND annotator = ?", (id, annotator)).fetchone()
    if found is None:
        raise UnknownTaskError(f"{annotator} has no task {id}", "load the page again")
    return task_of(found)


def _repeated(
    db: sqlite3.Connection, token: str, kind: str, annotator: str, task: int | None, sent: str | None
) -> Event | None:
    """The event that ``token`` made before; raises StaleError where it was another one than now."""
    if not 8 <= len(token) <= 100:
        raise StaleError("a submit needs a token of 8 to 100 characters", "load the page again")
    before = next(events(db, "token = ?", (token,)), None)
    if before is None:
        return None
    same = (before.kind, before.annotator) == (kind, annotator) and (task is None or before.task == task)
    if not same or before.body.get("sent") != sent:
        raise StaleError("this was sent before with other content", "load the page again")
    return before


def _revealed(db: sqlite3.Connection, task: Task) -> bool:
    """Whether the person had seen what the judges said of this item: it is told after the first answer."""
    found = db.execute(
        "SELECT 1 FROM event WHERE kind = 'answered' "
        "AND task IN (SELECT id FROM task WHERE annotator = ? AND item = ?) "
        "AND (SELECT judges FROM item WHERE number = ?) IS NOT NULL LIMIT 1",
        (task.annotator, task.item, task.item),
    )
    return found.fetchone() is not None


def _configured(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM event WHERE kind = 'configured' LIMIT 1").fetchone() is not None
