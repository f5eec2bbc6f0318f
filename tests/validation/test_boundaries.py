"""What ``prefdata validate`` refuses to read or to overwrite, and what it needs."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import zstandard

import prefdata as library
from prefdata.errors import DatasetError, InputError, UsageError
from prefdata.records.output import State
from tests.conftest import Run
from tests.here import run_here
from tests.validation.rows import text, write


@pytest.mark.parametrize(
    ("name", "data", "expected", "help_"),
    [
        ("empty.jsonl", b"", "there are no rows", "check the path"),
        ("blank.jsonl", b"\n \n", "there are no rows", "check the path"),
        ("array.jsonl", b'[\n{"prompt": "a"},\n{"prompt": "b"}\n]', "one JSON array", "prefdata convert"),
        ("line.jsonl", b'[{"prompt": "a"}, {"prompt": "b"}]', "one JSON array", "prefdata convert"),
        ("pretty.json", b'{\n  "prompt": "a"\n}\n', "one JSON document on many lines", "prefdata convert"),
        ("t.csv", b"prompt,chosen,rejected\na,b,c\n", "looks like CSV", "prefdata convert"),
        ("t.jsonl", b"prompt\tchosen\trejected\na\tb\tc\n", "looks like TSV", "prefdata convert"),
        ("zipped.jsonl", gzip.compress(b"{}", mtime=0), "is gzip data", "rename it to"),
        ("zst.jsonl", zstandard.compress(b"{}"), "is Zstandard data", "rename it to"),
        ("p.jsonl", b"PAR1....", "is a Parquet file", "prefdata convert"),
        ("utf16.jsonl", '{"prompt": "a"}'.encode("utf-16"), "is UTF-16", "iconv"),
        ("cut.jsonl.gz", gzip.compress(b'{"prompt": "a"}' * 9999, mtime=0)[:-20], "is damaged", "again"),
        ("not.jsonl.gz", b"plain text", "is damaged", "again"),
        ("cut.jsonl.zst", zstandard.compress(orjson.dumps(text()) * 9999)[:-9], "is damaged", "again"),
        ("not.jsonl.zst", b"plain text", "is damaged", "again"),
    ],
)
def test_what_is_no_jsonl_gets_one_clear_line(
    name: str, data: bytes, expected: str, help_: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    done = run_here(capfd, "validate", path, "-o", tmp_path / "out")
    assert done.code == 2
    error, hint = done.err.strip().split("\n")
    assert error.startswith(f"error: {path}")
    assert expected in error
    assert help_ in hint
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.state").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.jsonl"], "no such file"),
        (["."], "is a directory"),
        (["*.none"], "no file matches"),
        (["in.jsonl", "-o", "no/such/folder"], "does not exist"),
        (["in.jsonl", "--ignore", "SCH001"], "cannot be ignored"),
        (["in.jsonl", "--select", "ABC"], "there is no rule"),
        (["in.jsonl", "--max-bad", "many"], "is a share"),
        (["in.jsonl", "in.jsonl"], "named twice"),
        (["in.jsonl", "-o", "in.jsonl"], "is not overwritten"),
        (["in.jsonl", "-o", "in.jsonl", "--overwrite"], "no dataset of prefdata"),
        (["in.jsonl", "-o", ".", "--overwrite"], "no dataset of prefdata"),
    ],
)
def test_usage_gets_one_clear_line(arguments: list[str], expected: str, prefdata: Run, tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", text())
    done = prefdata("validate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr.split("\n")[0]
    assert "Traceback" not in done.stderr
    assert (tmp_path / "in.jsonl").read_bytes() == orjson.dumps(text()) + b"\n"


def test_a_row_that_is_an_array_is_refused_not_the_file(tmp_path: Path) -> None:
    result = library.validate(write(tmp_path / "in.jsonl", [1, 2], text()))
    assert result.counts.quarantined_by_code == {"SYN008": 1}
    assert result.counts.kept == 1


def test_finished_work_is_replaced_only_when_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = write(tmp_path / "in.jsonl", text())
    assert run_here(capfd, "validate", pairs, "-o", tmp_path / "out").code == 0
    again = run_here(capfd, "validate", pairs, "-o", tmp_path / "out")
    assert again.code == 2
    assert "--overwrite" in again.err
    write(pairs, text("new"), text("c", "b", "b"))
    assert run_here(capfd, "validate", pairs, "-o", tmp_path / "out", "--overwrite").code == 1
    assert [row["prompt"] for row in library.open_dataset(tmp_path / "out").rows()] == ["new"]
    inside = run_here(capfd, "validate", tmp_path / "out" / "quarantine.jsonl", "-o", tmp_path / "out", "--overwrite")
    assert inside.code == 2
    assert "lies inside" in inside.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]


def test_an_altered_dataset_is_refused(tmp_path: Path) -> None:
    library.validate(write(tmp_path / "in.jsonl", text()), output=tmp_path / "out")
    shard = next((tmp_path / "out" / "train").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes().replace(b"2+2?", b"2+3?"))
    with pytest.raises(DatasetError, match="altered"):
        library.open_dataset(tmp_path / "out")


def test_a_report_stops_at_a_closed_pipe_without_a_traceback(prefdata: Run, tmp_path: Path) -> None:

    pairs = write(tmp_path / "in.jsonl", *[text(f"{n}", "x", "x") for n in range(3000)])
    command = f"'{Path(sys.executable).parent / 'prefdata'}' validate {pairs} --show 3000 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "PRF001" in done.stdout
    assert "Traceback" not in done.stderr


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:

    pairs = write(tmp_path / "in.jsonl", text())
    with State(tmp_path / "out", {}), pytest.raises(UsageError, match="another prefdata process"):
        library.validate(pairs, output=tmp_path / "out")
    assert (tmp_path / "out.state").exists(), "the state of the other process was removed"
    shutil.rmtree(tmp_path / "out.state")
    assert library.validate(pairs, output=tmp_path / "out").ok


def test_paid_work_of_another_command_is_not_swept_away(tmp_path: Path) -> None:

    pairs = write(tmp_path / "in.jsonl", text())
    ledger = tmp_path / "out.state" / "ledger.jsonl"
    ledger.parent.mkdir()
    ledger.write_text("paid\n")
    with pytest.raises(UsageError, match="unfinished work of another command"):
        library.validate(pairs, output=tmp_path / "out")
    assert ledger.read_text() == "paid\n"


def test_a_file_that_changes_meanwhile_gives_no_dataset(tmp_path: Path) -> None:

    pairs = write(tmp_path / "in.jsonl", *[text(str(n)) for n in range(2000)])

    def append(_done: int, _total: int | None) -> None:
        with pairs.open("ab") as file:
            file.write(b"{}\n")

    with pytest.raises(InputError, match="was changed while it was read"):
        library.validate(pairs, output=tmp_path / "out", progress=append)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
def test_a_file_that_grows_shorter_meanwhile_is_told(name: str, tmp_path: Path) -> None:
    """Rows that clash are read a second time, when they are no longer there."""
    body = write(tmp_path / "rows", text("a"), text("b"), text("b")).read_bytes()
    pairs = tmp_path / name

    def put(content: bytes) -> None:
        pairs.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    put(body)
    with pytest.raises(InputError, match=f"{name} was changed while it was read"):
        library.validate(pairs, output=tmp_path / "out", progress=lambda *_: put(body[:50]))
    assert not (tmp_path / "out").exists()
