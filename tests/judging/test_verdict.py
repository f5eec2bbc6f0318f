"""Verdicts: only what the judge concluded counts, and what cannot be read is never taken for a verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest

from prefdata.endpoint.calls import Choice
from prefdata.judging.template import Template, checked, load_template
from prefdata.judging.verdict import read_verdict
from tests.servers import token

PAIRWISE, JSON, LOGPROB = (load_template(f"pairwise{kind}") for kind in ("", "-json", "-logprob"))


def choice(text: str, *, finish: str = "stop", refusal: str | None = None, logprobs: Any = ()) -> Choice:
    return Choice(text, refusal, finish, (), tuple(logprobs))


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("[[A]]", "a"),
        ("so\n[[B]]\n", "b"),
        ("[[C]]", "tie"),
        ("Response A says '[[A]]' itself, but B is right. [[B]]", "b"),
        ("[[B]] on second thoughts [[A]]", "a"),
        ("[[D]]", None),
        ("A", None),
        ("[[a]]", None),
        ("", None),
        ("[[A|B]]", None),
    ],
)
def test_the_last_match_alone_counts(text: str, side: str | None) -> None:
    verdict = read_verdict(choice(text), PAIRWISE)
    assert verdict.side == side
    assert ("unreadable" in verdict.flags) == (side is None)


def test_an_answer_cut_off_while_reasoning_has_no_verdict() -> None:
    cut = read_verdict(choice("Response A ends with [[A]], which", finish="length"), PAIRWISE)
    assert (cut.side, cut.flags) == (None, ("unreadable", "cut"))
    assert read_verdict(choice("B it is: [[B]].", finish="length"), PAIRWISE).side == "b"


def test_refusals_and_filtered_answers_are_no_verdict_whatever_they_hold() -> None:
    assert read_verdict(choice("[[A]]", refusal="I cannot."), PAIRWISE).flags == ("unreadable", "refusal")
    filtered = read_verdict(choice("[[A]]", finish="content_filter"), PAIRWISE)
    assert (filtered.side, filtered.flags) == (None, ("unreadable", "content_filter"))


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ('{"reason": "x", "better": "A"}', "a"),
        ('Sure!\n```json\n{"reason": "a {brace", "better": "B"}\n```', "b"),
        ('{"better": "A"} no: {"reason": "", "better": "tie"}', "tie"),
        ('{"better": "A"} no: {"better": 7}', None),
        ('{"reason": {"better": "A"}}', None),
        ('{"better": "A"', None),
        ("{" * 3000, None),
        ('{"a":' * 3000, None),
        ("[[A]]", None),
    ],
)
def test_json_is_found_where_servers_ignore_the_format(text: str, side: str | None) -> None:
    assert read_verdict(choice(text), JSON).side == side


def test_labels_may_be_words_and_case_may_be_ignored() -> None:
    template = checked(
        {
            "name": "t",
            "user": "{{response_a}}{{response_b}}",
            "labels": {"a": "Output (a)", "b": "Output (b)"},
            "verdict": {"kind": "regex", "pattern": "({{label_a}}|{{label_b}}) is better", "ignore_case": True},
        },
        "t",
    )
    assert read_verdict(choice("Output (a) is better. Or: output (B) is better."), template).side == "b"
    assert read_verdict(choice("Output a is better"), template).side is None


def logprob(text: str, **alternatives: float) -> Choice:
    return choice(text, logprobs=[token(text, **alternatives)], finish="length")


def test_the_probability_is_that_of_the_first_label_over_both() -> None:
    verdict = read_verdict(logprob("B", A=math.log(0.2), B=math.log(0.6), The=math.log(0.1)), LOGPROB)
    assert verdict.side == "b"
    assert verdict.probability == pytest.approx(0.25)
    spaced = choice("A", logprobs=[token(" A", **{" A": math.log(0.3), "A": math.log(0.3), "B": math.log(0.2)})])
    assert read_verdict(spaced, LOGPROB).probability == pytest.approx(0.75)
    assert read_verdict(logprob("A", A=-0.1), LOGPROB).probability == 1.0


def test_a_label_counts_where_another_token_was_chosen() -> None:
    verdict = read_verdict(logprob("The", The=-0.1, A=-3.0, B=-4.0), LOGPROB)
    assert verdict.side == "a"
    assert verdict.probability == pytest.approx(1 / (1 + math.exp(-1)))
    assert read_verdict(logprob("The", The=-0.1, It=-3.0), LOGPROB).flags == ("unreadable",)


def test_the_last_label_of_a_longer_answer_is_the_verdict() -> None:
    tokens = [token("A", A=-0.1, B=-3.0), token(" or"), token(" B", **{" B": -0.1, " A": -3.0}), token(".")]
    verdict = read_verdict(choice("A or B.", logprobs=tokens), LOGPROB)
    assert verdict.side == "b"


def test_near_even_odds_are_a_tie_where_the_template_says_so() -> None:
    def template(margin: float) -> Template:
        return checked({**LOGPROB.document, "verdict": {"kind": "logprobs", "tie_margin": margin}}, "t")

    answer = logprob("A", A=math.log(0.52), B=math.log(0.48))
    assert read_verdict(answer, template(0.1)).side == "tie"
    assert read_verdict(answer, template(0.01)).side == "a"
    assert read_verdict(logprob("A", A=-0.7, B=-0.7), LOGPROB).side == "tie"


def test_without_logprobs_a_text_that_is_a_label_is_a_verdict_without_a_probability() -> None:
    verdict = read_verdict(choice(" B\n"), LOGPROB)
    assert (verdict.side, verdict.probability) == ("b", None)
    assert read_verdict(choice("B is better"), LOGPROB).flags == ("unreadable", "no_logprobs")
