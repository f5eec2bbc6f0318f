"""Fixes: what is mended is right, and nothing else in a file is touched."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prefdata as library
from prefdata.errors import UsageError
from prefdata.types import Edit, Fix
from prefdata.validation.edits import ImpossibleEditError, fixed
from prefdata.validation.registry import all_rules
from prefdata.validation.validate import validate
from tests.here import run_here
from tests.validation.rows import chat, pairs, read, text, write

BOM = b"\xef\xbb\xbf"
ODD = b'{ "prompt" :"2+2?",\t"chosen":"4" , "note": [1,  2] ,"rejected":"5"}'
"""A row that no writer of ours would write, with a key that a safe fix moves under metadata."""
ODD_FIXED = b'{ "prompt" :"2+2?",\t"chosen":"4" , "rejected":"5","metadata":{"note":[1,2]}}'
MISSPELT = text("2+3?", "5", "6", margn=0.5)


def test_the_fixes_of_a_rule_mend_what_it_finds_and_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    mended = set()
    for rule in all_rules():
        path = write(tmp_path / f"{rule.code}.jsonl", *rule.bad)
        before = validate(path, fail_on="never")
        if not any(finding.code == rule.code and finding.fix for finding in before.findings):
            continue
        after = validate(path, fix="unsafe", fail_on="never")
        assert after.fixed is not None
        assert after.fixed.fixes[rule.code]
        assert rule.code not in {finding.code for finding in after.findings if finding.fix}
        again = validate(path, fix="unsafe", fail_on="never")
        assert again.fixed is not None
        assert not again.fixed.lines
        mended.add(rule.code)
    assert mended >= {"SCH003", "SCH004", "SYN003"}


def test_fix_mends_in_place_and_leaves_all_else_byte_for_byte(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.jsonl"
    others = [orjson.dumps(text("a\u2028?", "b", "c")), b"", b'{"prompt":', orjson.dumps(MISSPELT), b" \t"]
    path.write_bytes(b"\n".join([BOM + orjson.dumps(text()), *others, ODD]) + b"\r\n" + b"\xff")
    path.chmod(0o640)
    done = run_here(capfd, "validate", path, "--fix", "-o", tmp_path / "out")
    assert done.code == 1
    assert f"mended 2 rows of {path} (1 × SCH004, 1 × SYN003)" in done.err
    assert path.read_bytes() == b"\n".join([orjson.dumps(text()), *others, ODD_FIXED]) + b"\r\n" + b"\xff"
    assert path.stat().st_mode & 0o777 == 0o640
    handle = library.open_dataset(tmp_path / "out")
    (receipt,) = handle.manifest["inputs"]
    assert receipt["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    for row in handle.rows():
        lines = path.read_bytes().split(b"\n")
        raw = lines[row["source_line"] - 1]
        assert path.read_bytes()[row["source_byte"] :].startswith(raw)
        assert orjson.loads(raw)["prompt"] == row["prompt"]


def test_unsafe_fixes_are_made_only_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", MISSPELT)
    before = path.read_bytes()
    result = validate(path, fix="safe")
    assert path.read_bytes() == before
    assert (result.fixed.lines if result.fixed else None, dict(result.fixable)) == (0, {"unsafe": 1})
    validate(path, fix="unsafe")
    assert read(path) == [text("2+3?", "5", "6", margin=0.5)]


def test_a_role_of_another_format_is_mended_and_the_row_is_kept(tmp_path: Path) -> None:
    row = chat([{"role": "human", "content": "2+2?"}])
    row["chosen"][0]["role"] = "gpt"
    path = write(tmp_path / "in.jsonl", row, chat())
    assert validate(path).counts.quarantined == 1
    result = validate(path, fix="safe")
    assert (result.ok, result.counts.kept, result.counts.dropped) == (True, 1, 1)


def test_diff_shows_what_would_change_and_writes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "in.jsonl", text(), ODD, MISSPELT)
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    done = run_here(capfd, "validate", "in.jsonl", "--diff", "-o", tmp_path / "out")
    assert done.code == 1
    assert "would mend 1 row of in.jsonl (1 × SCH004)" in done.err
    assert path.read_bytes() == before
    assert not (tmp_path / "out").exists()
    assert done.out.splitlines()[:3] == [
        "--- a/in.jsonl",
        "+++ b/in.jsonl",
        "@@ -2 +2 @@ SCH004 move 'note' under metadata",
    ]
    patched = subprocess.run(["patch", "-p1"], input=done.out.encode(), cwd=tmp_path, capture_output=True, check=False)
    assert patched.returncode == 0, patched.stdout
    assert path.read_bytes().split(b"\n")[1] == ODD_FIXED
    assert run_here(capfd, "validate", "in.jsonl", "--diff").code == 0
    assert run_here(capfd, "validate", "in.jsonl", "--diff", "--unsafe-fixes").code == 1


def test_what_cannot_be_mended_in_place_says_so_or_is_copied(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(ODD + b"\n"))
    with pytest.raises(UsageError, match="in place"):
        validate(packed, fix="safe")
    copy = tmp_path / "mended.jsonl"
    result = validate(packed, fix="safe", fixed=copy, output=tmp_path / "out")
    assert copy.read_bytes() == ODD_FIXED + b"\n"
    assert [receipt.path for receipt in result.inputs] == [str(copy)]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ODD)))
    assert run_here(capfd, "validate", "-", "--fix").code == 2
    with pytest.raises(UsageError, match="--fix"):
        validate(copy, fixed=tmp_path / "x.jsonl")
    with pytest.raises(UsageError, match="itself"):
        validate(copy, fix="safe", fixed=copy)
    assert run_here(capfd, "validate", copy, "--unsafe-fixes").code == 2
    (tmp_path / "link.jsonl").symlink_to(copy)
    with pytest.raises(UsageError, match="are one file"):
        validate([copy, tmp_path / "link.jsonl"], fix="safe")
    write(copy, ODD)
    validate(tmp_path / "link.jsonl", fix="safe")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert copy.read_bytes() == ODD_FIXED + b"\n"


def test_a_quarantine_record_is_mended_inside(tmp_path: Path) -> None:
    row = orjson.dumps(chat([{"role": "human", "content": "2+2?"}]))
    pairs_ = write(tmp_path / "in.jsonl", row, chat())
    validate(pairs_, output=tmp_path / "first")
    again = tmp_path / "again.jsonl"
    again.write_bytes((tmp_path / "first" / "quarantine.jsonl").read_bytes())
    result = validate(again, output=tmp_path / "second", fix="safe")
    assert result.counts.kept == 1
    (kept,) = library.open_dataset(tmp_path / "second").rows()
    assert (kept["source_file"], kept["source_line"]) == (str(pairs_), 1)


def test_an_edit_that_does_not_fit_is_refused() -> None:
    twice = b'{"a": 1, "a": 2}'
    for edit in (Edit("/b", remove=True), Edit("/b/c", 1), Edit("/a", 3)):
        with pytest.raises(ImpossibleEditError):
            fixed(twice, Fix("", (edit,)))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('a"\\ é{}[],:\u2028/~'), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b/", "~c"]), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: str = "") -> list[str]:
    found = []
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in items:
        pointer = f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}"
        found += [pointer, *places(item, pointer)]
    return found


@given(st.dictionaries(st.sampled_from(["a", "b/", "~c"]), values, min_size=1), values, st.data())
def test_edits_in_the_bytes_are_edits_in_the_document(document: dict[str, Any], new: Any, data: st.DataObject) -> None:
    pointer = data.draw(st.sampled_from(places(document)))
    remove = data.draw(st.booleans())
    raw = data.draw(st.sampled_from([orjson.dumps(document), orjson.dumps(document, option=orjson.OPT_INDENT_2)]))
    made = orjson.loads(fixed(raw.replace(b"\n", b" "), Fix("", (Edit(pointer, new, remove=remove),))))
    here, there = document, made
    *above, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in above:
        here, there = (x[int(part)] if isinstance(x, list) else x[part] for x in (here, there))
    key = int(last) if isinstance(here, list) else last
    if remove:
        del here[key]
    else:
        here[key] = new
    assert here == there
    assert document == made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(pairs, min_size=1, max_size=5))
def test_fixing_twice_is_fixing_once_and_lines_stay_lines(tmp_path_factory: Any, rows: list[dict[str, Any]]) -> None:
    path = write(tmp_path_factory.mktemp("fix") / "in.jsonl", *rows)
    lines = path.read_bytes().count(b"\n")
    first = validate(path, fix="unsafe", fail_on="never")
    once = path.read_bytes()
    second = validate(path, fix="unsafe", fail_on="never")
    assert path.read_bytes() == once
    assert second.fixed is not None
    assert second.fixed.lines == 0
    assert once.count(b"\n") == lines == first.counts.lines
