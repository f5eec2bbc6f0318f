"""``prefdata agree``: published figures from published judgments, and each rate by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import prefdata as api
from prefdata.errors import InputError
from prefdata.pairing.agreement import Agreement, JudgeReport
from prefdata.records.codec import judgment_record
from prefdata.stats import Rate
from prefdata.types import Judge, Judgment
from tests.conftest import Run
from tests.pairing import published
from tests.pairing.published import judgment, write

GPT, ANN = Judge("llm", "gpt"), Judge("human", "ann")


def report(found: Agreement, judge: str = "llm:gpt") -> JudgeReport:
    (only,) = [report for report in found.judges if report.judge == judge]
    return only


def counts(rate: Rate) -> tuple[int, int]:
    return rate.count, rate.total


def without_verdict(number: int, order: int, flag: str, judge: Judge = GPT) -> dict[str, Any]:
    shown = ("1", "2") if order == 0 else ("2", "1")
    return judgment_record(Judgment(f"n{number}-{order}", str(number), shown, None, judge, (flag,), order=order))


@pytest.mark.shared
@pytest.mark.parametrize(("name", "expected"), [("cot", (94, 95, 94.5, 90, 91)), ("vanilla", (95, 96, 95.5, 93, 95))])
def test_llmbar_published_figures(shared_data: Path, tmp_path: Path, name: str, expected: tuple[float, ...]) -> None:
    judgments, gold, responses = published.llmbar(shared_data, name, tmp_path)
    found = api.agree(judgments, gold, responses)
    accuracy = report(found, f"llm:gpt-4-{name}").accuracy
    assert accuracy is not None
    assert accuracy.couples == found.gold_couples == 100
    rates = [accuracy.order_0, accuracy.order_1, accuracy.mean, accuracy.both_right, accuracy.orders_agree]
    assert tuple(round(100 * (rate.value or 0), 6) for rate in rates) == expected
    assert all(rate.low is not None and rate.low < (rate.value or 0) < (rate.high or 0) for rate in rates)
    first, longest = found.baselines
    assert (first.name, first.accuracy.mean.value) == ("first shown wins", 0.5)
    assert counts(first.accuracy.order_0) == (42, 100)
    assert counts(first.accuracy.both_right) == (0, 100)
    assert longest.name == "longest wins"
    assert counts(longest.accuracy.order_0) == counts(longest.accuracy.order_1) == (56, 100)
    assert api.agree(judgments, gold).judges[0].accuracy == accuracy  # responses change no figure of a judge


@pytest.mark.shared
def test_pandalm_published_kappas(shared_data: Path, tmp_path: Path) -> None:
    found = api.agree(published.pandalm(shared_data, tmp_path))
    kappas = {one.judges: (one.couples, round(one.kappa.value or 0, 3)) for one in found.between}
    assert kappas == {
        ("human:annotator1", "human:annotator2"): (999, 0.852),
        ("human:annotator1", "human:annotator3"): (999, 0.879),
        ("human:annotator2", "human:annotator3"): (999, 0.862),
    }
    assert [counts(report.ties) for report in found.judges] == [(97, 999), (116, 999), (113, 999)]
    (first,) = found.baselines  # there are no responses whose length could be told
    assert (found.against, first.name) == ("others", "first shown wins")
    accuracy = found.judges[0].accuracy
    assert accuracy is not None
    rows = json.loads((shared_data / "pandalm_testset_v1.json").read_text())
    told = [row for row in rows if row["annotator2"] == row["annotator3"] != 0]
    right = sum(row["annotator1"] == row["annotator2"] for row in told)
    assert counts(accuracy.order_0) == (right, len(told))


@pytest.mark.shared
def test_longest_wins_stands_beside_pandalms_people(shared_data: Path, tmp_path: Path) -> None:
    """By the length of responses, over the couples on which two of the three people at least name one winner."""
    source = json.loads((shared_data / "pandalm_testset_v1.json").read_text())
    right = total = 0
    for row in source:
        winners = [row[f"annotator{n}"] for n in (1, 2, 3)]
        majority = next((n for n in (1, 2) if winners.count(n) > 1), None)
        if majority is not None:
            lengths = [len(row[f"response{n}"]) if isinstance(row[f"response{n}"], str) else 4 for n in (1, 2)]
            total += 1
            right += lengths[majority - 1] > lengths[2 - majority]
    out = tmp_path / "r.jsonl"
    api.convert(shared_data / "pandalm_testset_v1.json", output=out, to="responses")
    first, longest = api.agree(tmp_path / "r.judgments.jsonl", responses=out).baselines
    assert (first.name, first.accuracy.couples) == ("first shown wins", total)
    assert (longest.name, counts(longest.accuracy.order_0)) == ("longest wins", (right, total))


def test_every_rate_by_hand(tmp_path: Path) -> None:
    judgments = [
        *(judgment(0, order, 1, GPT) for order in (0, 1)),  # consistent and right
        *(judgment(1, order, 1, GPT) for order in (0, 1)),  # consistent and wrong
        *(judgment(2, order, order + 1, GPT) for order in (0, 1)),  # the first shown, twice
        judgment(3, 0, 2, GPT),
        without_verdict(3, 1, "unreadable"),
        *(judgment(4, order, 0, GPT) for order in (0, 1)),  # a tie
        judgment(5, 0, 1, GPT),  # gold is undecided here
        without_verdict(6, 0, "abstain"),
        without_verdict(6, 1, "call_failed"),
        without_verdict(7, 0, "both_bad"),
    ]
    gold = [judgment(n, 0, winner, ANN) for n, winner in enumerate([1, 2, 1, 2, 1, 0, 1])]
    found = api.agree(write(tmp_path / "j.jsonl", judgments), write(tmp_path / "g.jsonl", gold))
    gpt = report(found)
    assert (gpt.judgments, gpt.couples) == (14, 8)
    assert counts(gpt.unreadable) == (1, 14)
    assert counts(gpt.abstained) == counts(gpt.failed) == (1, 14)
    assert counts(gpt.ties) == (2, 11)
    assert counts(gpt.both_bad) == (1, 11)
    assert counts(gpt.first_shown) == (5, 8)
    assert counts(gpt.orders_agree) == (3, 4)
    assert gpt.longer is None
    assert (found.gold_couples, found.gold_undecided) == (6, 1)
    accuracy = gpt.accuracy
    assert accuracy is not None
    assert counts(accuracy.order_0) == (3, 6)
    assert counts(accuracy.order_1) == (1, 6)
    assert accuracy.mean.value == pytest.approx((1 + 0 + 0.5 + 0.5 + 0 + 0) / 6)
    assert counts(accuracy.both_right) == (1, 6)
    assert counts(accuracy.orders_agree) == (3, 4)
    assert counts(accuracy.decided) == (2, 6)
    assert counts(accuracy.right_if_decided) == (1, 2)
    (between,) = found.between
    assert (between.judges, between.couples) == (("llm:gpt", "gold"), 5)
    assert found.ok


def test_sides_follow_the_set_not_the_ids(tmp_path: Path) -> None:
    """A set whose first response has the greater id, shown swapped: order 1 is still order 1."""
    shown, ranking = ("a", "z"), (("z",), ("a",))
    swapped = judgment_record(Judgment("j", "0", shown, ranking, GPT, order=1))
    gold = judgment_record(Judgment("g", "0", ("z", "a"), ranking, ANN, order=0))
    accuracy = report(api.agree(write(tmp_path / "j.jsonl", [swapped]), write(tmp_path / "g.jsonl", [gold]))).accuracy
    assert accuracy is not None
    assert counts(accuracy.order_0) == (0, 0)
    assert counts(accuracy.order_1) == (1, 1)


def test_length_and_unused_judgments(tmp_path: Path) -> None:
    responses = [
        {"id": str(n), "prompt": {"prompt": "Q"}, "responses": [{"id": "1", "response": a}, {"id": "2", "response": b}]}
        for n, (a, b) in enumerate([("long answer", "short"), ("x", "longer"), ("same", "size"), ("one", "three")])
    ]
    judgments = [judgment(n, 0, 1, GPT) for n in range(3)]
    odd = {**judgment(3, 0, 1, GPT), "shown": ["1", "9"], "ranking": [["1"], ["9"]]}
    judgments = [*judgments, judgments[0], odd, judgment(9, 0, 1, GPT)]
    found = api.agree(write(tmp_path / "j.jsonl", judgments), responses=write(tmp_path / "r.jsonl", responses))
    assert counts(report(found).longer or Rate(0, 0)) == (1, 2)
    assert found.unused == {"duplicate-judgment": 1, "unknown-response": 1, "unknown-response-set": 1}
    assert found.judgments == 6
    assert not found.ok


def test_rankings_are_compared_by_their_couples(tmp_path: Path) -> None:
    def ranked(id: str, judge: Judge, *tiers: str) -> dict[str, Any]:
        return judgment_record(Judgment(id, "s", ("a", "b", "c"), tuple(tuple(tier) for tier in tiers), judge, order=0))

    rows = [ranked("1", GPT, "a", "b", "c"), ranked("2", ANN, "a", "bc")]
    (between,) = api.agree(write(tmp_path / "j.jsonl", rows)).between
    assert (between.couples, counts(between.same)) == (3, (2, 3))


def test_judges_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rows = [judgment(0, 0, 1, Judge("llm", "gpt", version)) for version in ("1", "2")]
    rows[0]["id"] = "other"
    found = api.agree(write(tmp_path / "j.jsonl", rows))
    assert [one.judge for one in found.judges] == ["llm:gpt@1", "llm:gpt@2"]


def test_gold_of_other_responses_is_refused(tmp_path: Path) -> None:
    judgments, gold = write(tmp_path / "j.jsonl", [judgment(0, 0, 1, GPT)]), [judgment(1, 0, 1, ANN)]
    with pytest.raises(InputError, match="no couple of responses in common"):
        api.agree(judgments, write(tmp_path / "g.jsonl", gold))


def test_a_page_never_replaces_what_it_reports_on(prefdata: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "j.jsonl", [judgment(0, 0, 1, GPT)])
    before = path.read_bytes()
    for page, said in (("j.jsonl", "is the input too"), (".", "is a folder")):
        done = prefdata("agree", "j.jsonl", "--html", page, "--overwrite", cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["j.jsonl"]
    assert path.read_bytes() == before


def test_command(prefdata: Run, tmp_path: Path) -> None:
    judgments = [judgment(n, order, 1, judge) for n in range(4) for order in (0, 1) for judge in (GPT, ANN)]
    write(tmp_path / "j.jsonl", judgments)
    write(tmp_path / "g.jsonl", [judgment(n, 0, 1 + (n == 3), Judge("human", "gold")) for n in range(4)])
    done = prefdata("agree", "j.jsonl", "--gold", "g.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Right, against gold on 4 couples" in done.stdout
    assert "75.0 (30.1-95.4)" in done.stdout
    assert "(first shown wins)" in done.stdout
    assert "undefined" in done.stdout  # both say "first" always
    again = prefdata("agree", "j.jsonl", "--gold", "g.jsonl", "--format", "json", cwd=tmp_path)
    document = orjson.loads(again.stdout)
    assert document["judges"][0]["accuracy"]["order_0"]["count"] == 3
    assert document["between"][0]["kappa"]["value"] is None
    missing = prefdata("agree", "none.jsonl", cwd=tmp_path)
    assert (missing.returncode, "none.jsonl: no such file" in missing.stderr) == (2, True)
    (tmp_path / "some.jsonl").write_bytes((tmp_path / "j.jsonl").read_bytes() + b"[]\n")
    some = prefdata("agree", "some.jsonl", cwd=tmp_path)
    assert (some.returncode, "1 lines hold no record" in some.stderr) == (1, True)
