"""``prefdata explain`` of a pair: who judged it, how, and at what cost; from a file of pairs and from a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import prefdata
from prefdata.judging.tally import JudgeResult
from tests.here import run_here
from tests.judging.sets import judging, longer, read, row, write
from tests.servers import Server

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pairs of a priced judge and of a rule, in one order drawn by a seed."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r.jsonl", [row("s0", "short", "a longer one"), row("s1", "tiny", "much longer")])
    (tmp_path / "prices.yaml").write_text("m: {input: 2000, output: 10000}\n")
    with Server(judging(longer)) as server:
        result = prefdata.judge(
            "r.jsonl", "p.jsonl", judge=[f"llm:m@{server.url}", "rule:length:6-"], orders="one", seed=7,
            prices="prices.yaml",
        )  # fmt: skip
    assert isinstance(result, JudgeResult)
    assert result.tally.pairs == 2
    return tmp_path


def test_a_pair_is_told_with_its_judgments_votes_and_cost(judged: Path, capfd: Capture) -> None:
    pair = read(judged / "p.jsonl")[1]
    told = run_here(capfd, "explain", "p.jsonl", pair["id"][:8])
    assert told.code == 0
    by_model = next(each for each in read(judged / "p.judgments.jsonl") if each["id"] in pair["judgment_ids"])
    for part in (
        f"id         {pair['id']}",
        "came from  p.jsonl:2",
        "judge      llm:m",
        f"template   sha256 {by_model['judge']['template_sha256']}",
        f"(order {by_model['order']})",
        "verdict    r1 (chosen) > r0 (rejected)",
        "seed       7",
        "orders     one",
        "raw:\n  I think so. [[",
        "llm:m: chosen (1 order seen)",
        "rule:length:6-: chosen",
        "agreement: 2 of 2 judges for chosen",
        "cost: 12 tokens, $0.040000",
    ):
        assert part in told.out, part
    document = json.loads(run_here(capfd, "explain", "p.jsonl", pair["id"], "--format", "json").out)
    assert document["provenance"]["dollars"] == pytest.approx(0.04)
    assert [vote["side"] for vote in document["provenance"]["votes"]] == ["chosen", "chosen"]


def test_a_row_of_a_dataset_is_told_the_same_way(judged: Path, capfd: Capture) -> None:
    prefdata.validate("p.jsonl", output="dataset")
    pair = read(judged / "p.jsonl")[0]
    told = run_here(capfd, "explain", "dataset", pair["id"])
    assert told.code == 0
    for part in ("p.jsonl:1 (byte 0)", "judge      llm:m", "agreement: 2 of 2 judges for chosen", "$0.04"):
        assert part in told.out, part
    (judged / "p.judgments.jsonl").rename(judged / "moved.jsonl")
    told = run_here(capfd, "explain", "dataset", pair["id"])
    assert (
        told.code,
        "behind it: p.judgments.jsonl is not there: name the judgments with --judgments" in told.out,
    ) == (
        0,
        True,
    )
    told = run_here(capfd, "explain", "dataset", pair["id"], "--judgments", "moved.jsonl")
    assert "agreement: 2 of 2" in told.out
    write(judged / "moved.jsonl", read(judged / "moved.jsonl")[1:])
    told = run_here(capfd, "explain", "dataset", pair["id"], "--judgments", "moved.jsonl")
    assert "behind it: 1 of its 2 judgments are not in moved.jsonl" in told.out


def test_pairs_that_are_not_there_are_said(judged: Path, capfd: Capture) -> None:
    for arguments, says in (
        (("p.jsonl", "none"), "holds no pair with the id 'none'"),
        (("r.jsonl", "none"), "holds no pair"),
    ):
        done = run_here(capfd, "explain", *arguments)
        assert (done.code, says in done.err) == (2, True)
    write(judged / "plain.jsonl", [{"id": "abcd1", "prompt": "p", "chosen": "a", "rejected": "b"}])
    done = run_here(capfd, "explain", "plain.jsonl", "abcd")
    assert (done.code, "behind it: the pair names no judgment" in done.out) == (0, True)
