"""``prefdata convert``: files, detection, accounting, and the user's own mistakes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import prefdata as api
from prefdata.conversion.formats.hh import transcript
from prefdata.errors import OutputExistsError, UsageError
from tests.conftest import Run
from tests.here import run_here

ROWS = [{"prompt": f"Question {n}?", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(5)]
HH = [
    {
        side: f"\n\nHuman: Question {n}?\n\nAssistant: {said} {n}"
        for side, said in (("chosen", "good"), ("rejected", "bad"))
    }
    for n in range(5)
]


def jsonl(*rows: Any) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def read(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_containers_of_one_content_give_one_result(tmp_path: Path) -> None:
    plain = write(tmp_path / "p.jsonl", jsonl(*HH))
    expected = [pair.id for pair in api.convert(plain).pairs]
    pq.write_table(pa.Table.from_pylist(HH), tmp_path / "f.parquet")
    others = [
        write(tmp_path / "p.jsonl.gz", gzip.compress(plain.read_bytes())),
        write(tmp_path / "p.jsonl.zst", zstandard.compress(plain.read_bytes())),
        write(tmp_path / "p.json", json.dumps(HH, indent=2).encode()),
        tmp_path / "f.parquet",
    ]
    for path in others:
        assert [pair.id for pair in api.convert(path).pairs] == expected
    assert [pair.metadata["source_row"] for pair in api.convert(tmp_path / "p.json").pairs] == [1, 2, 3, 4, 5]
    assert len(api.convert([plain, others[0]]).pairs) == 10
    assert len(api.convert(str(tmp_path / "p.json*")).pairs) == 20


def test_rows_stay_aligned_and_dropped_rows_are_listed(tmp_path: Path) -> None:
    rows = [orjson.dumps(row) for row in HH]
    rows[1] = orjson.dumps({"chosen": HH[1]["chosen"], "rejected": "no transcript"})
    rows[3] = orjson.dumps({**HH[3], "rejected": HH[3]["chosen"]})
    source = write(tmp_path / "in.jsonl", rows[0] + b"\n" + rows[1] + b"\n\n{torn\n" + b"\n".join(rows[2:]) + b"\n")
    result = api.convert(source, output=tmp_path / "out.jsonl", from_="hh")
    assert [pair["metadata"]["source_line"] for pair in read(tmp_path / "out.jsonl")] == [1, 5, 7]
    dropped = read(tmp_path / "out.dropped.jsonl")
    assert [(one["line"], one["reason"]) for one in dropped] == [
        (2, "wrong-shape"),
        (4, "invalid-line"),
        (6, "identical-sides"),
    ]
    assert dropped[0]["detail"] == 'column "rejected" does not begin with "\\n\\nHuman:" or "\\n\\nAssistant:"'
    assert [one["raw"] for one in dropped] == [rows[1].decode(), "{torn", rows[3].decode()]
    counts = result.counts
    assert (counts.rows, counts.preferences, counts.kept, counts.pairs) == (6, 6, 3, 3)
    assert dict(counts.dropped) == {"wrong-shape": 1, "invalid-line": 1, "identical-sides": 1}
    assert not result.ok


def test_import_export_import_gives_the_same_pairs(tmp_path: Path) -> None:
    first = api.convert(write(tmp_path / "p.jsonl", jsonl(*HH)), output=tmp_path / "one.jsonl")
    second = api.convert(tmp_path / "one.jsonl", output=tmp_path / "two.jsonl")
    assert (first.format, second.format) == ("hh", "trl")
    for one, two in zip(read(tmp_path / "one.jsonl"), read(tmp_path / "two.jsonl"), strict=True):
        assert {**one, "metadata": 0} == {**two, "metadata": 0}


def test_detection_says_why_and_refuses_to_guess(tmp_path: Path) -> None:
    found = api.convert(write(tmp_path / "p.jsonl", jsonl(*ROWS)))
    assert (found.format, found.counts.pairs) == ("trl", 5)
    assert '"chosen" and "rejected" as text beside "prompt"' in found.reason
    assert api.convert(tmp_path / "p.jsonl", from_="trl").reason == "named with --from"
    half = [{**row, "instruction": "i", "chosen_response": "a", "rejected_response": "b"} for row in ROWS]
    with pytest.raises(UsageError, match=r"could be argilla \(100%\) or trl \(90%\)"):
        api.convert(write(tmp_path / "half.jsonl", jsonl(*half)))
    with pytest.raises(UsageError, match=r"no format that is known \(columns: a, b\)"):
        api.convert(write(tmp_path / "other.jsonl", jsonl({"a": 1, "b": 2})))
    with pytest.raises(UsageError, match=r"is in format trl, .*hh\.jsonl in hh"):
        api.convert([tmp_path / "p.jsonl", write(tmp_path / "hh.jsonl", jsonl(*HH))])


def test_limit_and_overwrite(tmp_path: Path) -> None:
    source = write(tmp_path / "p.jsonl", jsonl(*ROWS))
    assert len(api.convert([source, write(tmp_path / "q.jsonl", jsonl(*ROWS))], limit=7).pairs) == 7
    out = tmp_path / "out.jsonl"
    api.convert(source, output=out, limit=1)
    with pytest.raises(OutputExistsError):
        api.convert(source, output=out)
    api.convert(source, output=out, overwrite=True)
    assert len(read(out)) == 5
    with pytest.raises(UsageError, match="is the input too"):
        api.convert(source, output=source, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.dropped.jsonl", "out.jsonl", "p.jsonl", "q.jsonl"]


speech = st.text(max_size=12).filter(
    lambda said: "\n\n" not in said and not said.endswith("\n") and not said.startswith("\n")
)


@given(st.lists(st.tuples(st.sampled_from(["Human", "Assistant"]), speech), min_size=1, max_size=5))
def test_transcripts_lose_nothing(turns: list[tuple[str, str]]) -> None:
    written = "".join(f"\n\n{speaker}: {said}" for speaker, said in turns)
    names = {"user": "Human", "assistant": "Assistant"}
    assert [(names[turn["role"]], turn["content"]) for turn in transcript(written, "chosen")] == turns


def test_killed_at_work_and_run_again(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "prefdata"), "convert", "-", "-o", "out.jsonl", "--from", "hh", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(jsonl(*HH))
        process.stdin.flush()
        state = tmp_path / "out.jsonl.state"
        deadline = time.monotonic() + 30
        while not (state / "main.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert state.exists()
    assert not (tmp_path / "out.jsonl").exists()
    api.convert(write(tmp_path / "p.jsonl", jsonl(*HH)), output=tmp_path / "out.jsonl")
    assert len(read(tmp_path / "out.jsonl")) == 5
    assert not state.exists()


def test_command(prefdata: Run, tmp_path: Path) -> None:
    done = prefdata("convert", "-", "-o", "out.jsonl", cwd=tmp_path, stdin=jsonl(*HH, {"chosen": "x", "rejected": "y"}))
    assert done.returncode == 1, done.stderr
    assert "format hh: recognised by" in done.stderr
    assert "5 pairs from 5 of 6 preferences" in done.stderr
    assert "wrong-shape" in done.stderr
    assert read(tmp_path / "out.jsonl")[0]["metadata"] == {"source_file": "-", "source_line": 1}
    write(tmp_path / "p.jsonl", jsonl(*HH))
    report = prefdata("convert", "p.jsonl", "-o", "two.jsonl", "--format", "json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    document = orjson.loads(report.stdout)
    assert (document["format"], document["rows"], document["pairs"], document["dropped"]) == ("hh", 5, 5, {})
    listed = prefdata("convert", "--formats")
    assert listed.returncode == 0
    assert "helpsteer3" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jsonl"], "none.jsonl: no such file"),
        (["folder"], "folder is a directory"),
        (["empty.jsonl"], "empty.jsonl is empty"),
        (["text.jsonl"], "no row of text.jsonl is a JSON object"),
        (["latin.jsonl"], "not UTF-8"),
        (["torn.json"], "torn.json is no JSON array"),
        (["torn.jsonl.gz"], "the compressed data is damaged"),
        (["p.jsonl", "--from", "alpaca"], "there is no format 'alpaca'"),
        (["p.jsonl", "--from", "trll"], "did you mean trl?"),
        (["p.jsonl", "--from", "hh"], "p.jsonl is not in format hh: column"),
        (["p.jsonl", "--to", "responses"], "trl holds pairs, no judged responses"),
        (["p.jsonl", "p.jsonl"], "named twice"),
    ],
)
def test_mistakes_get_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "empty.jsonl", b"\n")
    write(tmp_path / "text.jsonl", b"chosen,rejected\n1,2\n")
    write(tmp_path / "latin.jsonl", '{"chosen": "é"}\n'.encode("latin-1"))
    write(tmp_path / "torn.json", orjson.dumps(ROWS)[:-20])
    write(tmp_path / "torn.jsonl.gz", gzip.compress(jsonl(*ROWS))[:-30])
    write(tmp_path / "p.jsonl", jsonl(*ROWS))
    done = run_here(capfd, "convert", *arguments, "-o", "out.jsonl")
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.splitlines()) <= 2
    assert not (tmp_path / "out.jsonl").exists()


def test_wrong_format_named_says_what_it_looks_like(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "p.jsonl", jsonl(*ROWS))
    done = run_here(capfd, "convert", source, "--from", "openai", "-o", tmp_path / "out.jsonl")
    assert 'column "input" is missing' in done.err
    assert "it looks like trl" in done.err


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("f.csv", b"prompt,chosen,rejected\n", "a header without rows"),
        ("f.csv", b"prompt;chosen;rejected\na;b;c\n", "separated by ';'"),
        ("f.txt", b"prompt,chosen,rejected\na,b,c\n", "give it the ending .csv"),
        ("f.xlsx", b"PK\x03\x04rest", "a ZIP file or an Excel workbook"),
        ("f.jsonl", gzip.compress(b'{"prompt": "a"}\n'), "is compressed"),
        ("f.json", b'{\n "prompt": "a"\n}\n', "write one object a line"),
        ("f.json", b'{"data": [{"prompt": "a"}]}', "inside 'data'"),
        (
            "f.jsonl",
            b'{"Prompt": "a", "Chosen": "b", "Rejected": "c"}',
            "perhaps --map prompt=Prompt --map chosen=Chosen",
        ),
        ("f.jsonl", b'{"prompt": null, "chosen": "b", "rejected": "c"}', "prompt: empty in each of the first 1 rows"),
        (
            "f.jsonl",
            b'{"context": [], "response1": "a", "response2": "b"}',
            "nearest, but for the columns overall_pref",
        ),
    ],
)
def test_what_the_file_is_instead(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, data: bytes, said: str
) -> None:
    done = run_here(capfd, "convert", write(tmp_path / name, data), "-o", tmp_path / "out.jsonl")
    assert (done.code, said in done.err, len(done.err.splitlines())) == (2, True, 2), done.err


def test_formats_go_by_their_other_names(tmp_path: Path) -> None:
    assert api.convert(write(tmp_path / "p.jsonl", jsonl(*ROWS)), from_="skywork").format == "trl"
    assert api.convert(write(tmp_path / "h.jsonl", jsonl(*HH)), from_="hh-rlhf").format == "hh"


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    source = write(tmp_path / "p.jsonl", jsonl(*ROWS * 300))
    api.convert(source, output=tmp_path / "out.jsonl", progress=lambda done, total: told.append((done, total)))
    size = source.stat().st_size
    assert told == [(size * 500 // 1500, size), (size * 1000 // 1500, size), (size, size)]
    told.clear()
    api.convert(
        write(tmp_path / "p.jsonl.gz", gzip.compress(source.read_bytes())), progress=lambda *both: told.append(both)
    )
    assert [total for _, total in told] == [None] * 3  # nobody knows how long it is before it is read
