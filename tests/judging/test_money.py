"""Money: what a run would take, a cap that is never passed, and what was paid, reused and saved."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.here import Finished, run_here
from tests.judging.sets import judging, longer, read, row, said, shown, write
from tests.servers import Reply, Request, Server, completion, failure, last_words

PRICES = "m: {input: 1000, output: 10000}\n"
"""A call that the server counts as 10 + 2 tokens costs 3 cents."""


def command(folder: Path, url: str, *more: str | Path) -> list[str | Path]:
    (folder / "prices.yaml").write_text(PRICES)
    given = ["--judge", f"llm:m@{url}", "--prices", folder / "prices.yaml", "--retries", "0"]
    return ["judge", folder / "r.jsonl", "-o", folder / "p.jsonl", *given, *more]


def estimate(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    done = run_here(capfd, *arguments, "--dry-run", "--format", "json")
    assert done.code == 0
    document = json.loads(done.out)
    assert isinstance(document, dict)
    return document


def counted(document: dict[str, object]) -> list[tuple[int, int, int]]:
    endpoints = document["endpoints"]
    assert isinstance(endpoints, list)
    return [(each["calls"], each["reused"], each["to_make"]) for each in endpoints]


@pytest.mark.parametrize(
    ("flags", "calls"),
    [
        ([], 2 * 6),
        (["--orders", "one"], 6),
        (["--samples", "3"], 3 * 2 * 6),
        (["--orders", "adaptive", "--samples", "3"], 3 * 2 * 6),
        (["--template", "listwise"], 2 * 2),
        (["--template", "pointwise"], 3 * 3 * 2),
        (["--template", "rules-metrics-reference"], 2 * 6 + 2 * 2),
    ],
)
def test_a_dry_run_counts_every_call_and_makes_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], flags: list[str], calls: int
) -> None:
    write(tmp_path / "r.jsonl", [row("s", "a", "bb", "ccc"), row("t", "d", "ee", "fff"), row("copies", "x", "x")])
    with Server(judging(longer)) as server:
        document = estimate(capfd, *command(tmp_path, server.url, *flags))
        assert counted(document) == [(calls, 0, calls)]
        assert server.count == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prices.yaml", "r.jsonl"]


def test_the_estimate_is_what_the_run_then_takes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{n}", "a", "bb") for n in range(20)])
    with Server(judging(longer)) as one, Server(judging(longer)) as two:
        line = [*command(tmp_path, one.url), "--judge", f"llm:two=other@{two.url}"]
        assert counted(estimate(capfd, *line)) == [(40, 0, 40), (40, 0, 40)]
        done = run_here(capfd, *line, "--limit", "10")
        assert (one.count, two.count) == (20, 20)
        assert "money: $0.6000 paid, $0.0000 saved" in done.err
        later = estimate(capfd, *line)
        assert counted(later) == [(40, 20, 20), (40, 20, 20)]
        (first, second) = later["endpoints"]  # type: ignore[misc]
        assert first["completion_tokens"] == 40, "the answers in the ledger say how long answers are"
        assert first["retries"] == 0
        tokens = first["prompt_tokens"]
        assert first["dollars"] == pytest.approx(tokens * 0.001 + 40 * 0.01)
        assert first["most_dollars"] > first["dollars"]
        assert second["dollars"] == 0, "a server on this machine costs nothing"
        text = run_here(capfd, *line, "--dry-run").out
        assert "40 calls, 20 in the ledger (reused), 20 to make, and about 0 retries" in text
        done = run_here(capfd, *line, "--overwrite", "--format", "json")
    calls = json.loads(done.out)["calls"]
    assert (calls["made"], calls["reused"]) == (40, 40)
    assert (calls["paid"], calls["saved"]) == (pytest.approx(0.6), pytest.approx(0.6))


def test_a_cap_is_never_passed_and_a_higher_one_continues(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{n}", "a", "bb") for n in range(30)])
    short = tmp_path / "short.yaml"
    short.write_text(
        'name: short\ndraw: suffix\nuser: "<request {{nonce}}>\\n<response {{label_a}}>\\n{{response_a}}\\n'
        '</response {{label_a}}>\\n<response {{label_b}}>\\n{{response_b}}\\n</response {{label_b}}> {{prompt}} "\n'
        "labels: {a: A, b: B, tie: C}\nparameters: {max_tokens: 2}\n"
        "verdict: {kind: regex, pattern: '\\[\\[({{label_a}}|{{label_b}}|{{label_tie}})\\]\\]'}\n"
    )

    def answer(request: Request, count: int) -> Reply:
        reply = judging(longer)(request, count)
        return Reply(reply.body, delay=0.01)

    with Server(answer) as server:
        line = command(tmp_path, server.url, "--template", short, "--max-cost")
        done = run_here(capfd, *line, "0.9")
        assert done.code == 3
        error = [text for text in done.err.splitlines() if text.startswith("error: ")]
        assert error[0].startswith("error: the run stopped at --max-cost 0.9: $0.")
        assert "raise --max-cost" in done.err
        assert not (tmp_path / "p.jsonl").exists()
        paid = float(re.findall(r"\$([\d.]+) is paid", done.err)[0])
        first = server.count
        assert paid == pytest.approx(first * 0.03)
        assert 0.6 < paid <= 0.9
        again = run_here(capfd, *line, "0.9")
        assert (again.code, server.count) == (3, first), "the money of earlier runs counts"
        done = run_here(capfd, *line, "5", "--format", "json")
        assert (done.code, server.count) == (0, 60)
        assert json.loads(done.out)["calls"]["saved"] == pytest.approx(paid)
    assert len(read(tmp_path / "p.jsonl")) == 30


def test_a_cap_needs_a_price(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "r.jsonl", [row("s", "a", "bb")])
    judge = ["--judge", "llm:m@http://192.0.2.1/v1", "--max-cost", "1"]
    done = run_here(capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", *judge)
    assert done.code == 2
    assert "the price of m at http://192.0.2.1/v1 is not known" in done.err
    done = run_here(capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", *judge, "--dry-run")
    assert (done.code, "the price of m is not known" in done.out) == (0, True)


def test_collect_counts_and_caps_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "prompts.jsonl", [{"id": str(n), "prompt": f"question {n}"} for n in range(10)])
    (tmp_path / "prices.yaml").write_text(PRICES)

    def answer(request: Request, count: int) -> Reply:
        return failure(400) if last_words(request) == "question 3" else completion("x", "y")

    with Server(answer) as server:
        line: list[str | Path] = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "2"]
        line += ["--model", f"m@{server.url}", "--max-tokens", "2", "--prices", tmp_path / "prices.yaml"]
        assert counted(estimate(capfd, *line)) == [(10, 0, 10)]
        stopped: Finished = run_here(capfd, *line, "--max-cost", "0.1", "--concurrency", "1")
        assert (stopped.code, "--max-cost 0.1" in stopped.err) == (3, True)
        assert 0 < server.count < 3
        done = run_here(capfd, *line)
        assert done.code == 1
        assert "saved by reuse" in done.err
        after = estimate(capfd, *line)
        assert counted(after) == [(11, 9, 0)], "the one that failed was asked for one by one"


def test_a_judge_in_a_jury_of_rules_needs_no_money(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "r.jsonl", [row("s", "a", "bb")])
    rule = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", "rule:length:2-"]
    done = run_here(capfd, *rule, "--dry-run")
    assert (done.code, done.out) == (0, "no call is needed\n")


def test_verdicts_are_said_in_drawn_labels() -> None:
    """The helper that all these tests rest on."""
    request = {"messages": [{"content": "<request bcdfgh>\n<response A-bcdfgh>\nx\n</response A-bcdfgh>\n"
                                        "<response B-bcdfgh>\nyy\n</response B-bcdfgh>"}]}  # fmt: skip
    assert (shown(request), said(request, "C")) == (("x", "yy"), "[[C-bcdfgh]]")
