"""Templates at work: each way of reading a verdict against a server, and against servers that lack what it reads."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from prefdata.errors import UsageError
from tests.here import run_here
from tests.judging.sets import SETS, judged, judging, longer, names, read, reasons, row, said, shown, write
from tests.servers import Reply, Request, Server, completion, failure, last_words, token


def test_stored_answers_are_read_again_with_another_pattern_and_without_a_call(tmp_path: Path) -> None:
    template = tmp_path / "mine.yaml"
    text = """\
name: mine
user: "{{prompt}} <response A>\\n{{response_a}}\\n</response A> <response B>\\n{{response_b}}\\n</response B>"
labels: {a: A, b: B, tie: C}
verdict: {kind: regex, pattern: 'PATTERN'}
"""
    template.write_text(text.replace("PATTERN", "verdict: (A|B|C)"))
    write(tmp_path / "r.jsonl", SETS)
    with Server(judging(longer)) as server:
        result = judged(tmp_path, server, template=str(template))
        assert (result.tally.pairs, result.tally.unreadable) == (0, 4)
        template.write_text(text.replace("PATTERN", r"\[\[(A|B|C)\]\]"))
        result = judged(tmp_path, server, template=str(template), reparse=True)
        assert (result.tally.pairs, result.tally.unreadable) == (1, 0)
        assert server.count == 4
        with pytest.raises(UsageError, match="4 of 4 answers are not in"):
            judged(tmp_path, server, template="pairwise", reparse=True)
        assert (server.count, len(read(tmp_path / "p.jsonl"))) == (4, 1)


def test_probabilities_come_from_logprobs_and_are_of_the_first_shown(tmp_path: Path) -> None:
    def answer(request: Request, count: int) -> Reply:
        first_better = longer(*shown(request)) == "A"
        p = 0.8 if first_better else 0.3
        one, two = (name.split()[0] for name in names(request))
        best = one if first_better else two
        odds = {one: math.log(p), two: math.log(1 - p)}
        return completion(best, logprobs=[token(best, **odds)], finish_reason="length")

    write(tmp_path / "r.jsonl", SETS[:1])
    with Server(answer) as server:
        judged(tmp_path, server, template="pairwise-logprob")
    assert [each["probability"] for each in read(tmp_path / "p.judgments.jsonl")] == pytest.approx([0.3, 0.8])
    assert len(read(tmp_path / "p.jsonl")) == 1
    assert (server.requests[0]["logprobs"], server.requests[0]["top_logprobs"]) == (True, 5)


def test_a_server_without_logprobs_is_read_as_text_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{number}", "a", "bb") for number in range(9)])
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--template", "pairwise-logprob"]
    with Server(lambda request, count: completion(said(request, longer(*shown(request))).strip("[]"))) as server:
        done = run_here(capfd, *command, "--judge", f"llm:m@{server.url}")
    assert done.code == 0
    assert done.err.count("gives no logprobs: verdicts are read from its text") == 1
    assert len(read(tmp_path / "p.jsonl")) == 9
    assert all("probability" not in each for each in read(tmp_path / "p.judgments.jsonl"))
    with Server(completion("Both have their merits.")) as server:
        done = run_here(capfd, *command, "--judge", f"llm:other=m@{server.url}", "--overwrite", "--concurrency", "2")
        assert server.count < 18
    assert done.code == 3
    assert done.err.startswith("error: other at http")
    assert "neither logprobs" in done.err
    assert len(done.err.splitlines()) == 2
    assert len(read(tmp_path / "p.jsonl")) == 9, "the old work stands"


@pytest.mark.parametrize("takes_format", [True, False])
def test_json_verdicts_are_read_whether_or_not_the_server_takes_a_format(tmp_path: Path, takes_format: bool) -> None:
    def answer(request: Request, count: int) -> Reply:
        if "response_format" in request and not takes_format:
            return failure(400, "response_format is not available")
        better = said(request, longer(*shown(request))).strip("[]").replace("C-", "tie-")
        document = json.dumps({"reason": "x", "better": better})
        return completion(document if takes_format else f"Here you are:\n```json\n{document}\n```")

    write(tmp_path / "r.jsonl", SETS[:2])
    with Server(answer) as server:
        result = judged(tmp_path, server, template="pairwise-json")
    schema = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert [each.partition("-")[0] for each in schema["properties"]["better"]["enum"]] == ["A", "B", "tie"]
    assert set(names(server.requests[0])) < set(schema["properties"]["better"]["enum"])
    assert [pair["chosen"] for pair in read(tmp_path / "p.jsonl")] == ["a longer one"]
    assert reasons(tmp_path) == {"even": "tie"}
    assert result.ok


def test_a_template_that_shows_a_reference_abstains_without_one(tmp_path: Path) -> None:
    template = tmp_path / "mine.yaml"
    template.write_text(
        "name: mine\nuser: '{{reference}} <response A>\n\n{{response_a}}\n\n</response A>"
        " <response B>\n\n{{response_b}}\n\n</response B>'\n"
        "labels: {a: A, b: B, tie: C}\nverdict: {kind: regex, pattern: '\\[\\[(A|B|C)\\]\\]'}\n"
    )
    write(tmp_path / "r.jsonl", [row("with", "a", "bb", reference="the known answer"), row("without", "a", "bb")])
    with Server(judging(longer)) as server:
        judged(tmp_path, server, template=str(template))
        assert server.count == 2
        assert "the known answer" in last_words(server.requests[0])
    assert reasons(tmp_path) == {"without": "abstained"}
    assert "reference" in read(tmp_path / "p.dropped.jsonl")[0]["detail"]
