"""Judgments of one response set to pairs, or to the one reason why there is none."""

from __future__ import annotations

import dataclasses

import pytest

from prefdata.errors import UsageError
from prefdata.pairing.pairs import Dropped, PairingSettings, Strategy, dropped_record, pairs_of
from prefdata.types import Judgment, Message, PreferencePair, Prompt, Response, ResponseSet
from tests.pairing.nouns import LLM, OTHER, RULE, THIRD, both, judgment, response_set

DEFAULT = PairingSettings()
TWO = response_set("good", "bad")


def one_pair(set_: ResponseSet, judgments: list[Judgment], settings: PairingSettings = DEFAULT) -> PreferencePair:
    pairs, dropped = pairs_of(set_, judgments, settings)
    assert not dropped
    (pair,) = pairs
    return pair


def reason(set_: ResponseSet, judgments: list[Judgment], settings: PairingSettings = DEFAULT, **more: object) -> str:
    pairs, dropped = pairs_of(set_, judgments, settings, **more)  # type: ignore[arg-type]
    assert not pairs
    (only,) = dropped
    assert only.response_set_id == set_.id
    return only.reason


def choices(set_: ResponseSet, judgments: list[Judgment], strategy: Strategy, **settings: float) -> set[str]:
    pairs, _ = pairs_of(set_, judgments, PairingSettings(strategy, **settings))  # type: ignore[arg-type]
    return {f"{pair.metadata['chosen_response_id']}>{pair.metadata['rejected_response_id']}" for pair in pairs}


def test_both_orders_agree() -> None:
    judgments = both("a", "b")
    pair = one_pair(TWO, judgments)
    assert (pair.prompt, pair.chosen, pair.rejected, pair.margin) == ("Q?", "good", "bad", 1.0)
    assert pair.judgment_ids == tuple(sorted(judgment.id for judgment in judgments))
    assert pair.metadata == {
        "response_set_id": "set",
        "chosen_response_id": "a",
        "chosen_model": "m-a",
        "rejected_response_id": "b",
        "rejected_model": "m-b",
    }
    assert len(pair.id) == 32


def test_the_second_response_can_win() -> None:
    assert one_pair(TWO, both("b", "a")).chosen == "bad"


def test_one_order_alone_is_enough_where_only_one_was_asked() -> None:
    assert one_pair(TWO, [judgment("ab", "b>a")]).chosen == "bad"


@pytest.mark.parametrize(
    ("judgments", "expected"),
    [
        ([judgment("ab", "a>b"), judgment("ba", "b>a")], "inconsistent-orders"),
        ([judgment("ab", "a>b"), judgment("ba", "a=b")], "inconsistent-orders"),
        ([judgment("ab", "a=b"), judgment("ba", "a=b")], "tie"),
        ([judgment("ab", "a=b")], "tie"),
        ([judgment("ab", None), judgment("ba", None)], "unreadable-verdict"),
        ([judgment("ab", "a>b"), judgment("ba", None)], "unreadable-verdict"),
        ([judgment("ab", None), judgment("ba", "a=b")], "unreadable-verdict"),
        ([judgment("ab", "a>b"), judgment("ba", None, flags=("call_failed",))], "call-failed"),
        ([judgment("ab", None, flags=("abstain",))], "abstained"),
        ([judgment("ab", "a=b", flags=("both_bad",))], "both-bad"),
        ([judgment("ab", "a>b", flags=("both_bad",))], "both-bad"),
        ([judgment("ab", None, flags=("both-bad",))], "both-bad"),
        ([judgment("ab", "a=b", flags=("both_bad",)), judgment("ba", "a=b")], "tie"),
        ([], "no-judgment"),
    ],
)
def test_no_winner_is_never_a_pair(judgments: list[Judgment], expected: str) -> None:
    assert reason(TWO, judgments) == expected


def test_a_failed_call_leaves_no_pair_from_the_order_that_answered() -> None:
    assert reason(TWO, [judgment("ab", "a>b")], failures=["timeout"]) == "call-failed"
    assert reason(TWO, [], failures=["timeout"]) == "call-failed"
    pairs, _ = pairs_of(TWO, both("a", "b"), DEFAULT, ["timeout"])
    assert len(pairs) == 1  # the call that failed was another judge's
    pairs, _ = pairs_of(TWO, [judgment("ab", "a>b", RULE)], DEFAULT, ["timeout"])
    assert len(pairs) == 1  # a rule calls nothing


