"""Rankings by Bradley-Terry with ties and by ranked pairs, and votes by weight."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefdata as api
from prefdata.errors import PrefdataError, UsageError
from prefdata.pairing.pairs import PairingSettings, pairs_of
from prefdata.pairing.ranking import RANKINGS, Ranking, ranked
from prefdata.pairing.votes import Comparison
from prefdata.pairing.weights import AgreementWeights
from prefdata.types import Judge, Judgment
from tests.here import run_here
from tests.pairing.nouns import LLM, OTHER, THIRD, both, judgment, response_set
from tests.pairing.published import judgment as record
from tests.pairing.published import write

ANN, BOB, CAT = (Judge("human", name) for name in ("ann", "bob", "cat"))


def compared(**votes: tuple[float, float, float]) -> dict[tuple[str, str], Comparison]:
    """``ab=(3, 1, 0)``: three for a, one for b, no tie."""
    made = {}
    for couple, (first, second, neither) in votes.items():
        a, b = couple
        total = first + second + neither
        winner = a if 2 * first > total else b if 2 * second > total else None
        made[a, b] = Comparison((a, b), winner, None, None, (first, second, neither), None, ())
    return made


# Tideman's textbook example: the cities of Tennessee, 100 voters.
TENNESSEE = compared(mn=(42, 58, 0), mc=(42, 58, 0), mk=(42, 58, 0), nc=(68, 32, 0), nk=(68, 32, 0), ck=(83, 17, 0))
CYCLE = compared(ab=(7, 2, 0), bc=(7, 2, 0), ac=(4, 5, 0))


def test_ranked_pairs_by_the_textbook() -> None:
    assert ranked("ranked-pairs", "mnck", TENNESSEE).tiers == [["n"], ["c"], ["k"], ["m"]]


def test_ranked_pairs_pass_over_the_narrowest_majority_of_a_cycle() -> None:
    assert ranked("ranked-pairs", "abc", CYCLE).tiers == [["a"], ["b"], ["c"]]
    assert ranked("majority", "abc", CYCLE).tiers == [["a", "b", "c"]]


def test_an_even_cycle_has_no_winner_whatever_the_names() -> None:
    for ids in itertools.permutations("abc"):
        even = compared(ab=(2, 1, 0), bc=(2, 1, 0), ac=(1, 2, 0))
        assert ranked("ranked-pairs", ids, even).tiers == [["a", "b", "c"]]


def test_bradley_terry_weighs_all_votes() -> None:
    found = ranked("bradley-terry", "abc", CYCLE)
    assert found.tiers == [["a"], ["b"], ["c"]]
    assert found.strengths is not None
    assert sum(found.strengths.values()) == pytest.approx(0)
    even = compared(ab=(2, 1, 0), bc=(2, 1, 0), ac=(1, 2, 0))
    assert ranked("bradley-terry", "abc", even).tiers == [["a", "b", "c"]]
    assert ranked("bradley-terry", "ab", compared(ab=(0, 0, 3))).tiers == [["a", "b"]]
    never_lost = ranked("bradley-terry", "ab", compared(ab=(3, 0, 0))).strengths
    assert never_lost is not None
    assert 0 < never_lost["a"] < 10


votes = st.tuples(*[st.integers(0, 4)] * 3)
tables = st.fixed_dictionaries(dict.fromkeys(("ab", "ac", "ad", "bc", "bd", "cd"), votes))


@given(tables, st.permutations("abcd"), st.sampled_from(RANKINGS))
@settings(max_examples=60)
def test_the_names_do_not_matter(table: dict[str, Any], order: list[str], method: Ranking) -> None:
    renamed = dict(zip("abcd", order, strict=True))
    other = {}
    for (a, b), (first, second, neither) in table.items():
        x, y = renamed[a], renamed[b]
        other[x + y if x < y else y + x] = (first, second, neither) if x < y else (second, first, neither)
    tiers = ranked(method, "abcd", compared(**table)).tiers
    assert ranked(method, "abcd", compared(**other)).tiers == [sorted(renamed[id] for id in tier) for tier in tiers]


@given(tables)
@settings(max_examples=60)
def test_ranked_pairs_put_a_condorcet_winner_first(table: dict[str, Any]) -> None:
    found = compared(**table)
    beaten = dict.fromkeys("abcd", 0)
    for comparison in found.values():
        first, second, _ = comparison.votes
        if first != second:
            beaten[comparison.ids[first > second]] += 1
            continue
        beaten[comparison.ids[0]] += 1
        beaten[comparison.ids[1]] += 1
    winners = [id for id, losses in beaten.items() if not losses]
    if winners:
        assert ranked("ranked-pairs", "abcd", found).tiers[0][0] == winners[0]


def judged(judge: Judge, *rankings: str) -> list[Judgment]:
    return [judgment(one.replace(">", ""), one, judge) for one in rankings]


def test_pairs_follow_the_ranking_and_name_it() -> None:
    three = response_set("one", "two", "three")
    judgments = [*judged(LLM, "a>b", "b>c", "c>a"), *judged(OTHER, "a>b", "b>c"), *judged(THIRD, "a>b")]
    assert pairs_of(three, judgments, PairingSettings("adjacent"))[0] == []
    pairs, _ = pairs_of(three, judgments, PairingSettings("adjacent", ranking="ranked-pairs"))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("one", "two"), ("two", "three")]
    assert pairs[0].metadata["pairing"] == {
        "ranking": "ranked-pairs",
        "weighted": False,
        "votes": {"chosen": 3, "rejected": 0, "neither": 0},
        "chosen_shown_first": 1.0,
    }
    by_strength, _ = pairs_of(three, judgments, PairingSettings("adjacent", ranking="bradley-terry"))
    assert [(pair.chosen, pair.rejected) for pair in by_strength] == [("one", "two"), ("two", "three")]
    assert (by_strength[0].margin or 0) > (by_strength[1].margin or 0) > 0
    with pytest.raises(UsageError, match="no ranking 'borda'"):
        PairingSettings(ranking="borda")  # type: ignore[arg-type]


def test_weights_decide_against_the_heads() -> None:
    two = response_set("good", "bad")
    judgments = [*both("a", "b", LLM), *both("b", "a", OTHER), *both("b", "a", THIRD)]
    (by_heads,), _ = pairs_of(two, judgments, PairingSettings())
    assert by_heads.chosen == "bad"
    weighted = PairingSettings(weights={"llm:gpt": 5.0, "llm:claude": 1.5})
    (pair,), _ = pairs_of(two, judgments, weighted)
    assert (pair.chosen, pair.margin) == ("good", pytest.approx(5 / 7.5 - 2.5 / 7.5))
    assert pair.metadata["pairing"]["votes"] == {"chosen": 5.0, "rejected": 2.5, "neither": 0.0}
    _, (nobody,) = pairs_of(
        two, judgments, PairingSettings(weights=dict.fromkeys(weighted.weights | {"human:ann": 0}, 0.0))
    )
    assert (nobody.reason, nobody.detail) == ("no-judgment", "every judge has weight 0")


def test_agreement_weights_by_hand() -> None:
    found = AgreementWeights()
    for number in range(10):  # ann and bob agree always; cat says the opposite in 8 of 10
        said = {ANN: 1, BOB: 1, CAT: 1 if number < 2 else 2}
        found.add(
            [
                Judgment(f"{judge.name}{number}", str(number), ("1", "2"), ((str(w),), (str(3 - w),)), judge)
                for judge, w in said.items()
            ]
        )
    weights = found.weights()
    # ann: the others split in 8 couples, which say nothing, and agree with ann in 2; cat: right in 2 of 10, so 0.
    assert weights["human:cat"] == 0
    assert weights["human:ann"] == weights["human:bob"] == pytest.approx(1.5)
    assert AgreementWeights().weights() == {}


def test_auto_weights_and_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    judgments, responses = [], []
    for number in range(12):
        outputs = [{"id": id, "response": f"answer {id}"} for id in "12"]
        responses.append({"id": str(number), "prompt": {"prompt": "Q"}, "responses": outputs})
        for judge, wrong in ((ANN, 12), (BOB, 11), (CAT, 0), (Judge("human", "dan"), 10)):
            judgments.append(record(number, 0, 2 if number >= wrong or judge is CAT else 1, judge))
    write(tmp_path / "j.jsonl", judgments)
    write(tmp_path / "r.jsonl", responses)
    result = api.pair(tmp_path / "r.jsonl", tmp_path / "j.jsonl", weights="auto")
    assert result.weights["human:cat"] == 0
    assert all(weight > 1 for name, weight in result.weights.items() if name != "human:cat")
    plain = api.pair(tmp_path / "r.jsonl", tmp_path / "j.jsonl")
    last = [next((p for p in found.pairs if p.metadata["response_set_id"] == "11"), None) for found in (plain, result)]
    assert last[0] is not None
    assert last[0].metadata["chosen_response_id"] == "2"
    (tmp_path / "w.yaml").write_text("human:cat: 0\nhuman:ann: 9\n")
    arguments = ["pair", tmp_path / "r.jsonl", tmp_path / "j.jsonl", "-o", tmp_path / "p.jsonl"]
    done = run_here(capfd, *arguments, "--weights", tmp_path / "w.yaml", "--ranking", "bradley-terry")
    assert done.code == 0, done.err
    assert "weight of human:ann" in done.err
    made = [orjson.loads(line) for line in (tmp_path / "p.jsonl").read_bytes().splitlines()]
    assert made[11]["metadata"]["chosen_response_id"] == "1"
    assert made[11]["metadata"]["pairing"]["votes"] == {"chosen": 9.0, "rejected": 2.0, "neither": 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("human:ann: -1", "the weight of human:ann is -1"),
        ("human:ann: much", "the weight of human:ann is 'much'"),
        ("ann: 1", "'ann' names no judge"),
        ("[1]", "must hold weights by judge"),
        ("a: [", "is not YAML"),
        (None, "No such file"),
    ],
)
def test_broken_weights_get_one_clear_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "w.yaml").write_text(text)
    write(tmp_path / "j.jsonl", [record(0, 0, 1, ANN)])
    with pytest.raises(PrefdataError) as caught:
        api.pair(tmp_path / "j.jsonl", tmp_path / "j.jsonl", weights=tmp_path / "w.yaml")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
