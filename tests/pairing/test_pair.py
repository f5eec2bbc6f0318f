"""``prefdata pair`` and ``prefdata.pair``: files in, files out, every line accounted for."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

import prefdata as api
from prefdata.errors import InputError, OutputExistsError, UsageError
from prefdata.pairing.pairs import PairingSettings, dropped_record, pairs_of
from prefdata.records.codec import judgment_from, judgment_record, pair_record, response_set_from
from prefdata.types import Judge, Judgment
from tests.conftest import Run
from tests.here import run_here
from tests.judging.sets import said, shown
from tests.servers import Reply, Request, Server, completion, failure, last_words

JUDGE = Judge("llm", "gpt")


def write(path: Path, records: Sequence[Any]) -> Path:
    data = b"".join(orjson.dumps(record) + b"\n" for record in records)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def response_set(number: int, size: int = 2, text: str = "answer") -> dict[str, Any]:
    responses = [{"id": f"r{n}", "response": f"{text} {n}", "model": f"m{n}"} for n in range(size)]
    return {"id": f"s{number}", "prompt": {"id": f"p{number}", "prompt": f"Question {number}?"}, "responses": responses}


def judged(number: int, winners: Sequence[int | None], judge: Judge = JUDGE) -> list[dict[str, Any]]:
    """Judgments of set ``number`` in order 0, then 1; None is unreadable."""
    made = []
    for order, winner in enumerate(winners):
        shown = ("r0", "r1") if order == 0 else ("r1", "r0")
        ranking = None if winner is None else ((f"r{winner}",), (f"r{1 - winner}",))
        flags = ("unreadable",) if winner is None else ()
        id = f"{judge.name}-{number}-{order}"
        made.append(judgment_record(Judgment(id, f"s{number}", shown, ranking, judge, flags, order=order)))
    return made


def random_inputs(sets: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    draw = random.Random(7)
    records = [response_set(n) for n in range(sets)]
    judgments = [
        judgment
        for n in range(sets)
        for judge in (JUDGE, Judge("human", "ann"))
        for judgment in judged(n, [draw.choice([0, 0, 1, None]) for _ in range(2)], judge)
    ]
    draw.shuffle(judgments)
    return records, judgments


def test_it_is_what_pairs_of_gives_for_each_set(tmp_path: Path) -> None:
    records, judgments = random_inputs(60)
    responses_file = write(tmp_path / "responses.jsonl.gz", records)
    files = [write(tmp_path / "j1.jsonl", judgments[:100]), write(tmp_path / "j2.jsonl.gz", judgments[100:])]
    result = api.pair(responses_file, files, output=tmp_path / "pairs.jsonl")

    expected_pairs: list[Any] = []
    expected_dropped: list[Any] = []
    for record in records:
        noun = response_set_from(record)
        own = [judgment_from(j) for j in judgments if j["response_set_id"] == noun.id]
        made, gone = pairs_of(noun, own, PairingSettings())
        expected_pairs += [pair_record(pair) for pair in made]
        expected_dropped += [dropped_record(nothing) for nothing in gone]
    assert read(tmp_path / "pairs.jsonl") == expected_pairs
    assert read(tmp_path / "pairs.dropped.jsonl") == expected_dropped
    assert result.counts.response_sets == 60 == result.counts.paired + sum(result.counts.dropped.values())
    assert {"inconsistent-orders", "unreadable-verdict"} <= set(result.counts.dropped)
    assert result.counts.used == result.counts.judgments == 240
    assert result.ok
    assert result.pairs == ()

    in_memory = api.pair(responses_file, files)
    assert [pair_record(pair) for pair in in_memory.pairs] == expected_pairs
    assert list(in_memory.dropped) == expected_dropped
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "j1.jsonl",
        "j2.jsonl.gz",
        "pairs.dropped.jsonl",
        "pairs.jsonl",
        "responses.jsonl.gz",
    ]


def test_it_comes_to_the_pairs_that_judge_wrote(tmp_path: Path) -> None:
    """A jury of a rule and of a model that is sometimes unreadable, biased, or fails."""
    texts = ["a", "bb", "a cc", "dddd", "a eeeee"]
    sets = [response_set(n, size=3) for n in range(25)]
    for n, one in enumerate(sets):
        for place, response in enumerate(one["responses"]):
            response["response"] = texts[(n + place * (1 + n % 3)) % 5]
    responses = write(tmp_path / "r.jsonl", sets)

    def answer(request: Request, count: int) -> Reply:
        first, second = shown(request)
        draw = random.Random(f"{first}|{second}|{request['messages'][0]}|{last_words(request)}").random()
        if draw < 0.05:
            return failure(400)
        if draw < 0.1:
            return completion("I cannot say.")
        return completion(said(request, "A" if len(first) >= len(second) or draw > 0.9 else "B"))

    with Server(answer) as server:
        judged_result = api.judge(
            responses,
            tmp_path / "judged.jsonl",
            judge=[f"llm:m@{server.url}", "rule:regex:a"],
            strategy="all",
            seed=3,
            retries=0,
        )
    assert {"call-failed", "unreadable-verdict", "inconsistent-orders", "tie"} & set(judged_result.tally.dropped)
    api.pair(responses, tmp_path / "judged.judgments.jsonl", output=tmp_path / "paired.jsonl", strategy="all", seed=3)
    assert len(read(tmp_path / "judged.jsonl")) > 20
    assert (tmp_path / "paired.jsonl").read_bytes() == (tmp_path / "judged.jsonl").read_bytes()
    sides = [[(one["response_set_id"], one["reason"]) for one in read(tmp_path / f"{name}.dropped.jsonl")]
             for name in ("judged", "paired")]  # fmt: skip
    assert sides[0] == sides[1]


def test_every_line_is_accounted_for(tmp_path: Path) -> None:
    responses = tmp_path / "responses.jsonl"
    responses.write_bytes(
        orjson.dumps(response_set(0))
        + b"\n\n{broken\n"
        + orjson.dumps(response_set(1))
        + b"\n"
        + orjson.dumps(response_set(0, text="other"))
        + b'\n{"id": "s9"}\n'
    )
    strange = {**judged(1, [0])[0], "id": "strange", "shown": ["r0", "r7"], "ranking": [["r0"], ["r7"]]}
    torn = {**judged(1, [0])[0], "id": "torn", "ranking": [["r0"]]}
    lone = judged(5, [0])[0]
    judgments = tmp_path / "judgments.jsonl"
    judgments.write_bytes(
        b"".join(orjson.dumps(j) + b"\n" for j in [*judged(0, [0, 0]), judged(0, [0])[0], strange, torn, lone])
        + b"\xff\xfe\n"
    )
    result = api.pair(responses, judgments, output=tmp_path / "pairs.jsonl")
    counts = result.counts
    assert (counts.response_sets, counts.paired, counts.pairs, dict(counts.dropped)) == (2, 1, 1, {"no-judgment": 1})
    assert counts.invalid_lines == 5
    assert counts.judgments == 5 == counts.used + sum(counts.unused.values())
    assert dict(counts.unused) == {"duplicate-judgment": 1, "unknown-response": 1, "unknown-response-set": 1}
    assert not result.ok
    listed = [record for record in read(tmp_path / "pairs.dropped.jsonl") if "file" in record]
    told = {(r["reason"], Path(r["file"]).name, r["line"]): r["detail"] for r in listed}
    assert set(told) == {
        ("invalid-line", "judgments.jsonl", 5),
        ("invalid-line", "judgments.jsonl", 7),
        ("invalid-line", "responses.jsonl", 3),
        ("invalid-line", "responses.jsonl", 5),
        ("invalid-line", "responses.jsonl", 6),
        ("unknown-response", "judgments.jsonl", 4),
        ("unknown-response-set", "judgments.jsonl", 6),
    }
    assert told["unknown-response", "judgments.jsonl", 4] == "response set s1 has no response r7"
    raw = [record["raw"] for record in listed if record["line"] == 7]
    assert raw == ["\\xff\\xfe"]


def test_limit_takes_the_first_lines(tmp_path: Path) -> None:
    responses = write(tmp_path / "r.jsonl", [response_set(n) for n in range(3)])
    judgments = write(tmp_path / "j.jsonl", [j for n in range(3) for j in judged(n, [0, 0])])
    result = api.pair(responses, judgments, limit=2)
    assert [pair.metadata["response_set_id"] for pair in result.pairs] == ["s0", "s1"]
    assert dict(result.counts.unused) == {"beyond-limit": 2}
    assert result.ok


def test_finished_work_is_kept_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    responses = write(tmp_path / "r.jsonl", [response_set(0)])
    judgments = write(tmp_path / "j.jsonl", judged(0, [0, 0]))
    out = tmp_path / "pairs.jsonl"
    api.pair(responses, judgments, output=out)
    before = out.read_bytes()
    with pytest.raises(OutputExistsError, match="is finished work"):
        api.pair(responses, judgments, output=out)
    (tmp_path / "broken.jsonl").write_bytes(b"{")
    with pytest.raises(InputError, match="is a judgment"):
        api.pair(responses, tmp_path / "broken.jsonl", output=out, overwrite=True)
    assert out.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if "part" in path.name or "state" in path.name]
    api.pair(responses, write(tmp_path / "j2.jsonl", judged(0, [1, 1])), output=out, overwrite=True)
    assert read(out)[0]["chosen"] == "answer 1"


def test_what_a_killed_run_left_is_cleared_and_paid_calls_stay(tmp_path: Path) -> None:
    responses = write(tmp_path / "r.jsonl", [response_set(0)])
    judgments = write(tmp_path / "j.jsonl", judged(0, [0, 0]))
    state = tmp_path / "pairs.jsonl.state"
    state.mkdir()
    for name in ("main.jsonl", "dropped.jsonl", "scratch-judgments.sqlite", "calls.jsonl"):
        (state / name).write_bytes(b"torn")
    api.pair(responses, judgments, output=tmp_path / "pairs.jsonl")
    assert len(read(tmp_path / "pairs.jsonl")) == 1
    assert sorted(path.name for path in state.iterdir() if path.name != "lock") == ["calls.jsonl"]


def test_outputs_that_cannot_be_meant(tmp_path: Path) -> None:
    responses = write(tmp_path / "r.jsonl", [response_set(0)])
    judgments = write(tmp_path / "j.jsonl", judged(0, [0, 0]))
    with pytest.raises(UsageError, match="is the input too"):
        api.pair(responses, judgments, output=judgments, overwrite=True)
    with pytest.raises(UsageError, match="same path"):
        api.pair(responses, judgments, output=tmp_path / "o", dropped=tmp_path / "o")
    with pytest.raises(UsageError, match="needs an output"):
        api.pair(responses, judgments, dropped=tmp_path / "o")


def test_memory_does_not_grow_with_the_inputs(tmp_path: Path) -> None:
    def peak(sets: int) -> int:
        text = "x" * 2000
        responses = write(tmp_path / "r.jsonl", [response_set(n, text=text) for n in range(sets)])
        judgments = [{**j, "raw": text} for n in range(sets) for j in judged(n, [0, 0])]
        write(tmp_path / "j.jsonl", judgments)
        del judgments
        tracemalloc.start()
        api.pair(responses, tmp_path / "j.jsonl", output=tmp_path / "o.jsonl", overwrite=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)  # what is loaded once
    assert peak(2000) < 4_000_000  # of 16 MB of text


def test_command(prefdata: Run, tmp_path: Path) -> None:
    records, judgments = random_inputs(20)
    write(tmp_path / "r.jsonl", records)
    write(tmp_path / "j.jsonl", judgments)
    done = prefdata("pair", "r.jsonl", "j.jsonl", "-o", "pairs.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(read(tmp_path / 'pairs.jsonl'))} pairs from" in done.stderr
    assert "unreadable-verdict" in done.stderr
    again = prefdata(
        "pair", "r.jsonl", "-", "-o", "again.jsonl", "--format", "json", cwd=tmp_path,
        stdin=(tmp_path / "j.jsonl").read_bytes(),
    )  # fmt: skip
    report = orjson.loads(again.stdout)
    assert report["response_sets"] == 20 == report["paired"] + sum(report["dropped"].values())
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "pairs.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none.jsonl", "j.jsonl"], 2, "none.jsonl: no such file"),
        (["r.jsonl", "folder"], 2, "folder is a directory"),
        (["r.jsonl", "empty.jsonl"], 2, "empty.jsonl is empty"),
        (["empty.jsonl", "j.jsonl"], 2, "empty.jsonl is empty"),
        (["j.jsonl", "r.jsonl"], 2, "no line of r.jsonl is a judgment"),
        (["r.jsonl", "latin.jsonl"], 2, "not UTF-8"),
        (["r.jsonl", "damaged.jsonl.gz"], 2, "damaged"),
        (["r.jsonl", "j.jsonl", "--min-margin", "nan"], 2, "finite"),
        (["r.jsonl", "j.jsonl", "j.jsonl"], 2, "named twice"),
        (["r.jsonl", "some.jsonl"], 1, "1 lines hold no record"),
    ],
)
def test_bad_input_gets_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r.jsonl", [response_set(0)])
    good = write(tmp_path / "j.jsonl", judged(0, [0, 0])).read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "latin.jsonl").write_bytes('{"id": "é"}\n'.encode("latin-1"))
    (tmp_path / "damaged.jsonl.gz").write_bytes(gzip.compress(good)[:40])
    (tmp_path / "some.jsonl").write_bytes(good + b"[1]\n")
    done = run_here(capfd, "pair", *arguments, "-o", "pairs.jsonl")
    assert done.code == code, done.err
    assert said in done.err
    assert code == 1 or len(done.err.splitlines()) <= 2
    assert (tmp_path / "pairs.jsonl").exists() == (code == 1)
