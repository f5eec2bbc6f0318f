"""Judges held against people: weights, choices, the recommended one, and when it is said."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import prefdata
from prefdata.errors import InputError, UsageError
from prefdata.judging.calibration import Calibration, Calibrator
from prefdata.judging.tally import JudgeResult
from prefdata.pairing.pairs import PairingSettings
from prefdata.records.codec import judgment_from, response_set_from
from tests.here import run_here
from tests.judging.sets import longer, read, row, said, shown, write
from tests.servers import Reply, Request, Server, completion

NO_BASELINES: Any = SimpleNamespace(baselines=())
"""A report that says nothing, where the choices alone are looked at."""


def sets(count: int) -> list[dict[str, Any]]:
    """The better response says so; in half of the sets it is the shorter one, in a third it stands second."""
    both = [(f"good {n}", f"bad {n}" + " and long" * (n % 2)) for n in range(count)]
    return [row(f"s{n}", *(texts if n % 3 else texts[::-1])) for n, texts in enumerate(both)]


def human(count: int) -> list[dict[str, Any]]:
    judge = {"kind": "human", "name": "ann"}
    made = []
    for n in range(count):
        ranking = [["r0"], ["r1"]] if n % 3 else [["r1"], ["r0"]]
        made.append(
            {"id": f"h{n}", "response_set_id": f"s{n}", "shown": ["r0", "r1"], "ranking": ranking, "judge": judge}
        )
    return made


def judging(request: Request, count: int) -> Reply:
    """ "wise" is always right, "vain" likes what is long, "first" what stands first."""
    first, second = shown(request)
    side = {"wise": "A" if first.startswith("good") else "B", "vain": longer(first, second), "first": "A"}
    return completion(said(request, side[request["model"]]))


def _run(folder: Path, server: Server, *models: str, **options: Any) -> JudgeResult:
    specs = [f"llm:{model}@{server.url}" for model in models]
    result = prefdata.judge(folder / "r.jsonl", folder / "p.jsonl", judge=specs, **options)
    assert isinstance(result, JudgeResult)
    return result


def test_a_jury_is_weighed_by_its_agreement_with_people_before_the_rest_is_judged(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", sets(60))
    write(tmp_path / "h.jsonl", human(40))
    told: list[tuple[int, Calibration]] = []
    with Server(judging) as server:
        result = _run(
            tmp_path, server, "wise", "vain", calibrate=tmp_path / "h.jsonl",
            calibrated=lambda found: told.append((server.count, found)),
        )  # fmt: skip
        assert server.count == 60 * 2 * 2
    ((asked, found),) = told
    assert asked == 40 * 2 * 2, "before the rest is judged"
    # Of the 40, vain is right on the 20 whose better response is the longer.
    wise, vain = found.weights["llm:wise"], found.weights["llm:vain"]
    assert (vain, wise) == (0.0, 2.0), "log odds of 41:1, and of no better than a coin"
    assert {pair["chosen"][:4] for pair in read(tmp_path / "p.jsonl")} == {"good"}
    assert len(read(tmp_path / "p.jsonl")) == 60
    assert read(tmp_path / "p.jsonl")[1]["metadata"]["pairing"]["votes"] == {"chosen": 2, "neither": 0, "rejected": 0}
    (right,) = [each for each in found.options if each.judges == ("llm:wise",)]
    assert (right.right.count, right.right.total, right.couples) == (40, 40, 40)
    assert found.recommendation.judges == ("llm:wise",)
    assert found.recommendation.min_margin == 0
    by_judge = {each.judge: each for each in found.agreement.judges}
    assert by_judge["llm:wise"].accuracy is not None
    assert by_judge["llm:wise"].accuracy.mean.value == 1
    assert found.alphas["llm:wise"].value == 1
    assert found.alphas["llm:vain"].value is not None
    assert found.alphas["llm:vain"].value < 0.2
    assert {each.name for each in found.agreement.baselines} == {"longest wins", "first shown wins"}
    assert result.calibration == found


def test_calibrating_alone_makes_no_pair_and_its_calls_are_not_paid_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", sets(50))
    write(tmp_path / "h.jsonl", human(32))
    with Server(judging) as server:
        command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--calibrate", tmp_path / "h.jsonl"]
        command += ["--judge", f"llm:wise@{server.url}", "--judge", f"llm:first@{server.url}"]
        done = run_here(capfd, *command, "--calibrate-only")
        assert (done.code, server.count) == (0, 32 * 4)
        assert not (tmp_path / "p.jsonl").exists()
        assert "recommended: llm:wise, --samples 1, --min-margin 0\n" in done.out
        assert "longest wins" in done.out
        assert "weight of llm:wise: 2.00\nweight of llm:first: 0.00" in "\n".join(
            sorted(done.out.splitlines(), reverse=True)
        )
        done = run_here(capfd, *command, "--format", "json")
        assert (done.code, server.count) == (0, 50 * 4)
        document = json.loads(done.out)
        assert document["counts"]["pairs"] == 50
        assert document["calibration"]["recommendation"]["judges"] == ["llm:wise"]
        again = run_here(capfd, *command, "--reparse")
        assert (again.code, server.count) == (0, 50 * 4)


def test_more_samples_are_recommended_only_where_the_couples_tell_the_difference(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", sets(60))
    write(tmp_path / "h.jsonl", human(60))
    seen: dict[str, int] = {}

    def answer(request: Request, count: int) -> Reply:
        """The first sample is often wrong; the majority of three is right."""
        first, second = shown(request)
        couple = min(first, second) + str(first < second)
        seen[couple] = seen.get(couple, 0) + 1
        wrong = request["temperature"] == 0 and int(first.split()[1]) % 3 != 0
        return completion(said(request, "A" if first.startswith("good") != wrong else "B"))

    with Server(answer) as server:
        found = _run(tmp_path, server, "m", samples=3, calibrate=tmp_path / "h.jsonl").calibration
    assert found is not None
    assert [(each.samples, each.right.count, each.right.total) for each in found.options] == [(1, 20, 60), (3, 60, 60)]
    assert found.recommendation.samples == 3
    assert "every cheaper choice scores less" in found.recommendation.reasons[1]


def test_a_margin_is_recommended_where_pairs_below_it_do_harm() -> None:
    calibrator = Calibrator(PairingSettings(), samples=1, seed=0)
    judge = {"kind": "llm", "name": "m"}
    for n in range(60):
        response_set = response_set_from(row(f"s{n}", "a", "b"))
        wrong = n < 20 and n % 4 != 0  # of the 20 narrow ones 15 are wrong, of the 40 wide ones none
        best, worst = ("r1", "r0") if wrong == (n % 3 != 0) else ("r0", "r1")
        scores = {best: 5.5 if n < 20 else 8.0, worst: 5.0}
        record = {
            "id": f"j{n}", "response_set_id": f"s{n}", "shown": ["r0", "r1"], "ranking": [[best], [worst]],
            "judge": judge, "scores": scores,
        }  # fmt: skip
        calibrator.add(response_set, [judgment_from(record)], [judgment_from(human(60)[n])])
    found = calibrator.calibration(NO_BASELINES)
    assert found.recommendation.min_margin == 3
    assert any("pairs of a margin below 3 are right only in 25.0%" in each for each in found.recommendation.reasons)


def test_a_judge_that_tells_no_more_than_length_is_told_so(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", sets(40))
    write(tmp_path / "h.jsonl", human(40))
    with Server(judging) as server:
        found = _run(tmp_path, server, "vain", calibrate=tmp_path / "h.jsonl").calibration
    assert found is not None
    assert "but the longer response alone is right on 50.0%: this judge tells no more" in found.recommendation.reasons


def test_one_judge_is_reported_as_json_and_one_that_is_mostly_wrong_is_told_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", sets(12))
    write(tmp_path / "h.jsonl", [{**each, "ranking": each["ranking"][::-1]} for each in human(12)])
    with Server(judging) as server:
        command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--calibrate", tmp_path / "h.jsonl"]
        done = run_here(capfd, *command, "--judge", f"llm:wise@{server.url}", "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["calibration"]
    assert (found["weights"], found["options"][0]["right"]["count"]) == ({}, 0)
    reasons = found["recommendation"]["reasons"]
    assert "its pairs are wrong more often than right, and no least margin mends that" in reasons
    assert not any("none need be left out" in each for each in reasons)


def test_what_cannot_calibrate_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "r.jsonl", sets(3))
    with Server(judging) as server:
        for lines, says in (
            ([{**human(1)[0], "response_set_id": "other"}], "names no winner between two responses"),
            ([{**human(1)[0], "ranking": [["r0", "r1"]]}], "names no winner between two responses"),
            ([*human(1), {"id": "x"}], "line 2"),
        ):
            write(tmp_path / "h.jsonl", lines)
            with pytest.raises(InputError, match=says):
                _run(tmp_path, server, "wise", calibrate=tmp_path / "h.jsonl")
        with pytest.raises(UsageError, match="nothing to calibrate by"):
            _run(tmp_path, server, "wise", calibrate_only=True)
    assert not (tmp_path / "p.jsonl").exists()


def test_what_people_said_is_not_overwritten_by_what_it_calibrates(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", sets(3))
    people = write(tmp_path / "p.judgments.jsonl", human(3))  # where judge puts its own
    before = people.read_bytes()
    with Server(judging) as server, pytest.raises(UsageError, match="is the input too"):
        _run(tmp_path, server, "wise", calibrate=people, overwrite=True)
    with pytest.raises(UsageError, match="is the input too"):
        prefdata.pair(
            tmp_path / "r.jsonl", write(tmp_path / "j.jsonl", human(3)),
            output=tmp_path / "o.jsonl", dropped=people, gold=people, overwrite=True,
        )  # fmt: skip
    assert people.read_bytes() == before


@pytest.mark.shared
def test_gpt4_on_llmbar_is_measured_beside_the_baselines(tmp_path: Path, shared_data: Path) -> None:
    """Recorded verdicts become judgments; people's labels calibrate them to the published 94.5% in the mean."""
    recorded = json.loads((shared_data / "llmbar_natural_gpt4_cot.json").read_text())
    calibrator = Calibrator(PairingSettings(), samples=1, seed=0)
    for number, each in enumerate(recorded):
        texts = {"1": each["output_1"], "2": each["output_2"]}
        responses = [{"id": id, "response": text} for id, text in texts.items()]
        response_set = response_set_from(
            {"id": str(number), "prompt": {"prompt": each["input"]}, "responses": responses}
        )
        judgments = []
        for order, name in enumerate(("swap = False", "swap = True")):
            best = str(each["results"][0][name]["winner"])
            worst = "2" if best == "1" else "1"
            record = {
                "id": f"{number}-{order}", "response_set_id": str(number), "order": order,
                "shown": ["2", "1"] if order else ["1", "2"], "ranking": [[best], [worst]],
                "judge": {"kind": "llm", "name": "gpt-4"},
            }  # fmt: skip
            judgments.append(judgment_from(record))
        right = str(each["label"])
        gold = judgment_from(
            {
                "id": f"g{number}",
                "response_set_id": str(number),
                "shown": ["1", "2"],
                "ranking": [[right], ["2" if right == "1" else "1"]],
                "judge": {"kind": "human", "name": "gold"},
            }
        )
        calibrator.add(response_set, judgments, [gold])
    (option,) = calibrator.calibration(NO_BASELINES).options
    assert (option.decided.count, option.right.count) == (91, 90), "orders agree on 91, and are right on 90 of these"
    assert option.score.value == pytest.approx(0.945)
