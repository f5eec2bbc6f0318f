"""Rules as judges: scores, tiers, and what a broken function of the user's looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.judging.jury import Jury
from prefdata.judging.rules import RuleJudge
from prefdata.records.codec import response_set_from
from prefdata.types import Judgment, ResponseSet
from tests.here import run_here


def response_set(*texts: Any, **prompt: Any) -> ResponseSet:
    responses = [{"id": str(place), "response": text} for place, text in enumerate(texts)]
    return response_set_from({"id": "s", "prompt": {"prompt": "2 + 2?", **prompt}, "responses": responses})


def judged(spec: str, found: ResponseSet) -> Judgment:
    (judgment,) = Jury([RuleJudge(spec)], escalate=False).judgments(found, None)  # type: ignore[arg-type]
    return judgment


@pytest.mark.parametrize(
    ("spec", "scores"),
    [
        ("exact-match", [1, 0, 0, 1]),
        ("regex:^4", [1, 1, 0, 0]),
        ("length:3-4", [0, 0, 1, 1]),
        ("length:-1", [1, 0, 0, 0]),
        ("length:10-", [0, 1, 0, 0]),
        ("python:math:isnan", None),
    ],
)
def test_a_rule_scores_every_response_and_ties_are_one_tier(spec: str, scores: list[int] | None) -> None:
    found = response_set("4", "4, I believe", "five", " 4 \n", reference=["4", "four"])
    if scores is None:
        with pytest.raises(UsageError, match="math:isnan raised TypeError"):
            judged(spec, found)
        return
    judgment = judged(spec, found)
    assert dict(judgment.scores) == {str(place): float(score) for place, score in enumerate(scores)}
    best = tuple(str(place) for place, score in enumerate(scores) if score)
    assert judgment.ranking == (best, tuple(str(place) for place, score in enumerate(scores) if not score))
    assert (judgment.judge.kind, judgment.judge.name) == ("rule", spec)


def test_without_a_reference_exact_match_abstains() -> None:
    judgment = judged("exact-match", response_set("4", "5"))
    assert (judgment.ranking, judgment.flags) == (None, ("abstain",))


def test_rules_look_at_the_final_words_of_a_trajectory_and_functions_at_all_of_it(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "4"}]
    long = [*turns, {"role": "assistant", "content": "four"}]
    found = response_set(long, [{"role": "assistant", "content": "4"}], reference="four", prompt=[
        {"role": "user", "content": "2 + 2?"},
    ])  # fmt: skip
    assert dict(judged("exact-match", found).scores) == {"0": 1.0, "1": 0.0}
    assert dict(judged("length:4-", found).scores) == {"0": 1.0, "1": 0.0}
    seen = tmp_path / "seen.py"
    seen.write_text(
        "def score(prompt, response, reference):\n    return float(str([prompt, response, reference]).count('add'))"
    )
    assert dict(judged(f"python:{seen}:score", found).scores) == {"0": 1.0, "1": 0.0}


def test_a_function_is_called_with_prompt_response_and_reference(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def score(prompt, response, reference):\n    return (prompt, response, reference) == ('2 + 2?', '4', None)"
    )
    assert dict(judged(f"python:{path}:score", response_set("4", "5")).scores) == {"0": 1.0, "1": 0.0}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nothing", "no rule 'nothing'"),
        ("exact-match:4", "takes no argument"),
        ("regex:", "needs a pattern"),
        ("regex:(", "is no pattern"),
        ("length:5", "no range"),
        ("length:-", "no range"),
        ("length:9-3", "holds nothing"),
        ("python:math", "names no function"),
        ("python:math:nothing", "has no function nothing"),
        ("python:no_such_module_x:f", "cannot be imported"),
        ("python:nowhere.py:f", "no such file"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_explained(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        RuleJudge(spec)


def test_a_module_that_ends_the_process_when_it_is_imported_is_told(tmp_path: Path) -> None:
    """A script without a guard around its main: the run would end there, with the script's own exit code."""
    (tmp_path / "script.py").write_text("import sys\n\n\ndef score(*_):\n    return 1\n\n\nsys.exit(0)\n")
    with pytest.raises(UsageError, match=r"cannot be imported: SystemExit: 0 at .*script.py:8"):
        RuleJudge(f"python:{tmp_path}/script.py:score")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 / 0", "raised ZeroDivisionError: division by zero at "),
        ("return 'good'", "returned 'good'"),
        ("return float('nan')", "returned nan"),
        ("return None", "returned None"),
        ("raise SystemExit(0)", "raised SystemExit: 0 at "),
    ],
)
def test_a_broken_function_gets_one_clear_line_that_names_it_and_the_row(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], body: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(f"def score(prompt, response, reference):\n    {body}\n")
    line = {"id": "row-7", "prompt": {"prompt": "p"}, "responses": [{"response": "a"}, {"response": "b"}]}
    (tmp_path / "r.jsonl").write_text(json.dumps(line))
    done = run_here(
        capfd,
        "judge",
        tmp_path / "r.jsonl",
        "-o",
        tmp_path / "p.jsonl",
        "--judge",
        f"rule:python:{tmp_path}/mine.py:score",
    )
    assert done.code == 2
    assert done.err.startswith(f"error: rule:python:{tmp_path}/mine.py:score {words}")
    assert "of response set row-7" in done.err
    assert len(done.err.splitlines()) == 2
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"mine.py", "r.jsonl"}
