"""Truncation by a named policy, each outcome counted, never two identical sides."""

from __future__ import annotations

from typing import Any

import pytest

from prefdata.rendering import Limits, RenderedPair, RenderedSide, Renderer, RenderReport


def side(*ids: int, trained: int | None = None) -> RenderedSide:
    count = len(ids) if trained is None else trained
    return RenderedSide(ids, (0,) * len(ids), tuple(at >= len(ids) - count for at in range(len(ids))))


def pair(prompt: int, chosen: RenderedSide, rejected: RenderedSide) -> RenderedPair:
    return RenderedPair("p", tuple(range(100, 100 + prompt)), chosen, rejected)


LONG = side(1, 2, 3, 4, 9)
SHORT = side(5, 9)


@pytest.mark.parametrize(
    ("limits", "prompt", "reason"),
    [
        (Limits(total=10), 6, "too-long"),
        (Limits(prompt=5), 6, "prompt-too-long"),
        (Limits(completion=4), 6, "completion-too-long"),
        (Limits(total=5, truncation="cut-prompt"), 6, "completion-too-long"),
        (Limits(completion=4, truncation="cut-prompt"), 6, "completion-too-long"),
        (Limits(total=6, truncation="cut-completion"), 6, "prompt-too-long"),
        (Limits(prompt=5, truncation="cut-completion"), 6, "prompt-too-long"),
    ],
)
def test_what_is_too_long_is_dropped_with_its_reason(limits: Limits, prompt: int, reason: str) -> None:
    assert limits.apply(pair(prompt, LONG, SHORT), None) == (None, reason)


def test_within_the_limits_nothing_changes() -> None:
    whole = pair(6, LONG, SHORT)
    assert Limits(total=11, prompt=6, completion=5).apply(whole, None) == (whole, None)


@pytest.mark.parametrize(("bos", "expected"), [(None, (103, 104, 105)), (100, (100, 104, 105))])
def test_prompts_are_cut_from_the_left_and_keep_bos(bos: int | None, expected: tuple[int, ...]) -> None:
    cut, reason = Limits(total=8, truncation="cut-prompt").apply(pair(6, LONG, SHORT), bos)
    assert reason == "prompt-cut"
    assert cut is not None
    assert cut.prompt_ids == expected
    assert cut.chosen == LONG


def test_completions_are_cut_from_the_right() -> None:
    cut, reason = Limits(total=9, truncation="cut-completion").apply(pair(6, LONG, SHORT), None)
    assert reason == "completion-cut"
    assert cut is not None
    assert cut.chosen.ids == (1, 2, 3)
    assert cut.rejected == SHORT
    assert cut.length == 9


def test_a_cut_never_leaves_two_identical_sides() -> None:
    late = pair(3, side(1, 2, 3, 4), side(1, 2, 3, 5))
    assert Limits(completion=3, truncation="cut-completion").apply(late, None) == (None, "identical-after-cut")
    assert Limits(completion=4, truncation="cut-completion").apply(late, None) == (late, None)


def test_a_cut_never_leaves_a_side_without_a_trained_token() -> None:
    ends = pair(3, side(1, 2, 3, 4, trained=1), side(7, 8, 9, trained=1))
    assert Limits(completion=3, truncation="cut-completion").apply(ends, None) == (None, "nothing-trained-after-cut")


def test_sides_that_render_alike_or_have_no_assistant_turn_are_dropped() -> None:
    assert Limits().apply(pair(2, SHORT, SHORT), None) == (None, "identical-tokens")
    assert Limits().apply(pair(2, side(1, 2, trained=0), SHORT), None) == (None, "nothing-trained")


def test_every_pair_is_counted_once(tokenizer: Any, hotel: dict[str, Any]) -> None:
    def text(id: str, chosen: str, rejected: str) -> dict[str, Any]:
        return {"id": id, "prompt": "hello", "chosen": chosen, "rejected": rejected}

    rows = [
        text("kept", "yes", "no"),
        text("same", "yes", "yes<|im_end|>"),
        text("long", "yes " * 40, "no"),
        {**hotel, "id": "refused", "prompt": [{"role": "user", "content": "hi"}], "chosen": [], "rejected": []},
    ]
    renderer = Renderer(tokenizer, limits=Limits(total=32))
    report = RenderReport()
    kept = []
    rows[3]["chosen"], rows[3]["rejected"] = hotel["chosen"], hotel["chosen"]
    tokenizer_without = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|im_end|>")
    for which, some in ((renderer, rows[:3]), (Renderer(tokenizer_without), rows[3:])):
        kept += [rendered.id for rendered in which.pairs(some, report)]
    assert kept == ["kept"]
    assert report.dropped == {"identical-tokens": ["same"], "too-long": ["long"], "unrenderable": ["refused"]}
    assert report.seen == 4
    assert report.errors[0][0] == "refused"
    assert "no chat template" in report.errors[0][1]
    assert any("[too-long] (long)" in line for line in report.summary())
    assert report.trained_tokens == 2 * 2
    assert RenderReport.from_dict(report.as_dict()) == report