def test_the_reason_of_a_failed_call_is_told() -> None:
    _, (dropped,) = pairs_of(TWO, [], DEFAULT, ["timeout", "timeout", "HTTP 500"])
    assert dropped.detail == "HTTP 500; timeout"


def test_too_few_or_identical_responses() -> None:
    assert reason(response_set("only"), []) == "fewer-than-two-responses"
    assert reason(response_set(), []) == "fewer-than-two-responses"
    assert reason(response_set("same", "same"), both("a", "b")) == "identical-responses"
    text_and_message = response_set("same", (Message("assistant", "same"),))
    assert reason(text_and_message, both("a", "b")) == "identical-responses"


def test_equal_arguments_in_another_notation_are_identical() -> None:
    def call(value: float) -> tuple[Message, ...]:
        return (
            Message("assistant", None, ({"type": "function", "function": {"name": "f", "arguments": {"x": value}}},)),
        )

    assert reason(response_set(call(1), call(1.0)), both("a", "b")) == "identical-responses"


def test_verdicts_on_copies_of_a_response_add_up() -> None:
    copies = response_set("good", "bad", "good")
    assert choices(copies, [*both("a", "b"), *both("c", "b")], "all") == {"a>b"}
    assert reason(copies, [*both("a", "b"), *both("b", "c")]) == "tie"


def test_a_jury_decides_by_majority() -> None:
    agree = [*both("a", "b", LLM), *both("a", "b", OTHER), *both("b", "a", THIRD)]
    pair = one_pair(TWO, agree)
    assert pair.chosen == "good"
    assert pair.margin == pytest.approx(1 / 3)
    assert reason(TWO, [*both("a", "b", LLM), *both("b", "a", OTHER)]) == "tie"
    undecided = [judgment("ab", "a=b", OTHER), judgment("ab", "a=b", THIRD)]
    assert reason(TWO, [*both("a", "b", LLM), *undecided]) == "tie"


def test_a_judge_without_a_verdict_does_not_stop_the_others() -> None:
    assert one_pair(TWO, [*both("a", "b"), judgment("ab", None, OTHER)]).chosen == "good"
    inconsistent = [judgment("ab", "a>b", OTHER), judgment("ba", "b>a", OTHER)]
    assert reason(TWO, [*both("a", "b"), *inconsistent]) == "inconsistent-orders"  # 1 of 2 is no majority


def test_the_judge_is_its_name_version_and_template() -> None:
    old, new = dataclasses.replace(LLM, version="1"), dataclasses.replace(LLM, version="2")
    assert reason(TWO, [judgment("ab", "a>b", old), judgment("ba", "b>a", new)]) == "tie"


def test_repeated_samples_of_one_order_vote_first() -> None:
    samples = [judgment("ab", verdict, id=f"{n}") for n, verdict in enumerate(["a>b", "a>b", "b>a"])]
    assert one_pair(TWO, [*samples, judgment("ba", "a>b")]).chosen == "good"
    assert reason(TWO, [judgment("ab", "a>b", id="1"), judgment("ab", "b>a", id="2")]) == "tie"


def test_the_same_judgment_twice_counts_once() -> None:
    repeated = judgment("ab", "a>b")
    assert one_pair(TWO, [repeated, repeated, judgment("ba", "a>b")]).judgment_ids == tuple(
        sorted({repeated.id, judgment("ba", "a>b").id})
    )


def test_rankings_over_many_and_the_strategies() -> None:
    four = response_set("1", "2", "3", "4")
    ranking = [judgment("abcd", "b>a=d>c", THIRD)]
    assert choices(four, ranking, "best-worst") == {"b>c"}
    assert choices(four, ranking, "adjacent") == {"b>a", "b>d", "a>c", "d>c"}
    assert choices(four, ranking, "all") == {"b>a", "b>d", "b>c", "a>c", "d>c"}
    drawn = {frozenset(choices(four, ranking, "best-random", seed=seed)) for seed in range(40)}
    assert drawn == {frozenset({"b>a"}), frozenset({"b>d"}), frozenset({"b>c"})}


