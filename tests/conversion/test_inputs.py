"""Containers other than JSON: CSV, TSV, Arrow, folders of datasets, and the loader of the hub on local folders."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

import prefdata as api
from prefdata.errors import InputError, PrefdataError, UsageError
from prefdata.reading.inputs import raw_rows
from prefdata.reading.rawrow import RawRow
from prefdata.records.sources import Source

ROWS = [{"prompt": f"Question {n}?", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(5)]
TABLE = pa.Table.from_pylist(ROWS)


def rows(path: Path) -> list[RawRow]:
    return list(raw_rows(Source(str(path)), path.name))


def ids(source: object, **options: object) -> list[str]:
    return [pair.id for pair in api.convert(source, **options).pairs]  # type: ignore[arg-type]


@pytest.fixture
def expected(tmp_path: Path) -> list[str]:
    path = tmp_path / "plain.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return ids(path)


def test_tables_of_one_content_give_one_result(tmp_path: Path, expected: list[str]) -> None:
    with pa.ipc.new_file(str(tmp_path / "f.arrow"), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), TABLE.schema) as writer:
        writer.write_table(TABLE)
    text = "prompt,chosen,rejected\n" + "".join(",".join(row.values()) + "\n" for row in ROWS)
    (tmp_path / "f.csv").write_text(text)
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "f.tsv").write_text(text.replace(",", "\t"))
    for name in ("f.arrow", "s.arrow", "f.csv", "f.csv.gz", "f.tsv"):
        assert ids(tmp_path / name) == expected, name
    (tmp_path / "broken.arrow").write_bytes(b"ARROW1" + b"x" * 40)
    with pytest.raises(InputError, match="file is damaged"):
        rows(tmp_path / "broken.arrow")


def test_csv_cells_span_lines_and_broken_rows_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes('\ufeffprompt,chosen,rejected\r\n"a\r\nb","say ""x""",é\r\n\r\n1,2\r\nq,c,r\r\n'.encode())
    found = rows(path)
    assert [(row.line, row.row) for row in found] == [(2, 1), (5, 2), (6, 3)]
    assert found[0].value == {"prompt": "a\r\nb", "chosen": 'say "x"', "rejected": "é"}
    assert (found[1].value, found[1].problem) == (None, "2 cells, the header has 3")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,a\n1,2\n", "names the column 'a' twice"),
        (b'a,b\n"1,2\n', "unexpected end of data"),
        (b"a,b\n\xff,2\n", "not UTF-8"),
    ],
)
def test_broken_csv(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "f.csv").write_bytes(data)
    with pytest.raises(InputError, match=said):
        rows(tmp_path / "f.csv")


def test_csv_holds_conversations_and_votes(tmp_path: Path) -> None:
    import csv

    path = tmp_path / "f.csv"
    with path.open("w", newline="") as file:
        names = ["id", "model_a", "model_b", "prompt", "response_a", "response_b"]
        writer = csv.writer(file)
        writer.writerow([*names, "winner_model_a", "winner_model_b", "winner_tie"])
        writer.writerow(["1", "x", "y", '["Sum?"]', '["WORSE"]', '["BETTER"]', 0, 1, 0])  # as Kaggle's file has it
    result = api.convert(path)
    assert result.format == "lmsys"
    assert [pair.chosen[0].content for pair in result.pairs] == ["BETTER"]  # type: ignore[union-attr]
    with path.open("w", newline="") as file:
        sides = [[{"role": "user", "content": "Sum?"}, {"role": "assistant", "content": said}] for said in "ab"]
        csv.writer(file).writerows([["chosen", "rejected"], [json.dumps(side) for side in sides]])
    (pair,) = api.convert(path).pairs
    assert pair.prompt[0].content == "Sum?"  # type: ignore[union-attr]


def test_folders_of_datasets(tmp_path: Path, expected: list[str]) -> None:
    one = datasets.Dataset(TABLE)
    one.save_to_disk(str(tmp_path / "one"))
    one.select([4, 3, 2, 1, 0]).save_to_disk(str(tmp_path / "turned"))  # rows in another order than on disk
    datasets.DatasetDict({"train": one, "test": one.select([0])}).save_to_disk(str(tmp_path / "two"))
    assert ids(tmp_path / "one") == expected
    assert ids(tmp_path / "turned") == expected[::-1]
    assert ids(tmp_path / "two", split="test") == expected[:1]
    with pytest.raises(UsageError, match="has several splits") as caught:
        api.convert(tmp_path / "two")
    assert "train, test" in str(caught.value.hint)
    with pytest.raises(UsageError, match="has no split 'dev'"):
        api.convert(tmp_path / "two", split="dev")
    with pytest.raises(UsageError, match="are of data set folders"):
        api.convert(tmp_path / "plain.jsonl", split="train")
    with pytest.raises(UsageError, match="one split by itself"):
        api.convert(tmp_path / "one", split="train")
    next((tmp_path / "one").glob("*.arrow")).write_bytes(b"torn")
    with pytest.raises(InputError, match="no data set can be loaded"):
        api.convert(tmp_path / "one")


def test_the_hub_loader_on_a_local_folder(tmp_path: Path, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repo").mkdir()
    for split, some in (("train", ROWS), ("test", ROWS[:2])):
        (tmp_path / "repo" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    name = f"hf:{tmp_path / 'repo'}"
    found = api.convert(name)
    assert [pair.id for pair in found.pairs] == expected
    assert found.pairs[4].metadata["source_row"] == 5
    assert ids(name, split="test") == expected[:2]
    assert ids(name, limit=1) == expected[:1]
    with pytest.raises(InputError, match="dev"):
        api.convert(name, split="dev")
    with pytest.raises(UsageError, match="names no data set"):
        api.convert("hf:")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PrefdataError, match="hf:nobody/nothing") as caught:
        api.convert("hf:nobody/nothing")
    assert "\n" not in caught.value.message


def test_scattered_rows_are_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "kto.jsonl"
    with path.open("w") as file:
        for label in ("true", "false"):  # every prompt's second row stands 10 MB after its first
            for n in range(1000):
                filler = f"{label} {n} " * 600
                file.write(f'{{"prompt": "Q{n}", "completion": "{filler}", "label": {label}}}\n')
    tracemalloc.start()
    result = api.convert(path, output=tmp_path / "pairs.jsonl")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (result.counts.rows, result.counts.preferences, result.counts.pairs) == (2000, 1000, 1000)
    assert peak < 8_000_000
