"""``prefdata show``: what a person sees of rows, wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import prefdata
from tests.here import run_here
from tests.validation.rows import chat, text, turns, write

Capture = pytest.CaptureFixture[str]
ROWS = [
    text("What is\x1b[1m the capital?", "It is Paris.", "It is London.", id="first", margin=0.5),
    text("2+2?", "4", "4"),
    {"prompt": "2+2?"},
    b"{",
    text("3+3?", "6", "7", id="second"),
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write(tmp_path / "pairs.jsonl", *ROWS)


def test_files_are_shown_line_by_line_with_what_differs_marked(pairs: Path, capfd: Capture) -> None:
    done = run_here(capfd, "show", pairs)
    assert done.code == 0
    assert f"{pairs}:1  id first  margin 0.5" in done.out
    assert "    What is␛[1m the capital?" in done.out
    assert "    It is ⟦Paris⟧." in done.out
    assert "    It is ⟦London⟧." in done.out
    assert 'no pair: /chosen: "chosen" is missing' in done.out
    assert "the line is not JSON" in done.out
    assert "\x1b" not in done.out


def test_a_dataset_and_its_quarantine_are_shown(pairs: Path, tmp_path: Path, capfd: Capture) -> None:
    prefdata.validate(pairs, output=tmp_path / "dataset")
    shown = run_here(capfd, "show", tmp_path / "dataset", "--format", "json")
    rows = json.loads(shown.out)
    assert [(row["id"], row["parts_at"]) for row in rows] == [("first", [0, 6]), ("second", [0, 0])]
    assert rows[1]["from"] == f"{pairs}:5"
    refused = run_here(capfd, "show", tmp_path / "dataset" / "quarantine.jsonl").out
    assert f"refused PRF001  from {pairs}:2" in refused
    assert f"refused SYN001  from {pairs}:4" in refused


def test_rows_are_found_by_id_and_a_missing_one_is_told(pairs: Path, capfd: Capture) -> None:
    done = run_here(capfd, "show", pairs, "--id", "seco", "-q")
    assert done.out.count(f"{pairs}:") == 1
    assert f"{pairs}:5" in done.out
    done = run_here(capfd, "show", pairs, "--id", "third")
    assert done.code == 2
    assert "no row with the id 'third'" in done.err


def test_conversations_show_roles_calls_and_what_both_sides_say_first(tmp_path: Path, capfd: Capture) -> None:
    function = {"name": "add", "arguments": {"a": 2}}
    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}
    said = {"role": "tool", "content": "4"}
    sides = [[call, said, *turns(answer, first="assistant")] for answer in ("It is 4.", "It is 5.")]
    path = write(tmp_path / "in.jsonl", chat(None, *sides))
    done = run_here(capfd, "show", path)
    assert '  ── both go on\n  assistant\n    → add({"a":2})\n  tool\n    4\n' in done.out
    assert "  ── chosen\n  assistant\n    It is ⟦4⟧.\n" in done.out
    row = json.loads(run_here(capfd, "show", path, "--format", "json").out)[0]
    assert row["parts_at"] == [2, 6]


@pytest.mark.parametrize("name", ["absent.jsonl", "empty.jsonl", "folder"])
def test_what_cannot_be_shown_is_told_in_a_line(name: str, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder").mkdir()
    done = run_here(capfd, "show", tmp_path / name)
    assert done.code == 2
    assert done.err.count("\n") <= 3
    assert "Traceback" not in done.err
