"""The owner's pages: agreement that is the published one, bias, adjudication, live export."""

from __future__ import annotations

import json
import re
import secrets
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from prefdata.annotation.answers import read_answer
from prefdata.annotation.dashboard import LISTED, Dashboard, adjudication_task
from prefdata.annotation.store import opened
from tests.annotation.conftest import Person, Serve
from tests.annotation.projects import known, prefer, project, row, say, write
from tests.annotation.test_server import submit, task_on

SETS = [row(f"s{n}", f"a short one {n}", f"a response that is longer {n}") for n in range(12)]


def test_what_each_person_leans_to_is_told(tmp_path: Path) -> None:
    """ann always takes the left, bob always the longer, and both are asked again with sides swapped."""
    with project(tmp_path, SETS * 1, "ann", "bob", overlap=2, reask_rate=0.3) as store:
        for name in ("ann", "bob"):
            while (task := store.next(name)) is not None:
                best = task.shown[0] if name == "ann" else "r1"
                prefer(store, task, best, "r0" if best == "r1" else "r1")
        board = Dashboard(store).board()
        assert Dashboard(store).disagreements()
    assert board.agreement is not None
    ann, bob = board.agreement.judges
    assert (ann.judge, bob.judge) == ("human:ann", "human:bob")
    assert (ann.first_shown.value, board.sides["ann"].value) == (1, 1)
    assert bob.longer is not None
    assert bob.longer.value == 1
    assert (ann.orders_agree.value, bob.orders_agree.value) == (0, 1)
    assert 0 < (board.sides["bob"].value or 0) < 1


def test_unanimous_answers_leave_agreement_undefined(tmp_path: Path) -> None:
    with project(tmp_path, SETS, "ann", "bob", overlap=2) as store:
        for name in ("ann", "bob"):
            while (task := store.next(name)) is not None:
                prefer(store, task, "r0", "r1")
        board = Dashboard(store)
        found = board.board().agreement
        page = board.statistics()
    assert found is not None
    assert (found.together.alpha_ordinal.value, found.together.fleiss.value) == (None, None)
    assert found.between[0].kappa.value is None
    assert page.count(">undefined<") == 4


def test_rankings_have_their_concordance(tmp_path: Path) -> None:
    sets = [row(f"s{n}", "one", "two", "three", "four") for n in range(8)]
    with project(tmp_path, sets, "ann", "bob", overlap=2) as store:
        for name in ("ann", "bob"):
            while (task := store.next(name)) is not None:
                prefer(store, task, "r0", "r1", "r2", "r3")
        found = Dashboard(store).board().agreement
    assert found is not None
    assert (found.together.ranked_sets, found.together.kendall_w.value) == (8, 1)


def test_gold_items_give_a_score(tmp_path: Path) -> None:
    from prefdata.annotation.importing import set_gold

    gold = known(4)
    with project(tmp_path, SETS, "ann", "bob", overlap=2, gold_rate=0.5) as store:
        set_gold(store, [str(write(tmp_path / "g.jsonl", gold))])
        for name, best in (("ann", "r0"), ("bob", "r1")):
            while (task := store.next(name)) is not None:
                prefer(store, task, best, "r0" if best == "r1" else "r1")
        board = Dashboard(store)
        found, page = board.board().agreement, board.statistics()
    assert found is not None
    scores = {one.judge: one.accuracy.mean.value for one in found.judges if one.accuracy is not None}
    assert scores == {"human:ann": 1, "human:bob": 0}
    assert "Right, against gold" in page


def test_disagreements_are_adjudicated_and_exported_live(serve: Serve) -> None:
    with serve(SETS[:2], "--annotator", "ann", "--annotator", "bob", "--overlap", "2") as served:
        owner = served.client("owner")
        assert "Nobody has answered yet." in owner.page
        for name, best in (("ann", "a short"), ("bob", "a response")):
            person = served.client(name)
            for _ in range(2):
                page = person.http.get("/task").text
                left = task_on(page)["texts"][1].startswith(best)
                submit(person, page, verdict="ranked", tiers=[[0], [1]] if left else [[1], [0]], rationale="I think so")
        board = owner.http.get("/dashboard").text
        assert board.count("/adjudicate/") == 2
        assert owner.http.get("/dashboard/numbers").text.count("<td>2</td>") == 2
        page = owner.http.get("/adjudicate").text
        assert page.count("I think so") == 2
        task = task_on(page)
        document = {
            "item": int(task["item"]),
            "seen": task["seen"],
            "token": "token-of-owner",
            "answer": {"verdict": "ranked", "tiers": [[0], [1]]},
        }
        assert owner.post("/adjudications", {**document, "seen": "0" * 64}).status_code == 409
        assert owner.post("/adjudications", {**document, "item": 99}).status_code == 404
        reply = owner.post("/adjudications", document)
        assert reply.status_code == 200, reply.text
        assert 'data-item="2"' in reply.json()["next"]
        exported = [json.loads(line) for line in owner.http.get("/export.jsonl").text.splitlines()]
        assert [record["judge"]["name"] for record in exported] == ["owner", "ann", "bob"]
        earlier = owner.http.get("/export.jsonl", params={"as_of": exported[1]["created_at"]}).text
        assert len(earlier.splitlines()) < len(exported) + 1
        assert owner.http.get("/export.jsonl", params={"as_of": "never"}).status_code == 422
        assert owner.http.get("/adjudicate/77").status_code == 404


