"""GPT-4's recorded verdicts on LLMBar Natural (Zeng et al. 2023, arXiv:2310.07641), judged again by the real command.

A local server answers with the recorded texts; the published figures must come out of the judgments and of
``prefdata agree``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.here import run_here
from tests.judging.sets import read, write
from tests.servers import Reply, Request, Server, completion, last_words

TEMPLATE = Path(__file__).resolve().parents[2] / "cookbook" / "llmbar" / "template.yaml"

PUBLISHED = {
    "llmbar_natural_gpt4_cot.json": (94, 95, 90, 91),
    "llmbar_natural_gpt4_vanilla.json": (95, 96, 93, 95),
}
"""Per cent of 100: right with output 1 first, right with output 2 first, right in both orders, orders agree."""


def question(first: str, second: str, prompt: str) -> str:
    return f"{prompt}\0{first}\0{second}"


@pytest.mark.shared
@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_published_figures_come_out(
    tmp_path: Path, shared_data: Path, prefdata: Run, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    recorded = json.loads((shared_data / name).read_text())
    answers: dict[str, str] = {}
    rows, gold = [], []
    for number, each in enumerate(recorded):
        one, two = each["output_1"], each["output_2"]
        results = each["results"][0]
        answers[question(one, two, each["input"])] = results["swap = False"]["completion"][0]
        answers[question(two, one, each["input"])] = results["swap = True"]["completion"][0]
        responses = [{"id": "1", "response": one}, {"id": "2", "response": two}]
        rows.append({"id": f"natural-{number}", "prompt": {"prompt": each["input"]}, "responses": responses})
        right, wrong = ("1", "2") if each["label"] == 1 else ("2", "1")
        gold.append(
            {
                "id": f"gold-{number}",
                "response_set_id": f"natural-{number}",
                "shown": ["1", "2"],
                "ranking": [[right], [wrong]],
                "judge": {"kind": "human", "name": "gold"},
            }
        )
    assert len(answers) == 200

    def answer(request: Request, count: int) -> Reply:
        prompt, rest = last_words(request).removeprefix("# Instruction:\n").split("\n\n# Output (a):\n")
        first, rest = rest.split("\n\n# Output (b):\n")
        second = rest.split("\n\n# Question:\n")[0]
        return completion(answers[question(first, second, prompt)])

    write(tmp_path / "r.jsonl", rows)
    write(tmp_path / "gold.jsonl", gold)
    with Server(answer) as server:
        judge = ["--judge", f"llm:gpt-4@{server.url}", "--template", str(TEMPLATE)]
        done = prefdata("judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", *judge)
    assert (done.returncode, server.count) == (0, 200)

    first, second, both, agree = PUBLISHED[name]
    right = {each["response_set_id"]: each["ranking"][0] for each in gold}
    judgments = read(tmp_path / "p.judgments.jsonl")
    chosen: dict[str, list[str]] = {}
    for order, accuracy in ((0, first), (1, second)):
        verdicts = {each["response_set_id"]: each["ranking"][0] for each in judgments if each["order"] == order}
        assert len(verdicts) == 100
        assert sum(verdicts[id] == right[id] for id in right) == accuracy
        for id, best in verdicts.items():
            chosen.setdefault(id, []).append(best[0])
    consistent = {id: seen[0] for id, seen in chosen.items() if len(set(seen)) == 1}
    assert len(consistent) == agree
    assert sum(best == right[id][0] for id, best in consistent.items()) == both
    assert f"both orders agree in {agree:.1f}% of 100" in done.stderr

    pairs = read(tmp_path / "p.jsonl")
    assert {pair["metadata"]["response_set_id"]: pair["metadata"]["chosen_response_id"] for pair in pairs} == consistent
    texts = {each["id"]: {item["id"]: item["response"] for item in each["responses"]} for each in rows}
    for pair in pairs:
        set_id = pair["metadata"]["response_set_id"]
        assert pair["chosen"] == texts[set_id][consistent[set_id]]
    drops = {drop["response_set_id"]: drop["reason"] for drop in read(tmp_path / "p.dropped.jsonl")}
    assert drops == {id: "inconsistent-orders" for id in chosen if id not in consistent}

    done_here = run_here(
        capfd, "agree", tmp_path / "p.judgments.jsonl", "--gold", tmp_path / "gold.jsonl", "--format", "json"
    )
    assert done_here.code == 0
    (report,) = json.loads(done_here.out)["judges"]
    accuracy = report["accuracy"]
    assert (report["judge"], report["judgments"], accuracy["couples"]) == ("llm:gpt-4", 200, 100)
    counts = [accuracy[name]["count"] for name in ("order_0", "order_1", "both_right", "orders_agree")]
    assert counts == [first, second, both, agree]
    assert accuracy["mean"]["value"] == (first + second) / 200


@pytest.mark.shared
def test_alpaca_evals_recorded_probabilities_come_out(
    tmp_path: Path, shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One-token verdicts with real log-probabilities: the mean of P(output 2 better) over 200 rows is 0.02811."""
    recorded = json.loads((shared_data / "alpaca_eval_gpt4_turbo_gemma7b.json").read_text())
    answers: dict[tuple[str, str, str], dict[str, Any]] = {}
    rows = []
    for number, each in enumerate(recorded):
        one, two = each["output_1"], each["output_2"]
        shown = (one, two) if each["shown_first"] == "output_1" else (two, one)
        answers[(each["instruction"], *shown)] = each["raw_completion"]
        responses = [{"id": "1", "response": one}, {"id": "2", "response": two}]
        rows.append({"id": str(number), "prompt": {"prompt": each["instruction"]}, "responses": responses})
    template = tmp_path / "alpaca.yaml"
    template.write_text(
        'name: alpaca\nuser: "{{prompt}}\\u0001{{response_a}}\\u0001{{response_b}}"\nlabels: {a: m, b: M}\n'
        "verdict: {kind: logprobs, top_logprobs: 5}\nparameters: {max_tokens: 1}\n"
    )

    def answer(request: Request, count: int) -> Reply:
        prompt, first, second = last_words(request).split("\x01")
        known = answers.get((prompt, first, second))
        if known is None:  # the order that was not recorded
            return completion("neither")
        return completion("".join(known["text"]), logprobs=known["logprobs"]["content"], finish_reason="length")

    write(tmp_path / "r.jsonl", rows)
    with Server(answer) as server:
        judge = ["--judge", f"llm:gpt4_turbo@{server.url}", "--template", template]
        done = run_here(capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", *judge)
    assert done.code == 0
    recorded_orders = [each for each in read(tmp_path / "p.judgments.jsonl") if "probability" in each]
    assert len(recorded_orders) == 200
    second = [each["probability"] if each["shown"][0] == "2" else 1 - each["probability"] for each in recorded_orders]
    assert math.fsum(second) / 200 == pytest.approx(0.02811, abs=5e-6)
    published = [each["preference"] - 1 for each in recorded]
    by_row = {each["response_set_id"]: value for each, value in zip(recorded_orders, second, strict=True)}
    assert [by_row[str(number)] for number in range(200)] == pytest.approx(
        published,
        abs=2e-9,  # row 164: " M", with a space, is a label to us as well
    )
