"""The same work without a browser, through the real command."""

from __future__ import annotations

from pathlib import Path

from tests.annotation.projects import read, row, write
from tests.conftest import Run

SETS = [
    row("two", "The sky is blue.", "The sky is green."),
    row("list", "alpha", "beta", "gamma"),
    row("bad", "x", "y\x1b[31mred\x1b]0;title\x07"),
    row("skipped", "1", "2"),
    row("last", "p", "q"),
]


def ask(prefdata: Run, folder: Path, *lines: str, **more: str) -> str:
    write(folder / "r.jsonl", SETS)
    done = prefdata(
        *("annotate", folder / "r.jsonl", "--store", folder / "s.db", "--annotator", "ann", "--terminal"),
        stdin="".join(line + "\n" for line in lines),
        env=more,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_person_at_a_terminal(prefdata: Run, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "%s" "edited here" > "$1"\n')
    editor.chmod(0o755)
    said = ask(
        prefdata,
        tmp_path,
        *("what", "n", "clear enough", "f", "A", "broken", "1"),  # two
        *("3>1=2", "u", "3 > 1 = 2"),  # list, taken back, and said again
        *("e", "B", "b"),  # bad
        *("s", "I do not know", "q"),
        EDITOR=str(editor),
    )
    assert "\x1b" not in said.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "+edited here" in said
    done = prefdata("annotate", "export", tmp_path / "s.db", "-o", tmp_path / "j.jsonl")
    assert done.returncode == 0
    found = {record["response_set_id"]: record for record in read(tmp_path / "j.jsonl")}
    assert list(found) == ["two", "list", "bad"]
    two = found["two"]
    assert (two["ranking"], two["strength"], two["rationale"]) == ([[id] for id in two["shown"]], 3.0, "clear enough")
    assert two["metadata"]["response_flags"] == {two["shown"][0]: ["broken"]}
    one, other, third = found["list"]["shown"]
    assert found["list"]["ranking"] == [[third], [one, other]]
    assert found["bad"]["flags"] == ["both_bad"]
    edits = read(tmp_path / "j.edits.jsonl")
    assert edits[0]["responses"][0]["response"] == "edited here"
    assert "4 answered" not in said
    # It goes on where it was, and ends by itself.
    said = ask(prefdata, tmp_path, "g")
    assert "Nothing is left for you." in said


def test_an_editor_that_fails_ends_nothing(prefdata: Run, tmp_path: Path) -> None:
    said = ask(prefdata, tmp_path, "n", "because", "e", "A", "g", "q", EDITOR="false")
    assert "Editing failed" in said
    prefdata("annotate", "export", tmp_path / "s.db", "-o", tmp_path / "j.jsonl")
    assert [record["rationale"] for record in read(tmp_path / "j.jsonl")] == ["because"]


def test_the_end_of_input_is_a_way_out(prefdata: Run, tmp_path: Path) -> None:
    said = ask(prefdata, tmp_path)
    assert "0 answered" in said.splitlines()[-1]