@pytest.mark.shared
def test_no_item_is_too_many_to_be_adjudicated(serve: Serve) -> None:
    """The page lists some of them; the owner's work goes on to the last."""
    with serve(
        [row(f"s{n}", "one", "two") for n in range(LISTED + 2)],
        "--annotator",
        "ann",
        "--annotator",
        "bob",
        "--overlap",
        "2",
    ) as served:
        with opened(served.folder / "s.db") as store:
            for name, verdict in (("ann", "both_bad"), ("bob", "both_good")):
                while (task := store.next(name)) is not None:
                    say(store, task, verdict=verdict)
            for item in range(1, LISTED + 1):
                task = adjudication_task(store, item)
                answer = read_answer({"verdict": "both_bad"}, store.response_set(item), task.shown, None)
                store.adjudicate(item, secrets.token_hex(8), task.shown, answer)
        owner = served.client("owner")
        assert owner.page.count("/adjudicate/") == LISTED
        assert f"/adjudicate/{LISTED + 2}" in owner.page  # those that wait come first
        assert "and 2 more" in owner.page
        page = owner.http.get("/adjudicate").text
        assert "items whose answers differ: 2" in page
        assert f"prompt of s{LISTED}" in page
        assert owner.http.get(f"/adjudicate/{LISTED + 1}").status_code == 200


def test_pandalms_three_annotators_have_their_published_kappas(serve: Serve, shared_data: Path) -> None:
    """Their 999 pairs are answered through HTTP, each by all three; the dashboard shows .852, .879 and .862."""
    rows = json.loads((shared_data / "pandalm_testset_v1.json").read_text())
    sets, said = [], {}
    for one in rows:
        # The number makes each text unlike every other, so that a screen tells which response it shows.
        texts = [f"{one['idx']}/{n} {one[f'response{n}']}" for n in (1, 2)]
        sets.append(row(f"p{one['idx']}", *texts, prompt=f"{one['instruction']} {one['input']}".strip() or "-"))
        said[one["idx"]] = [one[f"annotator{n}"] for n in (1, 2, 3)]
    names = [f"annotator{n}" for n in (1, 2, 3)]
    with serve(sets, *[part for name in names for part in ("--annotator", name)], "--overlap", "3") as served:
        failures: list[BaseException] = []

        def replay(number: int, person: Person) -> None:
            try:
                page: str | None = person.page
                while page is not None and 'id="answer"' in page:
                    raw = json.loads(re.search(r'id="raw">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
                    shown = [re.match(r"(\d+)/([12])", texts[0]).groups() for texts in raw["responses"]]  # type: ignore[union-attr]
                    winner = said[int(shown[0][0])][number]
                    places = {int(which): place for place, (_, which) in enumerate(shown)}
                    tiers = [[0, 1]] if not winner else [[places[winner]], [1 - places[winner]]]
                    reply = submit(person, page, token=secrets.token_hex(8), verdict="ranked", tiers=tiers)
                    assert reply.status_code == 200, reply.text
                    page = reply.json()["next"]
            except (AssertionError, KeyError, TypeError, httpx2.HTTPError) as error:
                failures.append(error)

        threads = [threading.Thread(target=replay, args=(n, served.client(name))) for n, name in enumerate(names)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        statistics = served.client("owner").http.get("/dashboard/statistics").text
    kappas = dict(re.findall(r"human:annotator(\d – human:annotator\d): (\d\.\d+) \(", statistics))
    assert kappas == {"1 – human:annotator2": "0.852", "1 – human:annotator3": "0.879", "2 – human:annotator3": "0.862"}


def test_answers_that_are_no_preference_are_counted_as_what_they_are(tmp_path: Path) -> None:
    with project(tmp_path, SETS) as store:
        verdicts: list[Any] = ["both_bad", "cannot_judge", "both_good"]
        for verdict in verdicts:
            task = store.next("ann")
            assert task is not None
            say(store, task, verdict=verdict)
        found = Dashboard(store).board().agreement
    assert found is not None
    judge = found.judges[0]
    assert (judge.both_bad.count, judge.abstained.count, judge.ties.count) == (1, 1, 1)
