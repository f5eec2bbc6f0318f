"""``prefdata explain``: a rule, or where a row came from."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import orjson
import pytest

import prefdata
from prefdata.validation.registry import all_rules
from tests.here import run_here
from tests.validation.rows import chat, text, turns, write

Capture = pytest.CaptureFixture[str]


def test_every_rule_has_a_page(capfd: Capture) -> None:
    listed = run_here(capfd, "explain")
    assert listed.code == 0
    for rule in all_rules():
        assert rule.code in listed.out
    page = run_here(capfd, "explain", "cnv001").out
    for part in ("CNV001 prompt-not-shared", "Bad:", "Good:", "Help:", "cannot be switched off", "quarantine.jsonl"):
        assert part in page
    assert page == run_here(capfd, "explain", "prompt-not-shared").out
    assert max(map(len, page.split("\n")[:6])) <= 100


def test_rules_as_json(capfd: Capture) -> None:
    rules = json.loads(run_here(capfd, "explain", "--format", "json").out)
    assert [rule["code"] for rule in rules] == [rule.code for rule in all_rules()]


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
def test_a_row_leads_back_to_its_line(name: str, tmp_path: Path, capfd: Capture) -> None:
    row = chat(turns("Hi", "Hello", "2+2?"), judgment_ids=["j-1", "j-2"], metadata={"from": "café"}, margin=0.5)
    data = b"".join(orjson.dumps(item) + b"\n" for item in (chat(), row))
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    prefdata.validate(path, output=tmp_path / "out")
    id = list(prefdata.open_dataset(tmp_path / "out").rows())[1]["id"]
    told = run_here(capfd, "explain", tmp_path / "out", id[:8]).out
    for part in (
        id,
        f"{path}:2 (byte {len(orjson.dumps(chat())) + 1})",
        "j-1 j-2",
        "from: café",
        "0.5",
        "assistant: 4",
    ):
        assert part in told
    assert orjson.dumps(row).decode() in told
    assert "note:" not in told
    document = json.loads(run_here(capfd, "explain", tmp_path / "out", id, "--format", "json").out)
    assert json.loads(document["raw"]) == row
    assert document["row"]["source_line"] == 2


def test_a_changed_or_missing_source_is_told(tmp_path: Path, capfd: Capture) -> None:
    path = write(tmp_path / "in.jsonl", text("a"), text("b", id="mine"))
    prefdata.validate(path, output=tmp_path / "out")
    shutil.copy(path, tmp_path / "copy")
    write(path, text("a"), text("b", "other"))
    assert "not the one that was validated" in run_here(capfd, "explain", tmp_path / "out", "mine").out
    write(path, text("longer than before"), text("b"))
    assert "was changed since" in run_here(capfd, "explain", tmp_path / "out", "mine").out
    path.unlink()
    assert "no such file" in run_here(capfd, "explain", tmp_path / "out", "mine").out


def test_a_mended_row_leads_back_to_the_first_file(tmp_path: Path, capfd: Capture) -> None:
    path = write(tmp_path / "in.jsonl", text("a"), text("b", id="mine", rejected=""))
    prefdata.validate(path, output=tmp_path / "first")
    quarantine = tmp_path / "first" / "quarantine.jsonl"
    mended = tmp_path / "mended.jsonl"
    mended.write_text(quarantine.read_text().replace('\\"rejected\\":\\"\\"', '\\"rejected\\":\\"5\\"'))
    prefdata.validate(mended, output=tmp_path / "second")
    told = run_here(capfd, "explain", tmp_path / "second", "mine").out
    assert f"{path}:2" in told
    assert "the row was mended" in told


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["XYZ001"], 2, "there is no rule 'XYZ001'"),
        (["PRF01"], 2, "did you mean"),
        (["out", "nothing"], 2, "no row with the id"),
        (["out", "aaa"], 2, "no row with the id"),
        (["out", "same"], 2, "2 rows are meant"),
        (["nowhere", "x"], 3, "no such dataset"),
        (["a", "b", "c"], 2, "explain takes"),
    ],
)
def test_what_is_not_found_gets_one_clear_line(
    arguments: list[str], code: int, expected: str, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prefdata.validate(write(tmp_path / "in.jsonl", text("a", id="same-1"), text("b", id="same-2")), output="out")
    done = run_here(capfd, "explain", *arguments)
    assert done.code == code
    assert expected in done.err
    assert len(done.err.strip().split("\n")) <= 2
