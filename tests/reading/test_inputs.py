"""Rows of JSONL, JSON arrays and Parquet."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import InputError
from prefdata.reading import inputs as reading
from prefdata.reading.inputs import raw_rows
from prefdata.reading.rawrow import RawRow
from prefdata.records.sources import Source


def rows(path: Path, data: bytes | None = None) -> list[RawRow]:
    if data is not None:
        path.write_bytes(data)
    return list(raw_rows(Source(str(path)), path.name))


def test_jsonl_plain_and_compressed(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\n\n{"a": "x\xe2\x80\xa8y"}\r\n[1]\n{"a"\n\xff\n'
    for name, packed in (("f.jsonl", data), ("f.jsonl.gz", gzip.compress(data)), ("f.zst", zstandard.compress(data))):
        found = rows(tmp_path / name, packed)
        assert [(row.line, row.value) for row in found] == [
            (1, {"a": 1}),
            (3, {"a": "x\u2028y"}),
            (4, None),
            (5, None),
            (6, None),
        ]
        assert [str(row.problem)[:8] for row in found[2:]] == ["not a JS", "not JSON", "not UTF-"]
        assert found[0].place == {"file": name, "line": 1}


def test_array_tells_line_and_row(tmp_path: Path) -> None:
    found = rows(tmp_path / "f.json", b'\xef\xbb\xbf [\n {"a":\n  1},\n 7, {"b": "]"}\n]\n\n')
    assert [(row.line, row.row, row.value) for row in found] == [(2, 1, {"a": 1}), (4, 2, None), (4, 3, {"b": "]"})]
    assert found[1].problem == "not a JSON object"
    assert found[0].text == '{"a":\n  1}'
    assert rows(tmp_path / "f.json", b"[]") == []


values = st.text(max_size=4) | st.floats(allow_nan=False) | st.lists(st.integers(-9, 9), max_size=2)
documents_ = st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=5)


@given(documents_, st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_arrays_are_read_as_json_does(documents: list[Any], chunk: int, indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(documents, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    window = reading._Window("f", io.BytesIO(data))
    before, reading.CHUNK = reading.CHUNK, chunk
    try:
        window.take("[")
        found = []
        window.skip(" \n")
        while window.peek() != "]":
            if found:
                window.take(",")
                window.skip(" \n")
            found.append(json.loads(window.value()))
            window.skip(" \n")
    finally:
        reading.CHUNK = before
    assert found == documents


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'[{"a": 1}', "expected ',', found 'the end of the file'"),
        (b'[{"a": 1} {"b": 2}]', "expected ',', found '{'"),
        (b'[{"a": 1}, {"b": ]', "line 1"),
        (b'[{"a": 1}]\n{"b": 2}', "text after the end"),
        (b'[\n{"a": "\xff"}]', "not UTF-8"),
    ],
)
def test_broken_arrays_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=r"f.json is no JSON array") as caught:
        rows(tmp_path / "f.json", data)
    assert said in caught.value.message


def test_arrays_are_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    with path.open("w") as file:
        file.write("[")
        file.writelines(f'{", " if n else ""}{{"text": "{"x" * 10_000}"}}' for n in range(2000))  # 20 MB in one line
        file.write("]")
    tracemalloc.start()
    count = sum(1 for _ in raw_rows(Source(str(path)), "f"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2000
    assert peak < 8_000_000


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"chosen": ["a", None], "turns": [[{"role": "user"}], []]}), path)
    found = rows(path)
    assert [(row.row, row.line, row.value) for row in found] == [
        (1, None, {"chosen": "a", "turns": [{"role": "user"}]}),
        (2, None, {"chosen": None, "turns": []}),
    ]
    pq.write_table(pa.table({"blob": [b"\xff"], "text": ["é".encode()]}), path)
    assert rows(path)[0].value == {"blob": {"base64": "/w=="}, "text": "é"}
    with pytest.raises(InputError, match="damaged"):
        rows(path, b"PAR1" + b"x" * 50)
