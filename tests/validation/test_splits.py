"""Splits: no prompt on both sides, the same sides in every run, every row on one of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

import prefdata as library
from prefdata.errors import UsageError
from prefdata.validation.splits import plain_text
from prefdata.validation.validate import validate
from tests.here import run_here
from tests.validation.rows import chat, text, turns, write


def rows_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    handle = library.open_dataset(out)
    return {split: list(handle.rows(split)) for split in handle.splits}


def test_no_prompt_stands_on_both_sides(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [text(f"Question {number % 200}", f"yes {number}", f"no {number}") for number in range(1000)]
    rows += [text(f"  question\t{number} ", f"aye {number}", "nay") for number in range(200)]
    path = write(tmp_path / "in.jsonl", *rows)
    for jobs in ("1", "2"):
        done = run_here(
            capfd, "validate", path, "-o", tmp_path / f"out{jobs}", "--eval-fraction", "0.1", "--jobs", jobs
        )
        assert done.code == 0
        assert " train, " in done.out
    splits = rows_of(tmp_path / "out1")
    assert splits == rows_of(tmp_path / "out2")
    prompts = {split: {plain_text(row["prompt"]) for row in found} for split, found in splits.items()}
    assert not prompts["train"] & prompts["eval"]
    assert len(splits["train"]) + len(splits["eval"]) == 1200
    assert 5 < len(prompts["eval"]) < 40
    manifest = library.open_dataset(tmp_path / "out1").manifest
    assert {name: split["rows"] for name, split in manifest["splits"].items()} == {
        name: len(found) for name, found in splits.items()
    }
    loaded = load_from_disk(str(tmp_path / "out1"))
    assert {name: len(loaded[name]) for name in loaded} == {name: len(found) for name, found in splits.items()}


def test_a_prompt_keeps_its_side_when_rows_are_added(tmp_path: Path) -> None:
    rows = [text(f"Question {number}", "yes", "no") for number in range(300)]
    validate(write(tmp_path / "a.jsonl", *rows[:150]), output=tmp_path / "a", eval_fraction=0.2)
    validate(write(tmp_path / "b.jsonl", *reversed(rows)), output=tmp_path / "b", eval_fraction=0.2)
    few, all_ = ({row["prompt"] for row in rows_of(tmp_path / name)["eval"]} for name in ("a", "b"))
    assert few == all_ & {row["prompt"] for row in rows[:150]}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True), st.floats(0.0001, 0.9999))
def test_each_side_has_a_prompt_where_there_are_two(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], fraction: float
) -> None:
    folder = tmp_path_factory.mktemp("split")
    rows = [text(prompt, f"{n}", "no") for prompt in prompts for n in range(3)]
    rows += [text(prompts[0], "0", "0"), text(prompts[-1], "0", "no")]
    validate(write(folder / "in.jsonl", *rows), output=folder / "out", fail_on="never", eval_fraction=fraction)
    splits = rows_of(folder / "out")
    assert sum(map(len, splits.values())) == 3 * len(prompts)
    assert len(prompts) < 2 or set(splits) == {"train", "eval"}


def test_a_string_and_one_user_turn_are_the_same_prompt() -> None:
    assert plain_text("Hi  there") == plain_text(turns("hi\nthere"))
    assert plain_text(turns("a", "b", "c")) != plain_text("a b c")


def test_a_fraction_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="share of the prompts"):
        validate(write(tmp_path / "in.jsonl", text()), eval_fraction=5)


def test_parquet_holds_the_same_rows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [chat(turns(f"Q{n}"), source="s", metadata={"n": n}) for n in range(60)]
    path = write(tmp_path / "in.jsonl", *rows)
    done = run_here(capfd, "validate", path, "-o", tmp_path / "out", "--parquet", "--eval-fraction", "0.3")
    assert done.code == 0
    handle = library.open_dataset(tmp_path / "out")
    for split in ("train", "eval"):
        (file,) = (tmp_path / "out" / "parquet").glob(f"{split}-*.parquet")
        assert pq.read_table(file).equals(handle.table(split))
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
        assert handle.manifest["files"][f"parquet/{file.name}"] == hashlib.sha256(file.read_bytes()).hexdigest()
    without = run_here(capfd, "validate", path, "-o", tmp_path / "plain")
    assert without.code == 0
    assert not (tmp_path / "plain" / "parquet").exists()
