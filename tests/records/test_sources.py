"""Lines and where they stand: plain, .gz, .zst, globs, stdin; refused inputs say what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from prefdata.errors import InputError
from prefdata.records.sources import Source, sources

TEXT = "a\r\n\u2028b\n\nlast".encode()
LINES = [(1, 0, b"a"), (2, 3, "\u2028b".encode()), (3, 8, b""), (4, 9, b"last")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lines.jsonl", TEXT),
        ("lines.jsonl.gz", gzip.compress(TEXT)),
        ("lines.jsonl.zst", zstandard.compress(TEXT)),
        ("two.jsonl.zst", zstandard.compress(TEXT[:5]) + zstandard.compress(TEXT[5:])),
    ],
    ids=["plain", "gz", "zst", "two frames of zst"],
)
def test_lines_have_exact_numbers_and_offsets(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    lines = list(Source(str(path)).lines())
    assert [tuple(line) for line in lines] == LINES
    for line in lines:
        assert TEXT[line.byte :].startswith(line.raw)


def test_a_url_is_opened_by_fsspec(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(TEXT)
    assert [tuple(line) for line in Source(f"file://{tmp_path}/lines.jsonl").lines()] == LINES


def test_globs_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).touch()
    assert [Path(source.name).name for source in sources([f"{tmp_path}/*.jsonl"])] == ["a.jsonl", "b.jsonl"]


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(TEXT * 100)[:-20])
    for name, message in {"none.jsonl": "no such file", ".": "is a directory", "damaged.gz": "damaged"}.items():
        with pytest.raises(InputError, match=message) as refused:
            list(Source(str(tmp_path / name)).lines())
        assert refused.value.hint
    with pytest.raises(InputError, match="no file matches"):
        sources([f"{tmp_path}/*.nothing"])
    with pytest.raises(InputError, match="named twice"):
        sources(["x.jsonl", "x.jsonl"])
