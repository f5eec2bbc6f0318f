"""What a person, a script and GitHub read."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from prefdata.validation.report import FORMATS
from prefdata.validation.report.text import columns, render
from prefdata.validation.validate import validate
from tests.conftest import Run
from tests.here import run_here
from tests.validation.rows import chat, text, turns, write

HI = turns("Hi", "Hello there, how are you?")


def marked(report: str) -> list[str]:
    """What stands above the carets of a report."""
    lines = report.split("\n")
    found = []
    for above, line in itertools.pairwise(lines):
        if line.strip() and set(line.strip()) == {"^"}:
            start = len(line) - len(line.lstrip())
            found.append(above[start : start + len(line.strip())])
    return found


def test_the_place_is_marked(tmp_path: Path) -> None:
    pairs = write(
        tmp_path / "in.jsonl",
        b'{"prompt": "2+2?", "chosen": "4", "rejected": "4"}',
        b'{"prompt": "2+2?", "chosen": "4" "rejected": "5"}',
        b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "chosen": "4"}',
        b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": NaN}',
        b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "metadata": {"a": [0, 99999999999999999999]}}',
        b'{"prompt": "2+2?", "chosen": "4", "rejected": "\\ud83d"}',
        b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margn": 3}',
    )
    assert marked(render(validate(pairs), show=9)) == [
        '"4"',
        '"',
        '"chosen"',
        "NaN",
        "99999999999999999999",
        "\\ud83d",
        "3",
    ]


def test_the_difference_is_marked(tmp_path: Path) -> None:
    other = turns("Hi", "Hello where, how are you?")
    row = chat([*HI, *turns("2+2?")], [*HI, *turns("2+2?", "4")], [*other, *turns("2+2?", "5")])
    lines = render(validate(write(tmp_path / "in.jsonl", row))).split("\n")
    assert "CNV001 chosen starts with the whole prompt, rejected does not: message 1 differs" in lines[0]
    ours, theirs, caret = lines[1:4]
    at = caret.index("^")
    assert (ours[at : at + 5], theirs[at : at + 5]) == ("there", "where")


def test_excerpts_fit_the_terminal_and_carets_stand_under_wide_letters(tmp_path: Path) -> None:
    rows = [
        text("日本語" * 60, "x", "x"),
        text("p" * 500, "c" * 500, ""),
        b'{"prompt": "' + "é".encode() * 300 + b'" 1}',
    ]
    result = validate(write(tmp_path / "in.jsonl", *rows))
    for width in (40, 80, 133):
        report = render(result, width=width)
        for line in report.split("\n"):
            if line.startswith("    ") and "help" not in line:
                assert columns(line) <= width
        caret = next(line for line in report.split("\n") if line.strip() == "^^^")
        above = report.split("\n")[report.split("\n").index(caret) - 1]
        assert columns(above[: above.rindex('"x"')]) == len(caret) - 3


def test_control_characters_cannot_move_the_cursor(tmp_path: Path) -> None:
    row = chat([*HI], [*HI, *turns("\x1b[2J", "4")], turns("\x1b[31m", "5"))
    pairs = write(tmp_path / "in.jsonl", row, b'{"prompt": "\x1b[2J\r\x00"', text("a"))
    report = render(validate(pairs))
    assert "\x1b" not in report
    assert "\r" not in report


def test_the_first_of_each_rule_are_shown_and_all_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = write(tmp_path / "in.jsonl", *[text(str(n), "x", "x") for n in range(2345)], text("a"))
    done = run_here(capfd, "validate", pairs, "--show", "3")
    assert done.out.count(": PRF001") == 3
    assert "and 2,342 more" in done.out
    assert "identical-sides  error     quarantine      2,345      2,345" in done.out
    assert done.out.count("help: remove the row") == 1, "the same help is said once"
    quiet = run_here(capfd, "validate", pairs, "-q")
    assert "in.jsonl:1" not in quiet.out
    assert "2,346 lines" in quiet.out


def test_json_is_one_document_on_stdout(prefdata: Run, tmp_path: Path) -> None:
    pairs = write(tmp_path / "in.jsonl", *[text(str(n), "x", "x") for n in range(30)], text("a"))
    done = prefdata("validate", pairs, "--format", "json")
    report = json.loads(done.stdout)
    assert done.stderr == "not ok: 30 lines have findings of severity error\n"
    assert report["rules"]["PRF001"]["findings"] == 30
    first = report["findings"][0]
    assert (first["code"], first["file"], first["line"], first["byte"]) == ("PRF001", str(pairs), 1, 0)
    assert (first["json_path"], first["severity"]) == ("/rejected", "error")
    assert len(report["findings"]) == 20


def test_github_gets_workflow_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = write(tmp_path / "in,put:1.jsonl", text("100%", "x", "x"), text("b", margn=1))
    out = run_here(capfd, "validate", pairs, "--format", "github").out.strip().split("\n")
    place = str(pairs).replace(",", "%2C").replace(":", "%3A")
    assert out[0].startswith(f"::error file={place},line=1,title=PRF001 identical-sides::chosen and rejected")
    assert out[1].startswith(f"::warning file={place},line=2,title=SCH004")
    assert "%0Ahelp: " in out[0]
    assert out[2].startswith("::notice title=prefdata validate::2 lines = 1 kept + 1 quarantined")
    assert len(out) == 3
    assert set(FORMATS) == {"text", "json", "github"}


def test_colour_is_for_terminals_only(tmp_path: Path) -> None:
    pairs = write(tmp_path / "in.jsonl", text("a", "x", "x"))
    command = f"{Path(sys.executable).parent / 'prefdata'} validate {pairs}"

    def on_a_terminal(environment: str) -> str:
        script = ["script", "-qec", f"env {environment} {command}", "/dev/null"]
        return subprocess.run(script, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout

    colored = on_a_terminal("TERM=xterm")
    if "PRF001" not in colored:
        pytest.skip("there is no `script` to make a terminal with")
    assert "\x1b[31mPRF001" in colored
    assert "\x1b[31m" not in on_a_terminal("TERM=xterm NO_COLOR=1")
