"""Preference for responses of a judge's own family, and judgments and ratings by criterion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import prefdata as api
from prefdata.pairing.families import family
from prefdata.records.codec import judgment_record
from prefdata.types import Judge, Judgment
from tests.here import run_here
from tests.pairing.published import judgment, write

GPT, CLAUDE = Judge("llm", "gpt-4o"), Judge("llm", "mine", "claude-x")
ANN, BOB = Judge("human", "ann"), Judge("human", "bob")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-4.1-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("anthropic/claude-x", "anthropic"),
        ("google/gemma-3-27b-it", "google"),
        ("Meta-Llama-3-70B", "meta"),
        ("Mixtral-8x7B-Instruct-v0.1", "mistral"),
        ("DeepSeek-R1-Distill-Qwen-7B", "deepseek"),
        ("weighted_alpaca_eval_gpt4_turbo", "openai"),
        ("base", "base"),
    ],
)
def test_families(name: str, expected: str) -> None:
    assert family(name) == expected


def sets(path: Path, models: tuple[str, str], count: int) -> Path:
    outputs = [{"id": str(n), "response": "x" * n, "model": model} for n, model in enumerate(models, 1)]
    return write(path, [{"id": str(n), "prompt": {"prompt": f"Q{n}"}, "responses": outputs} for n in range(count)])


def test_excess_over_gold_and_over_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    responses = sets(tmp_path / "r.jsonl", ("gpt-3.5-turbo", "claude-y"), 10)
    # GPT takes its own in 8 of 10, Claude its own in 7 of 10; gold says 5 of 10 and ties once.
    said = [
        *(judgment(n, 0, 1 if n < 8 else 2, GPT) for n in range(10)),
        *(judgment(n, 0, 2 if n < 7 else 1, CLAUDE) for n in range(10)),
    ]
    judgments = write(tmp_path / "j.jsonl", said)
    gold = write(tmp_path / "g.jsonl", [judgment(n, 0, 1 if n < 5 else 2 if n < 9 else 0, ANN) for n in range(10)])
    gpt, claude = api.agree(judgments, gold, responses).judges
    assert gpt.own_family is not None
    assert claude.own_family is not None
    assert (gpt.own_family.family, gpt.own_family.couples, gpt.own_family.against) == ("openai", 10, "gold")
    assert (gpt.own_family.wins.count, gpt.own_family.wins.total, gpt.own_family.compared) == (8, 10, 10)
    assert gpt.own_family.excess.value == pytest.approx(0.8 - 0.55)
    assert (gpt.own_family.excess.low or 1) < 0.25 < (gpt.own_family.excess.high or 0)
    assert (claude.own_family.family, claude.own_family.excess.value) == ("anthropic", pytest.approx(0.7 - 0.45))
    alone = api.agree(judgments, responses=responses).judges[0].own_family
    assert alone is not None
    assert (alone.against, alone.own_share, alone.their_share) == ("others", 0.8, pytest.approx(0.3))
    done = run_here(capfd, "agree", judgments, "--gold", gold, "--responses", responses, "--html", tmp_path / "p.html")
    assert "Preference for responses of the judge's own family" in done.out
    assert "gold on 10" in done.out
    assert "+25.0 (" in done.out
    assert "Preference for its own family" in (tmp_path / "p.html").read_text()


def test_no_own_family_without_models_of_it(tmp_path: Path) -> None:
    judgments = write(tmp_path / "j.jsonl", [judgment(0, 0, 1, judge) for judge in (GPT, ANN)])
    for models in (("llama-3", "claude-y"), ("gpt-4", "o3")):
        found = api.agree(judgments, responses=sets(tmp_path / "r.jsonl", models, 1))
        assert [report.own_family for report in found.judges] == [None, None]
    assert [report.own_family for report in api.agree(judgments).judges] == [None, None]


def rated(n: int, judge: Judge, helpful: tuple[int, int], safe: tuple[int, int]) -> dict[str, Any]:
    ratings = {id: {"helpful": h, "safe": s} for id, h, s in zip("12", helpful, safe, strict=True)}
    made = Judgment(f"{judge.name}{n}", str(n), ("1", "2"), (("1",), ("2",)), judge, ratings=ratings, order=0)
    return judgment_record(made)


def test_ratings_are_compared_by_criterion_and_count_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = []
    for n in range(4):
        rows.append(rated(n, ANN, (5, 1 + n % 2), (2, 2 + n % 2)))
        rows.append(rated(n, BOB, (4, 1 + n % 2), (2 + n % 2, 2)))
    found = api.agree(write(tmp_path / "j.jsonl", rows))
    assert (found.judgments, found.together.units) == (8, 4)
    helpful, safe = found.groups
    assert (helpful.by, helpful.name, safe.name) == ("criterion", "helpful", "safe")
    (between,) = helpful.agreement.between
    assert (between.couples, between.same.count) == (4, 4)
    (between,) = safe.agreement.between
    assert (between.couples, between.same.count) == (4, 2)  # both tie on two, and are of two minds on the others
    first, second = found.ratings
    assert (first.criterion, first.responses, second.criterion, second.responses) == ("helpful", 8, "safe", 8)
    assert first.means == {"human:ann": pytest.approx(3.25), "human:bob": pytest.approx(2.75)}
    assert (first.alpha.value or 0) > 0.7 > (second.alpha.value or 0)
    done = run_here(capfd, "agree", tmp_path / "j.jsonl", "--html", tmp_path / "p.html")
    assert "Ratings by criterion" in done.out
    assert "By criterion" in done.out
    assert "human:ann 3.25" in (tmp_path / "p.html").read_text()


def test_gold_of_a_criterion_speaks_to_it_alone(tmp_path: Path) -> None:
    rows = [{**judgment(n, 0, 1, GPT), "criterion": name, "id": f"{name}{n}"} for n in range(3) for name in ("a", "b")]
    gold = [{**judgment(n, 0, 1, ANN), "criterion": "a"} for n in range(3)]
    found = api.agree(write(tmp_path / "j.jsonl", rows), write(tmp_path / "g.jsonl", gold))
    assert [(group.name, group.agreement.gold_couples) for group in found.groups] == [("a", 3), ("b", 0)]
    assert found.gold_couples == 3


def test_pairs_by_criterion(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    responses = sets(tmp_path / "r.jsonl", ("a", "b"), 2)
    rows = [{**judgment(n, 0, winner, ANN), "criterion": c, "id": f"{c}{n}"} for n in (0, 1) for c, winner in CRITERIA]
    judgments = write(tmp_path / "j.jsonl", rows)
    with pytest.raises(api.PrefdataError, match="of several criteria: helpful, safe") as caught:
        api.pair(responses, judgments)
    assert caught.value.hint == "choose one with --criterion"
    for criterion, winner in CRITERIA:
        made = api.pair(responses, judgments, criterion=criterion)
        assert [pair.metadata["chosen_response_id"] for pair in made.pairs] == [str(winner)] * 2
        assert made.pairs[0].metadata["criterion"] == criterion
        assert dict(made.counts.unused) == {"other-criterion": 2}
        assert made.counts.judgments == made.counts.used + sum(made.counts.unused.values())
    done = run_here(capfd, "pair", responses, judgments, "-o", tmp_path / "p.jsonl", "--criterion", "brief")
    assert (done.code, "no judgment speaks of the criterion 'brief'" in done.err) == (2, True)
    assert "criteria: helpful, safe" in done.err
    whole = write(tmp_path / "w.jsonl", [*rows, *(judgment(n, 0, 2, BOB) for n in (0, 1))])
    assert [pair.metadata["chosen_response_id"] for pair in api.pair(responses, whole).pairs] == ["2", "2"]


CRITERIA = (("helpful", 1), ("safe", 2))


def test_pairs_by_ratings(tmp_path: Path) -> None:
    responses = sets(tmp_path / "r.jsonl", ("a", "b"), 1)
    judgments = write(tmp_path / "j.jsonl", [rated(0, ANN, (5, 2), (1, 4)), rated(0, BOB, (4, 3), (2, 2))])
    (whole,) = api.pair(responses, judgments).pairs
    (safe,) = api.pair(responses, judgments, criterion="safe", weights={"human:ann": 2}).pairs
    assert (whole.metadata["chosen_response_id"], safe.metadata["chosen_response_id"]) == ("1", "2")
    assert safe.margin == pytest.approx((2 * 3 + 0) / 3)  # the mean difference of their ratings, by weight
    assert safe.judgment_ids == ("ann0", "bob0")
    assert dict(api.pair(responses, judgments, criterion="safe").counts.dropped) == {"tie": 1}  # one vote and one tie


def test_weights_by_gold(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two bad judges outvote a good one, until gold tells them apart."""
    responses = sets(tmp_path / "r.jsonl", ("a", "b"), 12)
    third = Judge("human", "cem")
    wrong = {BOB: {0, 1, 2, 3, 4, 5, 11}, third: {0, 1, 2, 3, 6, 7, 11}}
    rows = [judgment(n, 0, 1 + (n in wrong.get(who, ())), who) for n in range(12) for who in (ANN, BOB, third)]
    judgments = write(tmp_path / "j.jsonl", rows)
    gold = write(tmp_path / "g.jsonl", [judgment(n, 0, 1, Judge("human", "owner")) for n in range(11)])
    plain = {pair.metadata["response_set_id"]: pair for pair in api.pair(responses, judgments).pairs}
    assert plain["11"].metadata["chosen_response_id"] == "2"
    weighed = api.pair(responses, judgments, gold=gold)
    by_set = {pair.metadata["response_set_id"]: pair for pair in weighed.pairs}
    assert by_set["11"].metadata["chosen_response_id"] == "1"
    assert by_set["11"].metadata["pairing"]["weighted"] is True
    assert weighed.weights["human:ann"] > 2 * weighed.weights["human:bob"]
    done = run_here(capfd, "pair", responses, judgments, "--gold", gold, "-o", tmp_path / "p.jsonl")
    assert (done.code, "weight of human:ann" in done.err) == (0, True), done.err
    with pytest.raises(api.PrefdataError, match="say two things"):
        api.pair(responses, judgments, gold=gold, weights={"human:ann": 1})


