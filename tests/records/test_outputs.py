"""Where outputs cannot go: said in one line and before any work, and nothing that is no file is ever replaced."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.here import run_here
from tests.judging.sets import row, write


def command(folder: Path, output: Path, *more: str | Path) -> list[str | Path]:
    responses = write(folder / "r.jsonl", [row(f"s{number}", "a", "bb" * 50) for number in range(200)])
    return ["judge", responses, "-o", output, "--judge", "rule:length:5-", "--overwrite", *more]


def test_a_folder_is_not_replaced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "out"
    kept.mkdir()
    for output, more in ((kept, ()), (tmp_path / "p.jsonl", ("--dropped", kept)), (Path(), ())):
        done = run_here(capfd, *command(tmp_path, output, *more))
        assert (done.code, "is a folder\n" in done.err) == (2, True), done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "r.jsonl"]


def test_what_is_no_file_is_not_replaced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As root, a rename would put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for output, more in ((pipe, ()), (tmp_path / "p.jsonl", ("--dropped", pipe))):
        done = run_here(capfd, *command(tmp_path, output, *more))
        assert (done.code, "is a device or a pipe" in done.err) == (2, True), done.err
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "r.jsonl"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    done = run_here(capfd, *command(tmp_path, locked / "p.jsonl"))
    assert (done.code, "nothing can be written into the folder" in done.err) == (2, True), done.err


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl.state").write_text("in the way")
    done = run_here(capfd, *command(tmp_path, tmp_path / "p.jsonl"))
    error, hint = done.err.splitlines()
    assert (done.code, "p.jsonl.state, where unfinished work is kept, cannot be used: File exists" in error) == (
        2,
        True,
    )
    assert f"remove {tmp_path}/p.jsonl.state" in hint


def test_a_disk_that_takes_no_more_ends_the_run_in_one_line(tmp_path: Path) -> None:
    """A limit on the size of files is the full disk that a test can have."""
    words = [str(Path(sys.executable).parent / "prefdata"), *map(str, command(tmp_path, tmp_path / "p.jsonl"))]
    limited = f"ulimit -f 16; exec {shlex.join(words)}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=120, check=False)
    error, hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert error.endswith("File too large")
    assert "run the same command again" in hint
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]
