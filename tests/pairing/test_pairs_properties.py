"""What holds of pairing whatever the judgments say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.pairing.pairs import STRATEGIES, PairingSettings, pairs_of
from prefdata.types import Judgment, PreferencePair, Prompt, Response, ResponseSet
from tests.pairing.nouns import LLM, OTHER, RULE, THIRD

FLAGS = ("unreadable", "call_failed", "abstain", "both_bad")


@st.composite
def judged_sets(draw: st.DrawFn) -> tuple[ResponseSet, list[Judgment]]:
    contents = draw(st.lists(st.sampled_from(["", "one", "two", "three", "four"]), max_size=5))
    responses = tuple(Response(f"r{n}", content) for n, content in enumerate(contents))
    ids = [response.id for response in responses]
    judgments = []
    for number in range(draw(st.integers(0, 8)) if ids else 0):
        shown = draw(st.permutations(ids).flatmap(lambda p: st.integers(1, len(p)).map(lambda n, p=p: p[:n])))
        tiers = draw(st.lists(st.integers(0, 2), min_size=len(shown), max_size=len(shown)))
        ranking = [tuple(i for i, t in zip(shown, tiers, strict=True) if t == tier) for tier in sorted(set(tiers))]
        flag = draw(st.sampled_from([None, None, None, *FLAGS]))
        scores = draw(st.just({}) | st.fixed_dictionaries({id: st.floats(0, 10) for id in shown}))
        judgments.append(
            Judgment(
                id=f"j{number}",
                response_set_id="set",
                shown=tuple(shown),
                ranking=None if flag in FLAGS[:3] else tuple(ranking),
                judge=draw(st.sampled_from([LLM, OTHER, THIRD, RULE])),
                flags=() if flag is None else (flag,),
                scores=scores,
            )
        )
    return ResponseSet("set", Prompt("p", "Q?"), responses), judgments


any_settings = st.builds(PairingSettings, st.sampled_from(STRATEGIES), st.sampled_from([0.0, 0.4]), st.integers(0, 3))
any_failures = st.sampled_from([(), ("timeout",)])


def told(pairs: list[PreferencePair]) -> set[Any]:
    return {(pair.chosen, pair.rejected, pair.margin, pair.judgment_ids, pair.id) for pair in pairs}


@given(judged_sets(), any_settings, any_failures)
def test_pairs_or_exactly_one_reason(
    judged: tuple[ResponseSet, list[Judgment]], how: PairingSettings, failures: tuple[str, ...]
) -> None:
    pairs, dropped = pairs_of(*judged, how, failures)
    assert bool(pairs) != bool(dropped)
    assert len(dropped) <= 1
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert len({frozenset((pair.chosen, pair.rejected)) for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.chosen != pair.rejected
        assert pair.margin is not None
        assert pair.margin >= how.min_margin
        assert pair.judgment_ids


@given(judged_sets(), any_settings, any_failures, st.randoms(use_true_random=False))
def test_order_of_judgments_does_not_matter(
    judged: tuple[ResponseSet, list[Judgment]], how: PairingSettings, failures: tuple[str, ...], random: Any
) -> None:
    response_set, judgments = judged
    shuffled = random.sample(judgments, len(judgments))
    assert pairs_of(response_set, shuffled, how, failures) == pairs_of(response_set, judgments, how, failures)


@given(judged_sets(), any_settings, any_failures)
def test_swapping_all_shown_orders_does_not_matter(
    judged: tuple[ResponseSet, list[Judgment]], how: PairingSettings, failures: tuple[str, ...]
) -> None:
    response_set, judgments = judged
    swapped = [dataclasses.replace(judgment, shown=judgment.shown[::-1]) for judgment in judgments]
    one, other = (pairs_of(response_set, each, how, failures) for each in (swapped, judgments))
    assert one[1] == other[1]
    for ours, theirs in zip(*(found for found, _ in (one, other)), strict=True):
        firsts = [pair.metadata.get("pairing", {}).get("chosen_shown_first", 0.5) for pair in (ours, theirs)]
        assert sum(firsts) == pytest.approx(1, abs=2e-4), "only what tells the order is turned round"
        assert without_order(ours) == without_order(theirs)


def without_order(pair: PreferencePair) -> PreferencePair:
    """The pair without the share of judgments that showed the chosen response first."""
    how = {key: value for key, value in pair.metadata.get("pairing", {}).items() if key != "chosen_shown_first"}
    rest = {key: value for key, value in pair.metadata.items() if key != "pairing"}
    return dataclasses.replace(pair, metadata={**rest, **({"pairing": how} if how else {})})


@given(judged_sets(), any_settings, st.randoms(use_true_random=False))
def test_permuting_responses_does_not_matter(
    judged: tuple[ResponseSet, list[Judgment]], how: PairingSettings, random: Any
) -> None:
    response_set, judgments = judged
    responses = tuple(random.sample(response_set.responses, len(response_set.responses)))
    permuted = dataclasses.replace(response_set, responses=responses)
    assert told(pairs_of(permuted, judgments, how)[0]) == told(pairs_of(response_set, judgments, how)[0])


@given(judged_sets(), any_settings)
def test_reversing_every_verdict_reverses_two_responses(
    judged: tuple[ResponseSet, list[Judgment]], how: PairingSettings
) -> None:
    response_set, judgments = judged
    response_set = dataclasses.replace(response_set, responses=response_set.responses[:2])
    if len(response_set.responses) < 2:
        return
    unscored = [dataclasses.replace(judgment, scores={}) for judgment in judgments]
    reverse = [
        dataclasses.replace(judgment, ranking=judgment.ranking[::-1] if judgment.ranking else None)
        for judgment in unscored
    ]
    forward = [(pair.chosen, pair.rejected) for pair in pairs_of(response_set, unscored, how)[0]]
    backward = [(pair.rejected, pair.chosen) for pair in pairs_of(response_set, reverse, how)[0]]
    assert forward == backward


@given(st.lists(st.sampled_from([LLM, OTHER, THIRD]), min_size=1, max_size=3, unique=True), any_settings)
@settings(max_examples=20)
def test_inconsistent_orders_never_make_a_pair(judges: list[Any], how: PairingSettings) -> None:
    response_set = ResponseSet("set", Prompt("p", "Q?"), (Response("a", "1"), Response("b", "2")))
    judgments = [
        Judgment(f"{judge.name}{first}", "set", (first, second), ((first,), (second,)), judge)
        for judge in judges
        for first, second in ("ab", "ba")
    ]
    pairs, dropped = pairs_of(response_set, judgments, how)
    assert not pairs
    assert [only.reason for only in dropped] == ["inconsistent-orders"]
