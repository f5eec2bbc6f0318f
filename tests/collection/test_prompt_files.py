"""Prompts from tables and data sets: every row is asked once, or listed with its place and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prefdata
from tests.here import Finished, run_here
from tests.servers import Reply, Request, Server, completion, last_words

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Lyon?"}]


def echo(request: Request, count: int) -> Reply:
    return completion(f"re: {last_words(request)}")


def collected(
    capfd: pytest.CaptureFixture[str], folder: Path, given: str | Path, *more: str, code: int = 0
) -> tuple[Finished, list[dict[str, Any]], list[dict[str, Any]]]:
    with Server(echo) as server:
        out = folder / "r.jsonl"
        command = ["collect", given, "-o", out, "--model", f"m@{server.url}", "-n", "1", "--overwrite", *more]
        done = run_here(capfd, *command)
        assert done.code == code, done.err
        if code > 1:
            assert server.count == 0
            return done, [], []
    dropped = folder / "r.dropped.jsonl"
    return done, *([json.loads(each) for each in path.read_text().splitlines()] for path in (out, dropped))


def prompts(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["prompt"]["prompt"] for row in rows]


def test_csv_rows_are_records_or_one_column_of_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.csv"
    talk = json.dumps(TALK).replace('"', '""')
    path.write_text(f'id,prompt,reference,other\na,"two\nlines",7,x\n,{7},,\nb,"{talk}",,\nc\na,again,,\n')
    _, rows, dropped = collected(capfd, tmp_path, path, code=1)
    assert prompts(rows) == ["two\nlines", "7", TALK]
    assert rows[0]["prompt"] == {"id": "a", "prompt": "two\nlines", "reference": ["7"]}
    assert [(drop["line"], drop["row"]) for drop in dropped] == [(6, 4), (7, 5)]
    assert "1 cells, the header has 4" in dropped[0]["detail"]
    assert dropped[1]["detail"] == "its id is that of row 1"
    _, rows, dropped = collected(capfd, tmp_path, path, "--column", "other", code=1)
    assert prompts(rows) == ["x"]
    assert [drop["detail"] for drop in dropped[:2]] == ["the prompt is empty"] * 2


def test_several_files_are_one_list_of_prompts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, words in (("a", "one\ntwo\nthree\n"), ("b", "four\ntwo\nfive\n")):
        (tmp_path / f"{name}.csv").write_text(f"q\n{words}")
    pattern = str(tmp_path / "*.csv")
    _, rows, dropped = collected(capfd, tmp_path, pattern, "--column", "q", "--limit", "5")
    assert prompts(rows) == ["one", "two", "three", "four"]
    assert [(drop["file"], drop["row"]) for drop in dropped] == [(str(tmp_path / "b.csv"), 2)]
    assert dropped[0]["detail"] == f"the prompt of {tmp_path / 'a.csv'} row 2 again"


def test_a_column_that_is_not_there_ends_before_any_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question\nwhy?\n")
    done, _, _ = collected(capfd, tmp_path, path, "--column", "prompt", code=2)
    assert "there is no column 'prompt' (there are: question)" in done.err
    done, _, _ = collected(capfd, tmp_path, path, "--split", "train", code=2)
    assert "--split and --revision" in done.err


@pytest.mark.parametrize("compressed", ["snappy", "zstd"])
def test_parquet_columns_hold_texts_or_conversations(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], compressed: str
) -> None:
    rows = [{"q": TALK, "tools": None}, {"q": TALK[1:], "tools": None}, {"q": TALK, "tools": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet", compression=compressed)
    done, found, dropped = collected(capfd, tmp_path, tmp_path / "p.parquet", "--column", "q")
    assert prompts(found) == [TALK, TALK[1:]]
    assert [(drop["reason"], drop["row"], drop["detail"]) for drop in dropped] == [
        ("repeated-prompt", 3, "the prompt of row 1 again")
    ]
    assert "line" not in dropped[0]
    assert "1 rows repeat a prompt" in done.err
    assert found[0]["responses"][0]["response"] == [{"role": "assistant", "content": "re: Lyon?"}]


def test_a_data_set_is_asked_each_of_its_prompts_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tool = {"type": "function", "function": {"name": "book", "parameters": {}}}
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(
            json.dumps({"prompt": TALK, "chosen": [turn("yes")], "rejected": [turn(no)], "tools": [tool]}) + "\n"
            for no in ("no", "never")
        )
        + json.dumps({"prompt": TALK[1:], "chosen": [turn("yes")], "rejected": [turn("no")]})
        + "\n"
    )
    assert prefdata.validate(pairs, output=tmp_path / "dataset").ok
    _, rows, dropped = collected(capfd, tmp_path, tmp_path / "dataset")
    assert prompts(rows) == [TALK, TALK[1:]]
    assert rows[0]["prompt"]["tools"] == [tool]
    assert [drop["reason"] for drop in dropped] == ["repeated-prompt"]
    done, _, _ = collected(capfd, tmp_path, tmp_path / "dataset", "--split", "eval", code=2)
    assert "has no split 'eval'" in done.err


def turn(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_a_folder_of_datasets_and_its_splits(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    both = datasets.DatasetDict(
        {name: datasets.Dataset.from_dict({"instruction": [f"{name} {n}" for n in range(3)]}) for name in ("a", "b")}
    )
    both.save_to_disk(str(tmp_path / "saved"))
    _, rows, _ = collected(
        capfd, tmp_path, tmp_path / "saved", "--column", "instruction", "--split", "b", "--limit", "2"
    )
    assert prompts(rows) == ["b 0", "b 1"]
    done, _, _ = collected(capfd, tmp_path, tmp_path / "saved", "--column", "instruction", code=2)
    assert "choose --split from a, b" in done.err
    (tmp_path / "empty").mkdir()
    done, _, _ = collected(capfd, tmp_path, tmp_path / "empty", code=2)
    assert "is a directory, and no data set" in done.err
    assert not (tmp_path / "r.jsonl.state").exists() or "ledger.jsonl" in {
        path.name for path in (tmp_path / "r.jsonl.state").iterdir()
    }
