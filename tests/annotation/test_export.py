"""From the log to judgments: the same records as ``judge`` writes, at any past time, and every item accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.annotation.export import export_annotations
from prefdata.annotation.store import Store
from prefdata.errors import InputError, UsageError
from prefdata.schema import violations
from tests.annotation.projects import prefer, project, read, row, say

SETS = [row(f"s{n}", f"one {n}", f"two {n}") for n in range(8)]


def work(store: Store) -> None:
    """Eight items, each ended in another way."""
    for _ in range(7):
        task = store.next("ann")
        assert task is not None
        match store.response_set(task.item).id:
            case "s0":
                prefer(store, task, "r0", "r1", strength=3, rationale="one is <b>right</b>")
            case "s1":
                prefer(store, task, ("r0", "r1"))
            case "s2":
                say(store, task, verdict="both_bad")
            case "s3":
                say(store, task, verdict="cannot_judge")
            case "s4":
                store.skip("ann", task.id, "token-of-s4", "in a language that I do not read")
            case "s5":
                flagged = str(task.shown.index("r1"))
                prefer(store, task, "r0", "r1", flags={flagged: ["refusal", "broken"]})
            case "s6":
                place = str(task.shown.index("r1"))
                prefer(store, task, "r0", "r1", edits={place: "two 6, mended"})


def exported(folder: Path, name: str = "j.jsonl", **options: Any) -> dict[str, dict[str, Any]]:
    """Judgments by response set."""
    export_annotations(folder / "s.db", folder / name, **options)
    return {record["response_set_id"]: record for record in read(folder / name)}


def test_judgments_hold_to_the_schema_and_say_what_was_said(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        work(store)
    found = exported(tmp_path)
    assert not [one for record in found.values() for one in violations("judgment", record)]
    assert list(found) == ["s0", "s1", "s2", "s3", "s5", "s6"]
    assert found["s0"]["ranking"] == [["r0"], ["r1"]]
    assert (found["s0"]["strength"], found["s0"]["rationale"]) == (3.0, "one is <b>right</b>")
    assert len(found["s1"]["ranking"]) == 1
    assert found["s2"]["flags"] == ["both_bad"]
    assert (found["s3"]["ranking"], found["s3"]["flags"]) == (None, ["abstain"])
    assert found["s5"]["flags"] == ["refusal", "broken"]
    assert found["s5"]["metadata"]["response_flags"] == {"r1": ["refusal", "broken"]}
    for record in found.values():
        assert record["judge"] == {"kind": "human", "name": "ann"}
        assert record["order"] == (0 if record["shown"] == ["r0", "r1"] else 1)
        assert record["created_at"].endswith("Z")
        assert len(record["metadata"]["content_sha256"]) == 64


def test_every_item_that_makes_no_pair_is_listed_with_its_reason(tmp_path: Path) -> None:
    with project(tmp_path, [*SETS, row("alone", "x")]) as store:
        work(store)
    result = export_annotations(tmp_path / "s.db", tmp_path / "j.jsonl", pairs=tmp_path / "p.jsonl")
    reasons = {drop["response_set_id"]: drop["reason"] for drop in read(result.dropped_output)}
    assert reasons == {
        "s1": "tie",
        "s2": "both-bad",
        "s3": "abstained",
        "s4": "skipped",
        "s7": "not-answered",
        "alone": "fewer-than-two-responses",
    }
    assert result.items == 9 == result.with_pairs + sum(result.dropped.values())
    assert [pair["chosen"] for pair in read(tmp_path / "p.jsonl")] == ["one 0", "one 5", "one 6", "two 6, mended"]


def test_pair_and_agree_take_the_export(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        work(store)
    exported(tmp_path, pairs=tmp_path / "own.jsonl")
    made = prefdata.pair(tmp_path / "responses.jsonl", tmp_path / "j.jsonl", output=tmp_path / "p.jsonl")
    assert made.ok
    assert made.counts.pairs == 3
    assert read(tmp_path / "own.jsonl")[:2] == read(tmp_path / "p.jsonl")[:2]
    edits = prefdata.pair(tmp_path / "j.edits.jsonl", tmp_path / "j.edit-judgments.jsonl")
    assert [(pair.chosen, pair.rejected) for pair in edits.pairs] == [("two 6, mended", "two 6")]
    found = prefdata.agree(tmp_path / "j.jsonl", responses=tmp_path / "responses.jsonl")
    assert found.ok
    assert found.judges[0].judge == "human:ann"


def test_an_edit_keeps_where_it_came_from_and_its_diff(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        work(store)
    exported(tmp_path)
    edited = read(tmp_path / "j.edits.jsonl")[0]["responses"][0]
    assert edited["response"] == "two 6, mended"
    assert edited["metadata"]["edited_by"] == "ann"
    assert edited["metadata"]["edited_from"] == {"response_set_id": "s6", "response_id": "r1", "model": "model-1"}
    assert "-two 6\n+two 6, mended" in edited["metadata"]["diff"]


def test_the_last_message_of_a_trajectory_can_be_edited(tmp_path: Path) -> None:
    def said(text: str) -> list[dict[str, str]]:
        return [
            {"role": "assistant", "content": "Which?"},
            {"role": "user", "content": "That."},
            {"role": "assistant", "content": text},
        ]

    with project(tmp_path, [row("t", said("a"), said("b"))]) as store:
        task = store.next("ann")
        assert task is not None
        prefer(store, task, "r0", "r1", edits={str(task.shown.index("r0")): "better"})
    exported(tmp_path)
    assert read(tmp_path / "j.edits.jsonl")[0]["responses"][0]["response"] == said("better")


def test_an_export_as_of_a_past_time_can_be_repeated(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        work(store)
        first = export_annotations(tmp_path / "s.db", tmp_path / "now.jsonl")
        for n in range(3):
            store.undo("ann", f"undo-token-{n}")
        task = store.next("ann")
        assert task is not None
        say(store, task, verdict="both_good")
        export_annotations(tmp_path / "s.db", tmp_path / "then.jsonl", as_of=first.as_of)
        export_annotations(tmp_path / "s.db", tmp_path / "later.jsonl")
    for name in ("", ".edits", ".edit-judgments", ".dropped"):
        assert (tmp_path / f"then{name}.jsonl").read_bytes() == (tmp_path / f"now{name}.jsonl").read_bytes()
    assert (tmp_path / "later.jsonl").read_bytes() != (tmp_path / "now.jsonl").read_bytes()


def test_flagged_responses_are_left_out_only_where_the_policy_says_so(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        work(store)
    result = export_annotations(
        tmp_path / "s.db", tmp_path / "x.jsonl", exclude=["refusal"], pairs=tmp_path / "p.jsonl"
    )
    assert result.excluded == 1
    reasons = {drop["response_set_id"]: drop["reason"] for drop in read(result.dropped_output)}
    assert reasons["s5"] == "excluded-by-flag"
    with pytest.raises(UsageError, match="no flag 'ugly'"):
        export_annotations(tmp_path / "s.db", tmp_path / "y.jsonl", exclude=["ugly"])


def test_an_adjudication_replaces_or_stands_beside(tmp_path: Path) -> None:
    from prefdata.annotation.answers import read_answer

    with project(tmp_path, SETS[:1], "a", "b", overlap=2) as store:
        for name, order in (("a", ("r0", "r1")), ("b", ("r1", "r0"))):
            task = store.next(name)
            assert task is not None
            prefer(store, task, *order)
        said = read_answer({"verdict": "ranked", "tiers": [[1], [0]]}, store.response_set(1), ["r0", "r1"], None)
        seq = store.adjudicate(1, "token-of-owner", ["r0", "r1"], said)
        assert store.adjudicate(1, "token-of-owner", ["r0", "r1"], said) == seq
    assert exported(tmp_path)["s0"]["judge"]["name"] == "owner"
    result = export_annotations(tmp_path / "s.db", tmp_path / "all.jsonl", adjudicated="add")
    assert [record["judge"]["name"] for record in read(result.output)] == ["owner", "a", "b"]


def test_late_answers_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    with project(tmp_path, SETS[:1], "a", "b", lease_minutes=1e-9) as store:
        tasks = [store.next(name) for name in ("a", "b")]
        for task in tasks:
            assert task is not None
            prefer(store, task, "r0", "r1")
    assert len(exported(tmp_path)) == 1
    result = export_annotations(tmp_path / "s.db", tmp_path / "all.jsonl", surplus=True)
    assert [record["metadata"].get("surplus") for record in read(result.output)] == [None, True]


def test_an_answer_to_a_returning_item_is_a_judgment_in_the_other_order(tmp_path: Path) -> None:
    with project(tmp_path, [row(f"s{n}", "one", "two") for n in range(40)], reask_rate=0.5) as store:
        while (task := store.next("ann")) is not None:
            prefer(store, task, task.shown[0], task.shown[1])  # always the left one
    exported(tmp_path)
    report = prefdata.agree(tmp_path / "j.jsonl").judges[0]
    assert report.orders_agree.total >= 5
    assert report.orders_agree.value == 0
    assert report.first_shown.value == 1


def test_what_is_no_store_or_no_time_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such store"):
        export_annotations(tmp_path / "none.db", tmp_path / "j.jsonl")
    with project(tmp_path, SETS):
        pass
    with pytest.raises(UsageError, match="no time"):
        export_annotations(tmp_path / "s.db", tmp_path / "j.jsonl", as_of="yesterday")
    with pytest.raises(UsageError, match="no time"):
        export_annotations(tmp_path / "s.db", tmp_path / "j.jsonl", as_of="0001-01-01T00:00:00+05:00")
    assert not (tmp_path / "j.jsonl").exists()


def test_an_export_never_takes_the_place_of_its_store(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        task = store.next("ann")
        assert task is not None
        say(store, task, verdict="both_bad")
    (tmp_path / "s.db.secret").write_text("key")
    for output, pairs in (("s.db", None), ("j.jsonl", "s.db"), ("s.db.secret", None)):
        with pytest.raises(UsageError, match="is the input too"):
            export_annotations(tmp_path / "s.db", tmp_path / output, pairs=pairs and tmp_path / pairs, overwrite=True)
    assert export_annotations(tmp_path / "s.db", tmp_path / "j.jsonl").judgments == 1


def test_an_answer_to_a_returning_item_never_stands_alone(tmp_path: Path) -> None:
    """Where the first answer was taken back it would be one person more than was asked for."""

    def asked_again(name: str) -> int:
        result = export_annotations(tmp_path / "s.db", tmp_path / name)
        return sum("ask" in record["metadata"] for record in read(result.output))

    with project(tmp_path, [row(f"s{n}", "one", "two") for n in range(30)], reask_rate=0.5) as store:
        first: dict[int, int] = {}
        while (task := store.next("ann")) is not None:
            prefer(store, task, "r0", "r1")
            if task.ask:
                break
            first[task.item] = task.id
        assert task is not None
        assert asked_again("before.jsonl") == 1
        store.skip("ann", first[task.item], "skip-the-first", "I changed my mind")
        assert asked_again("after.jsonl") == 0
