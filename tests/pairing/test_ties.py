"""What becomes of two responses without a winner, and of those whose lengths differ much."""

from __future__ import annotations

from pathlib import Path

import pytest

import prefdata
from prefdata.errors import UsageError
from prefdata.pairing.pairs import PairingSettings, Strategy, pairs_of
from prefdata.records.codec import judgment_record, response_set_record
from prefdata.types import Judge, Judgment, Prompt, Response, ResponseSet
from tests.judging.sets import write


def _comparing(*sayings: tuple[str, str | None, float | None]) -> list[Judgment]:
    """Judgments by one judge, in both orders: (first shown, winner or None, P(first))."""
    made = []
    for number, (first, winner, chance) in enumerate(sayings):
        second = "b" if first == "a" else "a"
        loser = "b" if winner == "a" else "a"
        ranking = ((winner,), (loser,)) if winner else ((first, second),)
        made.append(
            Judgment(
                f"j{number}", "s", (first, second), ranking, Judge("llm", "m"), probability=chance, order=number % 2
            )
        )
    return made


TWO = ResponseSet("s", Prompt("p", "prompt"), (Response("a", "one" * 4), Response("b", "two" * 9)))


def test_a_tie_becomes_nothing_a_record_or_a_soft_pair_as_the_policy_says() -> None:
    both_tie = _comparing(("a", None, 0.5), ("b", None, 0.5))
    pairs, (drop,) = pairs_of(TWO, both_tie, PairingSettings())
    assert (pairs, drop.reason) == ([], "tie")
    kept = {}
    for seed in range(12):
        ((pair,), drops) = pairs_of(TWO, both_tie, PairingSettings(tie="keep", seed=seed, min_margin=0.5))
        assert drops == []
        assert (pair.margin, pair.probability, pair.metadata["tie"]) == (0.0, 0.5, "tie")
        assert pair.chosen != pair.rejected
        kept[seed] = pair.chosen
    assert len(set(kept.values())) == 2, "the seed draws which stands as chosen"
    ((pair,), _) = pairs_of(TWO, both_tie, PairingSettings(tie="keep", seed=3))
    assert pair.chosen == kept[3]


def test_soft_pairs_bear_the_judges_probability_and_contradicting_orders_lean_one_way() -> None:
    leaning = _comparing(("a", "a", 0.9), ("b", "b", 0.6))  # P(a) is 0.9 and 0.4
    _, (drop,) = pairs_of(TWO, leaning, PairingSettings())
    assert drop.reason == "inconsistent-orders"
    ((pair,), _) = pairs_of(TWO, leaning, PairingSettings(tie="soft"))
    assert (pair.metadata["chosen_response_id"], pair.metadata["tie"]) == ("a", "inconsistent-orders")
    assert (pair.probability, pair.margin) == (pytest.approx(0.65), pytest.approx(0.3))
    _, (drop,) = pairs_of(TWO, leaning, PairingSettings(tie="soft", min_margin=0.5))
    assert (drop.reason, drop.detail) == ("margin-below-minimum", "0.3 is less than 0.5")
    clear = _comparing(("a", "a", 0.9), ("b", "a", 0.2))
    ((pair,), _) = pairs_of(TWO, clear, PairingSettings(tie="soft"))
    assert (pair.probability, "tie" in pair.metadata) == (pytest.approx(0.85), False)
    ((pair,), _) = pairs_of(TWO, clear, PairingSettings(tie="keep"))
    assert pair.probability is None, "a decided pair stays as it is"


@pytest.mark.parametrize("tie", ["keep", "soft"])
def test_what_no_judge_could_say_is_dropped_under_every_tie_policy(tie: str) -> None:
    settings = PairingSettings(tie=tie)  # type: ignore[arg-type]
    unreadable = [Judgment("j", "s", ("a", "b"), None, Judge("llm", "m"), flags=("unreadable",), order=0)]
    assert [drop.reason for drop in pairs_of(TWO, unreadable, settings)[1]] == ["unreadable-verdict"]
    same = ResponseSet("s", Prompt("p", "prompt"), (Response("a", "x"), Response("b", "x")))
    assert [drop.reason for drop in pairs_of(same, _comparing(("a", None, None)), settings)[1]] == [
        "identical-responses"
    ]


@pytest.mark.parametrize(("strategy", "pairs", "ties"), [("best-worst", 1, 0), ("all", 3, 1), ("adjacent", 3, 1)])
def test_ties_stand_beside_winners_only_where_the_strategy_takes_more_than_one(
    strategy: Strategy, pairs: int, ties: int
) -> None:
    responses = tuple(Response(id, id * 3) for id in "abc")
    ranking = Judgment("j", "s", ("a", "b", "c"), (("a", "b"), ("c",)), Judge("rule", "r"))
    settings = PairingSettings(strategy=strategy, tie="keep")
    made, _ = pairs_of(ResponseSet("s", Prompt("p", "x"), responses), [ranking], settings)
    assert len({frozenset((pair.chosen, pair.rejected)) for pair in made}) == pairs
    assert sum("tie" in pair.metadata for pair in made) == ties


def test_pairs_of_matched_length_take_the_widest_margin_among_those_that_match() -> None:
    texts = {"a": "x" * 100, "b": "y" * 90, "c": "z" * 60, "d": "w" * 10}
    found = ResponseSet("s", Prompt("p", "x"), tuple(Response(id, text) for id, text in texts.items()))
    scores = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    ranking = Judgment("j", "s", tuple(texts), tuple((id,) for id in texts), Judge("rule", "r"), scores=scores)

    def ids(**options: object) -> list[str]:
        pairs, _ = pairs_of(found, [ranking], PairingSettings(**options))  # type: ignore[arg-type]
        return [pair.metadata["chosen_response_id"] + pair.metadata["rejected_response_id"] for pair in pairs]

    assert ids() == ["ad"]
    assert ids(length_matched=2.0) == ["ac"]
    assert ids(length_matched=1.2) == ["ab"]
    assert ids(length_matched=1.6, strategy="all") == ["ab", "bc"]
    _, (drop,) = pairs_of(found, [ranking], PairingSettings(length_matched=1.1))
    assert (drop.reason, drop.detail) == ("lengths-differ", "1.11 times as long is more than 1.1")
    with pytest.raises(UsageError, match=r"within 0\.5"):
        PairingSettings(length_matched=0.5)
    with pytest.raises(UsageError, match="no tie policy"):
        PairingSettings(tie="toss")  # type: ignore[arg-type]


def test_a_tie_record_is_named_by_validate_and_keeps_its_probability(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [response_set_record(TWO)])
    write(tmp_path / "j.jsonl", [judgment_record(each) for each in _comparing(("a", None, None), ("b", None, None))])
    prefdata.pair(tmp_path / "r.jsonl", tmp_path / "j.jsonl", output=tmp_path / "p.jsonl", tie="keep")
    result = prefdata.validate(tmp_path / "p.jsonl", output=tmp_path / "dataset")
    assert "PRF013" in {finding.code for finding in result.findings}
    (kept,) = prefdata.open_dataset(tmp_path / "dataset").rows()
    assert (kept["probability"], kept["margin"], kept["metadata"]["tie"]) == (0.5, 0.0, "tie")