def test_margin_is_the_difference_of_win_rates_or_of_scores() -> None:
    three = response_set("1", "2", "3")
    assert one_pair(three, [judgment("abc", "a>b>c", RULE)]).margin == 1.0
    pairs, _ = pairs_of(three, [judgment("abc", "a>b>c", RULE)], PairingSettings("adjacent"))
    assert [pair.margin for pair in pairs] == [0.5, 0.5]
    scored = [judgment("ab", "a>b", scores={"a": 8, "b": 5}), judgment("ba", "a>b", scores={"a": 9, "b": 5})]
    assert one_pair(TWO, scored).margin == 3.5


def test_margins_below_the_minimum() -> None:
    scored = [judgment("ab", "a>b", scores={"a": 8, "b": 7.5})]
    assert one_pair(TWO, scored, PairingSettings(min_margin=0.5)).margin == 0.5
    assert reason(TWO, scored, PairingSettings(min_margin=0.6)) == "margin-below-minimum"
    against = [judgment("ab", "a>b", scores={"a": 3, "b": 7})]
    assert reason(TWO, against) == "margin-below-minimum"


def test_a_direct_comparison_must_confirm_the_tiers() -> None:
    three = response_set("1", "2", "3")
    cycle = [*both("a", "b"), *both("b", "c"), *both("c", "a")]
    assert reason(three, cycle, PairingSettings("all")) == "tie"
    tied_ends = [*both("a", "b"), *both("b", "c"), judgment("ac", "a=c")]
    assert reason(three, tied_ends) == "tie"
    assert choices(three, tied_ends, "all") == {"a>b", "b>c"}
    never_compared = [*both("a", "b"), *both("b", "c")]
    assert reason(three, never_compared) == "no-judgment"
    upset = response_set("1", "2", "3", "4", "5")
    beaten_once = [judgment("abcde", "a>b>c>d>e", THIRD), *both("e", "a", RULE), *both("e", "a", OTHER)]
    assert "e>a" not in choices(upset, beaten_once, "all")
    assert "a>e" not in choices(upset, beaten_once, "all")


def test_one_of_several_best_is_taken_by_margin_then_by_seed() -> None:
    three = response_set("1", "2", "3")
    level = [judgment("abc", "a=b>c", THIRD)]
    assert {frozenset(choices(three, level, "best-worst", seed=seed)) for seed in range(20)} == {
        frozenset({"a>c"}),
        frozenset({"b>c"}),
    }
    scored = [judgment("abc", "a=b>c", THIRD, scores={"a": 2, "b": 3, "c": 0})]
    assert {frozenset(choices(three, scored, "best-worst", seed=seed)) for seed in range(20)} == {frozenset({"b>c"})}


def test_form_follows_the_prompt_and_the_responses() -> None:
    chat = (Message("system", "s"), Message("user", "q"))
    pair = one_pair(response_set("good", "bad", prompt=chat), both("a", "b"))
    assert pair.prompt == chat
    assert pair.chosen == (Message("assistant", "good"),)
    mixed = one_pair(response_set("good", (Message("assistant", "bad"),)), both("a", "b"))
    assert mixed.prompt == (Message("user", "Q?"),)
    assert mixed.chosen == (Message("assistant", "good"),)


def test_tools_and_metadata_of_the_prompt_go_along() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    prompt = Prompt("p", "Q?", tools=(tool,), metadata={"category": "maths"})
    pair = one_pair(ResponseSet("set", prompt, (Response("a", "good"), Response("b", "bad"))), both("a", "b"))
    assert pair.tools == (tool,)
    assert pair.metadata["prompt_metadata"] == {"category": "maths"}
    assert "chosen_model" not in pair.metadata


def test_dropped_says_what_it_saw() -> None:
    judgments = [judgment("ab", "a>b"), judgment("ba", "b>a")]
    _, (dropped,) = pairs_of(TWO, judgments, DEFAULT)
    assert dropped_record(dropped) == {
        "response_set_id": "set",
        "reason": "inconsistent-orders",
        "response_ids": ["a", "b"],
        "judgment_ids": sorted(judgment.id for judgment in judgments),
    }
    assert dropped_record(Dropped("s", "tie", "why")) == {"response_set_id": "s", "reason": "tie", "detail": "why"}


def test_settings_and_judgments_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="no strategy 'best'"):
        PairingSettings("best")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="finite"):
        PairingSettings(min_margin=float("nan"))
    with pytest.raises(ValueError, match="is of response set other"):
        pairs_of(TWO, [dataclasses.replace(judgment("ab", "a>b"), response_set_id="other")], DEFAULT)
