"""SIGKILL at random moments: the next run ends with the bytes of an undisturbed one; no half dataset is ever seen."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

import prefdata
from prefdata.errors import DatasetError
from tests.validation.rows import chat, text, turns
from tests.validation.test_validate import files_of

PREFDATA = str(Path(sys.executable).parent / "prefdata")


def hear_interrupts() -> None:
    """Whatever ran before in this process: a process that it begins hears Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def start(folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [PREFDATA, "validate", "in.jsonl", "-o", "out", "--chat", *flags],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=hear_interrupts,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A folder with an input and the dataset made of it, and the seconds that took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    rows = []
    for n in range(6000):
        row = chat(turns(f"q{n}")) if n % 2 else text(f"q{n}", "x" * 400, "y" * 300)
        rows.append({**row, "rejected": row["chosen"]} if n % 50 == 0 else row)
    rows += [rows[1], text("q2", "y" * 300, "x" * 400)]
    (folder / "in.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    began = time.monotonic()
    assert start(folder).wait() == 1
    return folder, time.monotonic() - began


def test_killed_runs_leave_nothing_half_done(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    reference, seconds = undisturbed
    expected = files_of(reference / "out")
    (tmp_path / "in.jsonl").write_bytes((reference / "in.jsonl").read_bytes())
    rng = random.Random(7)
    killed = 0
    for attempt in range(5):
        flags = ["--overwrite"] if attempt % 2 else []
        if not flags and (tmp_path / "out").exists():
            prefdata.open_dataset(tmp_path / "out")
            (tmp_path / "out").rename(tmp_path / f"out{attempt}")
        process = start(tmp_path, *flags)
        time.sleep(seconds * rng.uniform(0.3, 1.05))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if (tmp_path / "out").exists():
            assert files_of(tmp_path / "out") == expected
    assert killed >= 2, "the runs ended before they were killed"
    assert start(tmp_path, "--overwrite").wait() == 1
    assert files_of(tmp_path / "out") == expected
    assert not (tmp_path / "out.state").exists()


def test_killed_between_the_two_moves_of_an_overwrite(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    """The one moment in which no dataset stands at the output: the old one lies in the state folder, and comes back."""
    reference, _ = undisturbed
    expected = files_of(reference / "out")
    (tmp_path / "in.jsonl").write_bytes((reference / "in.jsonl").read_bytes())
    (tmp_path / "out.state").mkdir()
    (reference / "out").rename(tmp_path / "out.state" / "dataset.old")
    with pytest.raises(DatasetError, match="no such dataset"):
        prefdata.open_dataset(tmp_path / "out")
    assert start(tmp_path).wait() == 2, "the old dataset is back, and was not to be replaced"
    assert files_of(tmp_path / "out") == expected
    assert start(tmp_path, "--overwrite").wait() == 1
    assert files_of(tmp_path / "out") == expected


def test_an_interrupt_ends_with_130_and_leaves_no_state(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    reference, _ = undisturbed
    fifo = tmp_path / "in.jsonl"
    os.mkfifo(fifo)
    process = start(tmp_path)
    with fifo.open("wb") as file:
        file.write((reference / "in.jsonl").read_bytes()[:100_000])
        file.flush()
        deadline = time.monotonic() + 30
        while (copied := sum(path.stat().st_size for path in tmp_path.glob("out.state/spooled*"))) < 100_000:
            assert time.monotonic() < deadline, f"{copied} of 100,000 bytes that came through the pipe are read"
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
