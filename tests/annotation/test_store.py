"""The store: an append-only log, what follows from it, and who sees what next."""

from __future__ import annotations

import json
import random
import secrets
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from prefdata.annotation.answers import AnswerError
from prefdata.annotation.assignment import COLUMNS
from prefdata.annotation.database import UnusableError, events
from prefdata.annotation.importing import add_responses, disagreement, set_gold, set_queue
from prefdata.annotation.store import StaleError, Store, UnknownTaskError, opened, rebuild
from prefdata.errors import InputError, UsageError
from prefdata.types import Judge, Judgment
from tests.annotation.projects import known, prefer, project, row, say, write

SETS = [row(f"s{n}", f"one {n}", f"two {n}") for n in range(6)]


def state(store: Store) -> list[tuple[object, ...]]:
    with store.database.reading() as db:
        tasks = db.execute(f"SELECT {COLUMNS}, changed FROM task ORDER BY id").fetchall()
        return [*tasks, *db.execute("SELECT number, open FROM item ORDER BY number")]


def test_the_log_can_neither_be_changed_nor_shortened(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        task = store.next("ann")
        assert task is not None
        prefer(store, task, "r0", "r1")
    with sqlite3.connect(tmp_path / "s.db") as db:
        for statement in ("UPDATE event SET at = ''", "DELETE FROM event", "UPDATE item SET record = ''"):
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(statement)
    db.close()
    assert stat.S_IMODE((tmp_path / "s.db").stat().st_mode) == 0o600


def test_every_commit_is_flushed_to_a_write_ahead_log(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store, store.database.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA busy_timeout").fetchone()[0] >= 10_000


def test_the_current_state_is_what_the_log_says(tmp_path: Path) -> None:
    """Random work of three people, and then the state computed from the log anew."""
    draw = random.Random(0)
    with project(tmp_path, SETS, "a", "b", "c", overlap=2, reask_rate=0.3) as store:
        for _ in range(60):
            name = draw.choice("abc")
            task = store.next(name)
            if task is None or draw.random() < 0.2:
                store.undo(name, secrets.token_hex(8))
            elif draw.random() < 0.2:
                store.skip(name, task.id, secrets.token_hex(8), "too long")
            else:
                say(store, task, verdict=draw.choice(["both_bad", "cannot_judge"]))
        before = state(store)
        with store.database.writing() as db:
            rebuild(db)
        assert state(store) == before
        with store.database.reading() as db:
            counted = db.execute("SELECT count(*) FROM item WHERE open > 0 AND askable AND gold IS NULL").fetchone()
            assert db.execute("SELECT wanting FROM total").fetchone() == counted
        with store.database.reading() as db:
            kinds = {event.kind for event in events(db)}
        assert kinds >= {"configured", "shown", "answered", "skipped", "undone"}


def test_a_submit_sent_twice_is_one_answer(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        task = store.next("ann")
        assert task is not None
        first = prefer(store, task, "r0", "r1", token="same-token")
        again = prefer(store, task, "r0", "r1", token="same-token")
        assert again.repeated
        assert (again.seq, again.surplus) == (first.seq, first.surplus)
        with pytest.raises(StaleError):
            prefer(store, task, "r1", "r0", token="same-token")
        with store.database.reading() as db:
            assert len(list(events(db, "kind = 'answered'"))) == 1


def test_the_order_shown_is_drawn_for_person_and_item_and_kept(tmp_path: Path) -> None:
    sets = [row(f"s{n}", "one", "two", "three") for n in range(30)]
    with project(tmp_path, sets, "a", "b", overlap=2) as store:
        seen = {}
        for name in ("a", "b"):
            for _ in sets:
                task = store.next(name)
                assert task is not None
                assert store.next(name) == task
                seen[name, task.item] = task.shown
                prefer(store, task, "r0", "r1", "r2")
        assert len({shown for (name, _), shown in seen.items() if name == "a"}) == 6
        assert any(seen["a", n + 1] != seen["b", n + 1] for n in range(30))


def test_only_what_was_shown_can_be_answered_and_only_by_whom_it_was_shown_to(tmp_path: Path) -> None:
    with project(tmp_path, SETS, "ann", "bob") as store:
        task = store.next("ann")
        assert task is not None
        answer = say(store, task, verdict="both_good")
        with pytest.raises(UnknownTaskError):
            store.task("bob", task.id)
        with pytest.raises(UnknownTaskError):
            store.skip("bob", task.id, "a-token-of-bob", "no")
        with pytest.raises(StaleError):
            store.submit("ann", task.id, "another-token", "0" * 64, answer_of(store, task.id))
        assert not answer.surplus


def answer_of(store: Store, task: int) -> object:
    from prefdata.annotation.answers import answer_from

    found = store.task("ann", task)
    assert found.answer is not None
    return answer_from(store.event(found.answer).body)


def test_an_item_gets_its_answers_and_a_late_one_is_kept_as_surplus(tmp_path: Path) -> None:
    with project(tmp_path, SETS[:1], "a", "b", lease_minutes=1e-9) as store:
        mine, theirs = store.next("a"), store.next("b")  # the lease of a is over at once
        assert mine is not None
        assert theirs is not None
        assert not prefer(store, theirs, "r0", "r1").surplus
        assert prefer(store, mine, "r1", "r0").surplus
        assert store.next("a") is None
        store.undo("b", "undo-token-b")
        assert not prefer(store, store.task("a", mine.id), "r1", "r0").surplus


def test_a_clock_that_was_ahead_keeps_no_item_for_ever(tmp_path: Path) -> None:
    with project(tmp_path, SETS[:1], "a", "b") as store:
        assert store.next("a") is not None
        assert store.next("b") is None
        with store.database.writing() as db:  # as if a had come while the clock was a year ahead
            db.execute("UPDATE task SET lease = lease + 365 * 86400")
        assert store.next("b") is not None


def test_a_store_that_is_moved_away_is_not_made_anew(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        task = store.next("ann")
        assert task is not None
        store.close()
        store.path.rename(tmp_path / "moved.db")
        with pytest.raises(UnusableError, match="unable to open"):
            say(store, task, verdict="both_good")
        assert not store.path.exists()
        (tmp_path / "moved.db").rename(store.path)
        assert say(store, task, verdict="both_good").seq


def test_a_lease_keeps_an_item_from_others(tmp_path: Path) -> None:
    with project(tmp_path, SETS, "a", "b") as store:
        one, other = store.next("a"), store.next("b")
        assert one is not None
        assert other is not None
        assert one.item != other.item
        ahead = store.next("a", after=one.id)
        assert ahead is not None
        assert ahead.item not in (one.item, other.item)


def test_many_threads_never_give_an_item_more_than_its_quota(tmp_path: Path) -> None:
    with project(tmp_path, SETS, *"abcdefgh", overlap=2, lease_minutes=1e-9) as store:

        def work(name: str) -> None:
            while (task := store.next(name)) is not None:
                prefer(store, task, "r0", "r1")

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with store.database.reading() as db:
            counts = db.execute(
                "SELECT count(*) FILTER (WHERE NOT surplus), count(*) FROM task WHERE state = 'answered' GROUP BY item"
            ).fetchall()
        assert [counted for counted, _ in counts] == [2] * 6


def test_undo_goes_back_step_by_step(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        done = []
        for _ in range(3):
            task = store.next("ann")
            assert task is not None
            prefer(store, task, "r0", "r1")
            done.append(task.id)
        for id in reversed(done):
            saved = store.undo("ann", f"undo-token-{id}")
            assert saved is not None
            assert saved.task.id == id
            again = store.next("ann")
            assert again is not None
            assert again.id == id
        assert store.undo("ann", "undo-token-last") is None
        assert store.progress("ann").answered == 0


def test_skipped_items_go_to_others(tmp_path: Path) -> None:
    with project(tmp_path, SETS[:1], "a", "b") as store:
        task = store.next("a")
        assert task is not None
        with pytest.raises(AnswerError):
            store.skip("a", task.id, "token-of-a", "  ")
        store.skip("a", task.id, "token-of-a", "I wrote one of them")
        assert store.next("a") is None
        assert store.next("b") is not None


def test_an_item_returns_with_its_sides_swapped(tmp_path: Path) -> None:
    sets = [row(f"s{n}", "one", "two") for n in range(60)]
    with project(tmp_path, sets, reask_rate=0.3) as store:
        shown: dict[int, list[tuple[str, ...]]] = {}
        while (task := store.next("ann")) is not None:
            shown.setdefault(task.item, []).append(task.shown)
            prefer(store, task, "r0", "r1")
        twice = [orders for orders in shown.values() if len(orders) == 2]
        assert 10 <= len(twice) <= 40
        assert all(first == second[::-1] for first, second in twice)
        assert len(shown) == 60


def test_gold_comes_at_its_rate_to_everyone(tmp_path: Path) -> None:
    gold = known(3)
    with project(tmp_path, SETS, "a", "b", gold_rate=0.5) as store:
        assert set_gold(store, [str(write(tmp_path / "gold.jsonl", gold))]) == 3
        for name in ("a", "b"):
            asked = []
            while (task := store.next(name)) is not None:
                asked.append(task)
                prefer(store, task, "r0", "r1")
            assert sum(task.gold for task in asked) == 3
        with pytest.raises(InputError, match="no judgment of a response set"):
            set_gold(store, [str(write(tmp_path / "other.jsonl", [{**gold[0], "response_set_id": "x"}]))])


def verdicts(id: str, *rankings: list[list[str]]) -> list[dict[str, object]]:
    return [
        {
            "id": f"{id}-{n}",
            "response_set_id": id,
            "shown": ["r0", "r1"],
            "ranking": ranking,
            "judge": {"kind": "llm", "name": f"m{n}"},
        }
        for n, ranking in enumerate(rankings)
    ]


def test_items_on_which_judges_disagree_come_first(tmp_path: Path) -> None:
    one, other = [["r0"], ["r1"]], [["r1"], ["r0"]]
    judged = [*verdicts("s0", one, one), *verdicts("s3", one, other), *verdicts("s4", one, one, other)]
    with project(tmp_path, SETS) as store:
        assert set_queue(store, [str(write(tmp_path / "j.jsonl", judged))]) == 3
        order = []
        while (task := store.next("ann")) is not None:
            order.append(store.response_set(task.item).id)
            prefer(store, task, "r0", "r1")
        assert order[:2] == ["s3", "s4"]


def test_disagreement_is_one_where_judges_are_even() -> None:
    def said(*ranking: tuple[str, ...]) -> Judgment:
        return Judgment("j", "s", ("a", "b"), ranking, Judge("llm", secrets.token_hex(2)))

    assert disagreement([said(("a",), ("b",)), said(("b",), ("a",))]) == 1
    assert disagreement([said(("a",), ("b",)), said(("a",), ("b",))]) == 0


def test_a_second_start_adds_what_is_new_and_refuses_changed_texts(tmp_path: Path) -> None:
    with project(tmp_path, SETS, overlap=2) as store:
        pass
    with opened(tmp_path / "s.db") as store:
        assert store.settings.overlap == 2
        found = add_responses(store, [str(write(tmp_path / "more.jsonl", [*SETS, row("new", "x", "y")]))])
        assert (found.items, found.new, found.known) == (7, 1, 6)
        with pytest.raises(InputError, match="other texts under the id s0"):
            add_responses(store, [str(write(tmp_path / "changed.jsonl", [row("s0", "changed", "two 0")]))])


def test_sets_that_nobody_can_compare_are_not_asked_about(tmp_path: Path) -> None:
    with project(tmp_path, [row("alone", "x"), row("same", "x", "x"), SETS[0]]) as store:
        task = store.next("ann")
        assert task is not None
        assert store.response_set(task.item).id == "s0"
        assert store.next("ann", after=task.id) is None


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 20, None])
def test_another_file_is_no_store(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.db"
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="not an annotation store"), opened(path, create=True):
        pass


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "owner", "x" * 200])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with project(tmp_path, SETS) as store, pytest.raises(UsageError):
        store.add_annotators([name])


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"verdict": "best"},
        {"verdict": "ranked"},
        {"verdict": "ranked", "tiers": [[0]]},
        {"verdict": "ranked", "tiers": [[0, 0], [1]]},
        {"verdict": "ranked", "tiers": [[True], [0]]},
        {"verdict": "ranked", "tiers": [[0], [1]], "strength": 4},
        {"verdict": "both_bad", "flags": {"0": ["ugly"]}},
        {"verdict": "both_bad", "flags": {"2": ["harmful"]}},
        {"verdict": "both_bad", "ratings": {"0": {"wit": 3}}},
        {"verdict": "both_bad", "edits": {"0": "  "}},
        {"verdict": "both_bad", "rationale": json.loads('"\\ud83d"')},
    ],
)
def test_answers_that_cannot_be_meant_are_refused(tmp_path: Path, document: object) -> None:
    from prefdata.annotation.answers import read_answer

    with project(tmp_path, SETS) as store:
        task = store.next("ann")
        assert task is not None
        with pytest.raises(AnswerError):
            read_answer(document, store.response_set(task.item), task.shown, None)
