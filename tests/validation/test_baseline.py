"""Severities of one run, and baselines: what is known is counted, and only what is new fails."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest

import prefdata as library
from prefdata.errors import InputError, UsageError
from prefdata.validation.validate import validate
from tests.here import run_here
from tests.validation.rows import read, text, write

MARGN = text("2+3?", "5", "6", margn=0.5)
EMPTY = text("2+4?", "6", "")
ROWS = [text(), MARGN, EMPTY, text("2+5?", "7", "8"), text("2+5?", "7", "8")]


def test_a_severity_changes_what_becomes_of_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", *ROWS)
    plain = validate(path, output=tmp_path / "plain")
    assert (plain.counts.kept, plain.counts.quarantined, plain.counts.dropped) == (3, 1, 1)
    strict = validate(path, output=tmp_path / "strict", severity={"unknown-field": "error"})
    assert (strict.counts.kept, strict.counts.quarantined) == (2, 2)
    assert strict.counts.quarantined_by_code == {"PRF002": 1, "SCH004": 1}
    mild = validate(path, output=tmp_path / "mild", severity={"PRF002": "info", "PRF003": "error"}, fail_on="warning")
    assert (mild.counts.kept, mild.counts.quarantined, mild.counts.dropped) == (4, 0, 1)
    assert mild.bad == 2  # the misspelt key, and the duplicate that is an error now
    assert {total.code: total.severity for total in mild.totals}["PRF002"] == "info"
    settings = library.open_dataset(tmp_path / "mild").manifest["settings"]
    assert settings["severity"] == {"PRF002": "info", "PRF003": "error"}


def test_a_guard_stays_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.jsonl", *ROWS, b"{")
    with pytest.raises(UsageError, match="SYN001"):
        validate(path, severity={"SYN001": "warning"})
    done = run_here(capfd, "validate", path, "--severity", "SYN=info,SCH=info", "--fail-on", "error")
    assert done.code == 1  # the line that is no JSON, and the empty side
    for wrong in ("SYN001", "SYN001=bad", "XYZ=info"):
        assert run_here(capfd, "validate", path, "--severity", wrong).code == 2


def test_only_new_findings_fail(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, known = write(tmp_path / "in.jsonl", *ROWS), tmp_path / "known.json"
    assert run_here(capfd, "validate", path).code == 1
    assert run_here(capfd, "validate", path, "--write-baseline", known).code == 0
    done = run_here(capfd, "validate", path, "--baseline", known, "--fail-on", "info")
    assert done.code == 0
    assert f"{path}:" not in done.out, "known findings are not shown"
    assert "known" in done.out

    moved = [b"", *(orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in random.Random(1).sample(ROWS, 5))]
    new = [text("2+6?", "9", ""), text("2+7?", "5", "6", margn=0.5)]
    again = write(tmp_path / "moved.jsonl", *moved, *new)
    result = validate(again, baseline=known, fail_on="warning", output=tmp_path / "out")
    assert [(finding.line, finding.code) for finding in result.findings] == [(7, "PRF002"), (8, "SCH004")]
    assert result.bad == 2
    assert {total.code: (total.findings, total.known) for total in result.totals} == {
        "SCH004": (2, 1),
        "PRF002": (2, 1),
        "PRF003": (1, 1),
    }
    assert len(read(tmp_path / "out" / "quarantine.jsonl")) == 2, "a known finding still refuses its row"


def test_a_baseline_is_the_same_in_any_number_of_processes_and_counts_every_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefdata.validation.inputs.PART_BYTES", 2000)
    rows = [text(f"{number}?", "yes" * (number % 7), "no", margn=number) for number in range(300)]
    path = write(tmp_path / "in.jsonl", *rows, *rows[:50])
    for jobs in (1, 2):
        validate(path, write_baseline=tmp_path / f"{jobs}.json", jobs=jobs, examples=1)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    for jobs in (1, 2):
        assert validate(path, baseline=tmp_path / "1.json", fail_on="info", jobs=jobs).bad == 0


def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", *ROWS)
    with pytest.raises(UsageError, match="no such baseline"):
        validate(path, baseline=tmp_path / "none.json")
    with pytest.raises(InputError, match="no baseline"):
        validate(path, baseline=path)
