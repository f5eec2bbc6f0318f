"""Refused lines come back: mended by hand, or as they were, and always with the place that they came from."""

from __future__ import annotations

import json
from pathlib import Path

import orjson

import prefdata
from prefdata.validation.lines import MAX_LINE_BYTES
from tests.validation.rows import chat, read, text, write


def test_a_quarantine_file_can_be_mended_and_validated_again(tmp_path: Path) -> None:
    rows = [text("a"), text("b", "c", ""), b'{"prompt": "c", "chosen": "d", "rejected": "e"', b'{"prompt": "\xff"}']
    pairs = write(tmp_path / "pairs.jsonl", *rows)
    prefdata.validate(pairs, output=tmp_path / "first")
    quarantine = tmp_path / "first" / "quarantine.jsonl"
    before = {"c": rows[2], "b": orjson.dumps(rows[1])}
    edited = quarantine.read_text().replace('\\"rejected\\":\\"\\"', '\\"rejected\\":\\"mended\\"')
    edited = edited.replace('\\"rejected\\": \\"e\\"', '\\"rejected\\": \\"e\\"}')
    mended = tmp_path / "mended.jsonl"
    mended.write_text(edited)
    result = prefdata.validate([pairs, mended], output=tmp_path / "second")
    assert (result.counts.lines, result.counts.kept, result.counts.quarantined) == (7, 3, 4)
    found = list(prefdata.open_dataset(tmp_path / "second").rows())
    assert [(row["prompt"], row["source_file"], row["source_line"]) for row in found] == [
        ("a", str(pairs), 1),
        ("b", str(pairs), 2),
        ("c", str(pairs), 3),
    ]
    for row in found[1:]:
        assert pairs.read_bytes()[row["source_byte"] :].startswith(before[row["prompt"]])
    assert [(item.kept, item.quarantined) for item in result.inputs] == [(1, 3), (2, 1)]


def test_lines_that_are_not_mended_are_refused_as_they_were(tmp_path: Path) -> None:
    rows = [text("b", "c", ""), b'{"prompt": "\xff"}', b"nonsense", [1], text("x"), text("x", "5", "4"), {"prompt": 1}]
    pairs = write(tmp_path / "pairs.jsonl", *rows)
    prefdata.validate(pairs, output=tmp_path / "first")
    prefdata.validate(tmp_path / "first" / "quarantine.jsonl", output=tmp_path / "second")
    first, second = (read(tmp_path / name / "quarantine.jsonl") for name in ("first", "second"))
    assert len(first) == 7
    assert [{**record, "findings": None} for record in second] == [{**record, "findings": None} for record in first]
    codes = [[[finding["code"] for finding in record["findings"]] for record in records] for records in (first, second)]
    assert codes[0] == codes[1]


def test_rows_of_a_quarantine_file_clash_with_others_under_their_old_place(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", text("a"), text("x"), text("x", "5", "4"), text("b", "", "c"))
    prefdata.validate(pairs, output=tmp_path / "first")
    quarantine = tmp_path / "first" / "quarantine.jsonl"
    mended = tmp_path / "mended.jsonl"
    mended.write_bytes(b"".join(line + b"\n" for line in quarantine.read_bytes().split(b"\n") if b'"line":2' in line))
    result = prefdata.validate([mended, pairs], output=tmp_path / "second")
    assert result.counts.kept == 1
    messages = {
        f"{finding.file}:{finding.line}": finding.message for finding in result.findings if finding.code == "PRF004"
    }
    assert messages[f"{pairs}:3"].startswith(f"{pairs}:2, {pairs}:2 prefers")


def test_a_dropped_file_can_be_taken_in_too(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", text("a"), text("a"))
    prefdata.validate(pairs, output=tmp_path / "first")
    result = prefdata.validate(tmp_path / "first" / "dropped.jsonl", output=tmp_path / "second")
    assert result.counts.kept == 1
    (row,) = prefdata.open_dataset(tmp_path / "second").rows()
    assert (row["source_file"], row["source_line"]) == (str(pairs), 2)


def test_an_overlong_line_is_not_held_and_not_forgotten(tmp_path: Path) -> None:
    long = b'{"prompt": "' + b"x" * (MAX_LINE_BYTES + 10) + b'"}'
    pairs = write(tmp_path / "pairs.jsonl", text("a"), long, text("b"))
    result = prefdata.validate(pairs, output=tmp_path / "first")
    assert (result.counts.lines, result.counts.kept) == (3, 2)
    (record,) = read(tmp_path / "first" / "quarantine.jsonl")
    assert record["findings"][0]["code"] == "SYN009"
    assert record["bytes"] == len(long)
    assert len(record["raw"]) < 10_000
    rows = list(prefdata.open_dataset(tmp_path / "first").rows())
    assert pairs.read_bytes()[rows[1]["source_byte"] :] == orjson.dumps(text("b")) + b"\n"
    again = prefdata.validate(tmp_path / "first" / "quarantine.jsonl", output=tmp_path / "second")
    assert again.counts.quarantined_by_code == {"SYN009": 1}


def test_a_row_with_thousands_of_mistakes_stays_one_readable_record(tmp_path: Path) -> None:
    row = chat([{"role": "usr", "content": 1}] * 5000)
    prefdata.validate(write(tmp_path / "pairs.jsonl", row, chat()), output=tmp_path / "out")
    (record,) = read(tmp_path / "out" / "quarantine.jsonl")
    assert 10 < len(record["findings"]) <= 60
    assert json.loads(record["raw"]) == row
