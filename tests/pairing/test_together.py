"""Agreement of all judges together, the models behind the responses, groups, and the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

import prefdata as api
from prefdata.errors import OutputExistsError
from prefdata.pairing.agreement import Agreement
from prefdata.records.codec import judgment_record
from prefdata.types import Judge, Judgment
from tests.here import run_here
from tests.pairing import published
from tests.pairing.published import judgment, write

ANN, BOB, GPT = Judge("human", "ann"), Judge("human", "bob"), Judge("llm", "gpt")


def ranked(set_: str, judge: Judge, *tiers: str, **more: Any) -> dict[str, Any]:
    shown = tuple(sorted("".join(tiers)))
    made = Judgment(f"{set_}{judge.name}{more}", set_, shown, tuple(map(tuple, tiers)), judge, order=0)
    return {**judgment_record(made), **more}


@pytest.mark.shared
def test_alpaca_eval_published_mean(shared_data: Path, tmp_path: Path) -> None:
    judgments, responses = published.alpaca_eval(shared_data, tmp_path)
    found = api.agree(judgments, responses=responses)
    best, gemma = found.models
    assert (best.model, gemma.model, gemma.votes) == ("gpt4_1106_preview", "gemma-7b-it", 200)
    assert round(gemma.probability.value or 0, 5) == 0.02811
    assert round(best.probability.value or 0, 5) == round(1 - 0.02811, 5)
    assert gemma.wins.count == sum(1 for one in read(judgments) if one["ranking"][0] == ["2"])
    assert {group.name for group in found.groups} == {"helpful_base", "koala"}
    assert sum(group.agreement.models[-1].votes for group in found.groups) == 200
    pairs = api.pair(responses, judgments).pairs
    assert len(pairs) == 200
    assert sum(pair.metadata["chosen_model"] == "gemma-7b-it" for pair in pairs) == gemma.wins.count


def read(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.shared
def test_pandalm_alpha_is_near_its_kappas(shared_data: Path, tmp_path: Path) -> None:
    together = api.agree(published.pandalm(shared_data, tmp_path)).together
    assert together.units == 999
    assert together.alpha_nominal.value == pytest.approx((0.852 + 0.879 + 0.862) / 3, abs=0.002)
    assert (together.alpha_nominal.low or 0) < (together.alpha_nominal.value or 0) < (together.alpha_nominal.high or 0)


def test_unanimous_data_is_undefined_not_perfect(tmp_path: Path) -> None:
    rows = [judgment(n, 0, 1, judge) for n in range(5) for judge in (ANN, BOB)]
    together = api.agree(write(tmp_path / "j.jsonl", rows)).together
    assert (together.units, together.alpha_nominal.value, together.alpha_ordinal.value) == (5, None, None)


def test_rankings_in_concordance(tmp_path: Path) -> None:
    rows = [
        *(ranked("s", judge, "a", "b", "c") for judge in (ANN, BOB)),
        ranked("t", ANN, "a", "b", "c"),
        ranked("t", BOB, "c", "b", "a"),
        ranked("u", ANN, "a", "b", "c"),  # by one judge only
    ]
    together = api.agree(write(tmp_path / "j.jsonl", rows)).together
    assert (together.ranked_sets, together.kendall_w.value) == (2, 0.5)


def models(tmp_path: Path) -> Agreement:
    """strong beats middle in 8 of 10, middle beats weak in 8 of 10, strong ties with weak once."""
    responses, judgments = [], []
    games = [("strong", "middle", 8), ("middle", "weak", 8)]
    for a, b, won in games:
        for n in range(10):
            id = f"{a}-{n}"
            outputs = [{"id": "1", "response": "x", "model": a}, {"id": "2", "response": "y", "model": b}]
            responses.append({"id": id, "prompt": {"prompt": "Q"}, "responses": outputs})
            ranking = (("1",), ("2",)) if n < won else (("2",), ("1",))
            judgments.append(judgment_record(Judgment(f"j{id}", id, ("1", "2"), ranking, GPT, order=0)))
    outputs = [{"id": "1", "response": "x", "model": "strong"}, {"id": "2", "response": "y", "model": "weak"}]
    responses.append({"id": "tie", "prompt": {"prompt": "Q"}, "responses": outputs})
    judgments.append(judgment_record(Judgment("jt", "tie", ("1", "2"), (("1", "2"),), GPT, order=0)))
    return api.agree(write(tmp_path / "j.jsonl", judgments), responses=write(tmp_path / "r.jsonl", responses))


def test_models_by_strength(tmp_path: Path) -> None:
    agreement = models(tmp_path)
    found = agreement.models
    duels = {one.models: (one.won, one.tied, one.lost) for one in agreement.duels}
    assert duels == {("middle", "strong"): (2, 0, 8), ("middle", "weak"): (8, 0, 2), ("strong", "weak"): (0, 1, 0)}
    assert [round(one.share, 2) for one in agreement.duels] == [0.2, 0.8, 0.5]
    assert [one.model for one in found] == ["strong", "middle", "weak"]
    assert [(one.wins.count, one.ties.count, one.votes) for one in found] == [(8, 1, 11), (10, 0, 20), (2, 1, 11)]
    assert [one.probability.value for one in found] == [pytest.approx(8.5 / 11), 0.5, pytest.approx(2.5 / 11)]
    elos = [one.elo.value or 0 for one in found]
    assert sum(elos) / 3 == pytest.approx(1000)
    assert 150 < elos[0] - elos[1] < 240  # odds of 4 to 1 are 241 points; the tie draws the ends together
    assert all((one.elo.low or 0) < (one.elo.value or 0) < (one.elo.high or 0) for one in found)


def test_criteria_are_never_mixed(tmp_path: Path) -> None:
    rows = []
    for n in range(6):
        for judge in (ANN, BOB):
            rows.append({**judgment(n, 0, 1 + n % 2, judge), "criterion": "helpful", "id": f"h{judge.name}{n}"})
            rows.append({**judgment(n, 0, 2 - n % 2, judge), "criterion": "safe", "id": f"s{judge.name}{n}"})
    found = api.agree(write(tmp_path / "j.jsonl", rows))
    assert (found.together.units, found.together.alpha_nominal.value) == (12, 1.0)
    assert [(group.by, group.name, group.agreement.together.units) for group in found.groups] == [
        ("criterion", "helpful", 6),
        ("criterion", "safe", 6),
    ]
    gold = write(tmp_path / "g.jsonl", [judgment(n, 0, 1 + n % 2, Judge("human", "g")) for n in range(6)])
    helpful, safe = api.agree(tmp_path / "j.jsonl", gold).groups
    right = [group.agreement.judges[0].accuracy for group in (helpful, safe)]
    assert [one.order_0.count for one in right if one is not None] == [6, 0]


def test_page_is_self_contained_and_escaped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    models(tmp_path)
    rows = read(tmp_path / "r.jsonl")
    for n, row in enumerate(rows):
        row["prompt"]["metadata"] = {"source": ["<script>alert(1)</script>", "koala"][n % 2]}
    write(tmp_path / "r.jsonl", rows)
    out = tmp_path / "page.html"
    arguments = ["agree", tmp_path / "j.jsonl", "--responses", tmp_path / "r.jsonl", "--html", out]
    done = run_here(capfd, *arguments)
    assert done.code == 0, done.err
    assert "By source" in done.out
    assert "Elo" in done.out
    text = out.read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<svg") == text.count("</svg>") > 3
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://", text)
    assert "strong" in text
    assert 'title="8 won, 0 tied, 2 lost">80</td>' in text
    again = run_here(capfd, *arguments)
    assert (again.code, "is finished work" in again.err) == (2, True)
    with pytest.raises(OutputExistsError):
        api.agree(tmp_path / "j.jsonl", html=out)
