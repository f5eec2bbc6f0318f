"""Containers other than JSON: CSV, TSV, Arrow, folders of datasets, and the loader of the hub on local folders."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
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


def test_cells_of_types_that_json_lacks_take_no_row_with_them(tmp_path: Path) -> None:
    """An image beside the text, a price: they stay with the other columns."""
    beside = {"image": [b"\xff\x00"] * 5, "price": [Decimal("1.50")] * 5, "took": [timedelta(seconds=90)] * 5}
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    pq.write_table(pa.table({**columns, **beside}), tmp_path / "f.parquet")
    pairs = api.convert(tmp_path / "f.parquet").pairs
    assert [pair.chosen for pair in pairs] == [row["chosen"] for row in ROWS]
    pq.write_table(pa.table({**columns, "chosen": [b"\xff"] * 5}), tmp_path / "f.parquet")
    with pytest.raises(PrefdataError):  # bytes that are no text never pass as an answer
        api.convert(tmp_path / "f.parquet", from_="trl")
    assert pairs[0].metadata["fields"] == {"image": {"base64": "/wA="}, "price": "1.50", "took": "0:01:30"}


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
        (b"a,b\n1,2\n1,\xff\n", r"not UTF-8 \(line 3, byte 2 of the line\)"),
        ("a\tb\r\n1\t2\r\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_broken_csv(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "f.csv").write_bytes(data)
    with pytest.raises(InputError, match=said):
        rows(tmp_path / "f.csv")


def test_columns_of_a_spreadsheet_that_have_no_name_are_no_obstacle(tmp_path: Path) -> None:
    """Empty ones beside the table say nothing; what stands in one is kept, by its place."""
    path = tmp_path / "f.csv"
    path.write_text("prompt,chosen,rejected,,\nq,c,r,,\nq2,c,r,,seen\n")
    first, second = api.convert(path).pairs
    assert "fields" not in first.metadata
    assert second.metadata["fields"] == {"column 5": "seen"}


def test_numbers_that_a_pair_has_a_place_for_are_read_from_cells(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("prompt,chosen,rejected,margin,score_chosen\nq,c,r,0.5,7\nq2,c,r,,n/a\n")
    api.convert(path, output=tmp_path / "o.jsonl")
    first, second = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert (first["margin"], first["score_chosen"], "fields" in first["metadata"]) == (0.5, 7, False)
    assert not {"margin", "score_chosen"} & second.keys()
    assert second["metadata"]["fields"] == {"margin": "", "score_chosen": "n/a"}


def test_a_cell_without_a_vote_takes_no_other_vote_with_it(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "idx,instruction,input,response1,response2,annotator1,annotator2,annotator3\n1,Sum?,,WORSE,BETTER,2,,2\n"
    )
    assert len(api.convert(path, to="responses").judgments) == 2
    path.write_text("history,human_ref_A,human_ref_B,labels,score_A,score_B\nSum?,BETTER,WORSE,1,,\n")
    assert [pair.chosen for pair in api.convert(path).pairs] == ["BETTER"]
    path.write_text("instruction,output_1,output_2,annotator,preference\nSum?,WORSE,BETTER,,2\nSum?,WORSE,BETTER,m,\n")
    assert [one.flags for one in api.convert(path, to="responses").judgments] == [(), ("unreadable",)]


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