def test_a_person_is_one_voter_whatever_the_rubric(tmp_path: Path) -> None:
    responses = sets(tmp_path / "r.jsonl", ("a", "b"), 1)
    old, new = (Judge("human", "ann", None, digit * 64) for digit in "ab")
    rows = [judgment(0, 0, 1, old), {**judgment(0, 0, 1, new), "id": "again"}, judgment(0, 0, 2, BOB)]
    judgments = write(tmp_path / "j.jsonl", rows)
    assert dict(api.pair(responses, judgments).counts.dropped) == {"tie": 1}  # one against one
    found = api.agree(judgments)
    assert [(one.judge, one.judgments) for one in found.judges] == [("human:ann", 2), ("human:bob", 1)]
    assert found.between[0].couples == 1


def test_flags_of_people_as_annotate_exports_them(tmp_path: Path) -> None:
    """Ties, both good, both bad and "cannot judge" make no pair, each with its reason, and count in the report."""
    responses = sets(tmp_path / "r.jsonl", ("a", "b"), 5)
    shown = ("2", "1")
    said: list[tuple[tuple[tuple[str, ...], ...] | None, tuple[str, ...]]] = [
        ((("2",), ("1",)), ("harmful",)),
        ((("2", "1"),), ("both_good",)),
        ((("2", "1"),), ("both_bad", "refusal")),
        (None, ("abstain",)),
        ((("2", "1"),), ()),
    ]
    rows = [
        judgment_record(Judgment(f"h{n}", str(n), shown, ranking, ANN, flags, order=1, metadata={"milliseconds": 900}))
        for n, (ranking, flags) in enumerate(said)
    ]
    judgments = write(tmp_path / "j.jsonl", rows)
    made = api.pair(responses, judgments)
    assert [pair.metadata["chosen_response_id"] for pair in made.pairs] == ["2"]
    assert dict(made.counts.dropped) == {"tie": 2, "both-bad": 1, "abstained": 1}
    (report,) = api.agree(judgments, responses=responses).judges
    assert (report.ties.count, report.both_bad.count, report.abstained.count) == (2, 1, 1)
    assert (report.first_shown.count, report.longer.count if report.longer else None) == (1, 1)
