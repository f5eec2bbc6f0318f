"""Published figures from the public files themselves."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

import prefdata as api
from prefdata.types import Message, PreferencePair
from tests.conftest import Run

pytestmark = pytest.mark.shared
HH = "hh_rlhf_harmless_base.jsonl.gz"


def transcript(pair: PreferencePair, side: str) -> tuple[Message, ...]:
    prompt, answer = pair.prompt, getattr(pair, side)
    assert not isinstance(prompt, str)
    return (*prompt, *answer)


def test_hh_figures(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    result = api.convert(shared_data / HH, output=out)
    assert (result.format, result.counts.rows, result.counts.kept, result.counts.pairs) == ("hh", 1156, 1156, 1156)
    assert not result.counts.dropped
    assert (tmp_path / "pairs.dropped.jsonl").read_bytes() == b""

    pairs = api.convert(out).pairs  # our own pairs are TRL's format
    assert len(pairs) == 1156
    assert [pair.metadata["source_line"] for pair in pairs] == list(range(1, 1157))
    turns = Counter(len(transcript(pair, "chosen")) for pair in pairs)
    assert [turns[length] for length in (2, 4, 6, 8)] == [348, 288, 288, 160]
    sides = [transcript(pair, side) for pair in pairs for side in ("chosen", "rejected")]
    repeated = [side for side in sides if any(a.role == b.role for a, b in pairwise(side))]
    assert len(repeated) == 4
    silent = [
        number
        for number, pair in enumerate(pairs, start=1)
        for side in ("chosen", "rejected")
        if transcript(pair, side)[-1].content == ""
    ]
    assert silent == [87, 517, 926, 1104]
    assert all(pair.chosen != pair.rejected for pair in pairs)


def test_hh_rows_with_an_empty_reply_are_found_by_validate(shared_data: Path, tmp_path: Path) -> None:
    api.convert(shared_data / HH, output=tmp_path / "pairs.jsonl")
    result = api.validate(tmp_path / "pairs.jsonl", output=tmp_path / "dataset")
    assert (result.counts.lines, result.counts.kept, result.counts.quarantined) == (1156, 1152, 4)
    refused = [orjson.loads(line) for line in (tmp_path / "dataset" / "quarantine.jsonl").read_bytes().splitlines()]
    assert [one["line"] for one in refused] == [87, 517, 926, 1104]


def test_hh_loses_no_character(shared_data: Path) -> None:
    pairs = api.convert(shared_data / HH).pairs
    names = {"user": "Human", "assistant": "Assistant"}
    with gzip.open(shared_data / HH) as file:
        for pair, line in zip(pairs, file, strict=True):
            row = orjson.loads(line)
            for side in ("chosen", "rejected"):
                written = "".join(f"\n\n{names[m.role]}: {m.content}" for m in transcript(pair, side))
                assert written == row[side]


def test_pandalm_counts(shared_data: Path) -> None:
    result = api.convert(shared_data / "pandalm_testset_v1.json")
    counts = result.counts
    assert (result.format, counts.rows, counts.preferences) == ("pandalm", 999, 999)
    assert counts.dropped["broken-response"] == 6  # a boolean for a response
    assert counts.kept + sum(counts.dropped.values()) == 999
    assert not result.ok
    broken = [record for record in result.dropped if record["reason"] == "broken-response"]
    assert all("holds a boolean, not text" in record["detail"] for record in broken)
    assert [record["response_set_id"] for record in broken] == ["157", "158", "159", "161", "162", "164"]
    sets = api.convert(shared_data / "pandalm_testset_v1.json", to="responses")
    assert (sets.counts.response_sets, sets.counts.judgments, sets.counts.broken_responses) == (999, 2997, 6)
    assert sets.ok
    empty = [one for one in sets.response_sets if any(response.content == "" for response in one.responses)]
    assert len(empty) == 54


def test_pandalm_kappas_by_the_commands_alone(shared_data: Path, tmp_path: Path, prefdata: Run) -> None:
    source = shared_data / "pandalm_testset_v1.json"
    done = prefdata("convert", source, "-o", "r.jsonl", "--to", "responses", cwd=tmp_path)
    assert (done.returncode, "6 responses are no text: kept and marked" in done.stderr) == (0, True), done.stderr
    done = prefdata("agree", "r.judgments.jsonl", "--responses", "r.jsonl", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    kappas = [(one["couples"], round(one["kappa"]["value"], 3)) for one in found["between"]]
    assert kappas == [(999, 0.852), (999, 0.879), (999, 0.862)]
    done = prefdata("pair", "r.jsonl", "r.judgments.jsonl", "-o", "pairs.jsonl", cwd=tmp_path)
    assert "6  broken-response" in done.stderr
    validated = api.validate(tmp_path / "pairs.jsonl", output=tmp_path / "dataset")
    refused = [orjson.loads(line) for line in (tmp_path / "dataset" / "quarantine.jsonl").read_bytes().splitlines()]
    assert validated.counts.quarantined_by_code["PRF002"] == 52  # of the 54 empty ones, those with a majority
    empty = [json.loads(one["raw"]) for one in refused if any(found["code"] == "PRF002" for found in one["findings"])]
    assert all("" in (pair["chosen"], pair["rejected"]) for pair in empty)
    assert len(empty) == 52


def test_oasst_figures(shared_data: Path, tmp_path: Path, prefdata: Run) -> None:
    source = shared_data / "oasst_en_100_trees.jsonl"
    result = api.convert(source, to="responses")
    whole = {one.id: len(one.responses) for one in result.response_sets}
    ranked = [judgment for judgment in result.judgments if len(judgment.shown) == whole[judgment.response_set_id]]
    assert len(ranked) == 211  # fully ranked; one set more has a reply without a rank
    assert (result.counts.response_sets, dict(result.counts.dropped)) == (
        212,
        {"no-assistant-replies": 46, "no-ranked-replies": 2},
    )  # 260 groups of siblings
    depths = Counter(len(one.prompt.content) for one in result.response_sets)
    assert max(depths) > 1

    # The road by files: convert --to responses, then pair, comes to the same pairs as convert alone.
    done = prefdata("convert", source, "-o", "r.jsonl", "--to", "responses", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = prefdata("pair", "r.jsonl", "r.judgments.jsonl", "-o", "pairs.jsonl", "--strategy", "all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    by_files = {orjson.loads(line)["id"] for line in (tmp_path / "pairs.jsonl").read_bytes().splitlines()}
    assert by_files == {pair.id for pair in api.convert(source, strategy="all").pairs}
    assert len(by_files) > 212


def test_alpaca_eval_mean_by_the_commands_alone(shared_data: Path, tmp_path: Path, prefdata: Run) -> None:
    source = shared_data / "alpaca_eval_gpt4_turbo_gemma7b.json"
    done = prefdata("convert", source, "-o", "r.jsonl", "--to", "responses", cwd=tmp_path)
    assert (done.returncode, "format alpaca-eval" in done.stderr) == (0, True), done.stderr
    done = prefdata("agree", "r.judgments.jsonl", "--responses", "r.jsonl", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    models = {one["model"]: one for one in found["models"]}
    assert models["gemma-7b-it"]["votes"] == 200
    assert round(models["gemma-7b-it"]["probability"]["value"], 5) == 0.02811
    rows = json.loads(source.read_text())
    judgments = [orjson.loads(line) for line in (tmp_path / "r.judgments.jsonl").read_bytes().splitlines()]
    for row, judgment in zip(rows, judgments, strict=True):
        second = judgment["probability"] if judgment["shown"][0] == "2" else 1 - judgment["probability"]
        assert second == pytest.approx(row["preference"] - 1)
        assert judgment["metadata"]["raw_completion"]["text"] == row["raw_completion"]["text"]
    pairs = api.convert(source).pairs
    assert len(pairs) == 200
    assert sum(pair.metadata["chosen_model"] == "gemma-7b-it" for pair in pairs) == sum(
        row["preference"] > 1.5 for row in rows
    )


def test_llmbar_label(shared_data: Path) -> None:
    source = shared_data / "llmbar_natural_gpt4_cot.json"
    result = api.convert(source)
    assert (result.format, len(result.pairs)) == ("llmbar", 100)
    for row, pair in zip(json.loads(source.read_text()), result.pairs, strict=True):
        assert pair.chosen == row[f"output_{row['label']}"]
