"""The receipt, the fast path against its oracle, and lines mutated at random: nothing is lost and nothing crashes."""

from __future__ import annotations

import base64
import json
import random
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import referencing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prefdata
from prefdata import schema
from prefdata.errors import InputError
from prefdata.validation.result import ValidationResult
from tests.validation.rows import chat, pairs, read, text, turns

noise = st.sampled_from(
    [
        b"",
        b" \t",
        b"\r",
        b"{",
        b"null",
        b'"x"',
        b"[]",
        b"\xff\xfe\xff",
        b'{"prompt": NaN}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"\\",
    ]
)
tight = pairs.map(lambda row: json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode())
loose = pairs.map(lambda row: json.dumps(row, separators=(",  ", " : ")).encode())
lines = st.lists(st.one_of(tight, loose, noise), max_size=12)
"""Physical lines, many of them rows that agree in part."""
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


documents = st.one_of(
    pairs,
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "user", "tool", "function"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "prompt",
                        "chosen",
                        "rejected",
                        "role",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "type",
                        "id",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
)
ORACLE = jsonschema.Draft202012Validator(
    schema.load("preference_pair"),
    registry=referencing.Registry().with_resource(
        "urn:prefdata:schema:message:1", referencing.Resource.from_contents(schema.load("message"))
    ),
)


def pointers(document: Any) -> list[str]:
    """Where python-jsonschema sees the document break the schema, a missing key added as ``schema.violations`` does."""
    found = []
    for error in ORACLE.iter_errors(document):
        where = "".join(f"/{part}" for part in error.absolute_path)
        if error.validator == "required":
            missing = next(
                key for key in error.validator_value if key not in error.instance and f"'{key}'" in error.message
            )
            where += f"/{missing}"
        found.append(where)
    return found


def places(value: Any, pointer: str = "") -> Iterator[str]:
    """Pointers in the order in which values stand in a document; one with a slash at its end closes a container."""
    yield pointer
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, f"{pointer}/{key}")
        yield f"{pointer}/"


def firsts(document: Any, untold: Collection[str] = ()) -> set[str]:
    """Where the oracle sees the first breach that is not ``untold``; several keys may be missing from one place."""
    order = {pointer: rank for rank, pointer in reversed(list(enumerate(places(document))))}
    ranks = {
        at: order.get(at, order.get(at.rpartition("/")[0] + "/", 0)) for at in pointers(document) if at not in untold
    }
    return {pointer for pointer, rank in ranks.items() if rank == min(ranks.values())}


def checked(folder: Path, files: list[list[bytes]], ended: bool, **options: Any) -> ValidationResult | None:
    """Validate files of lines; ``None`` where there is nothing in them to validate."""
    paths = []
    for number, content in enumerate(files):
        path = folder / f"{number}.jsonl"
        path.write_bytes(b"\n".join(content) + (b"\n" if ended and content else b""))
        paths.append(path)
    try:
        return prefdata.validate(paths, output=folder / "out", examples=3, **options)
    except InputError:
        assert not (folder / "out").exists()
        return None


def assert_receipt(folder: Path, result: ValidationResult) -> None:
    """Every physical line is in exactly one place, and each place names its line and byte."""
    out = folder / "out"
    assert result.manifest is not None
    assert schema.validator("manifest").is_valid(result.manifest)
    counts = result.counts
    assert counts.lines == counts.kept + counts.quarantined + counts.dropped + counts.blank
    refused, dropped = read(out / "quarantine.jsonl"), read(out / "dropped.jsonl")
    handle = prefdata.open_dataset(out)
    kept = [row for split in handle.splits if handle.rows_in(split) for row in handle.rows(split)]
    assert (len(kept), len(refused), len(dropped)) == (counts.kept, counts.quarantined, counts.dropped)
    seen: set[tuple[str, int]] = set()
    for receipt in result.inputs:
        data = Path(receipt.path).read_bytes()
        physical = data.split(b"\n")
        if not physical[-1]:
            physical.pop()
        assert receipt.lines == len(physical)
        assert receipt.lines == receipt.kept + receipt.quarantined + receipt.dropped + receipt.blank
        assert receipt.blank == sum(not line.strip() for line in physical)
        places = [(r["line"], r["byte"], r) for r in (*refused, *dropped) if r["file"] == receipt.path]
        places += [(r["source_line"], r["source_byte"], r) for r in kept if r["source_file"] == receipt.path]
        assert len(places) == receipt.lines - receipt.blank
        for line, byte, record in places:
            assert (receipt.path, line) not in seen
            seen.add((receipt.path, line))
            assert data[byte : byte + len(physical[line - 1])] == physical[line - 1]
            assert byte == 0 or data[byte - 1 : byte] == b"\n"
            if "raw" in record:
                assert record["raw"].encode() == physical[line - 1]
            elif "raw_base64" in record:
                assert base64.b64decode(record["raw_base64"]) == physical[line - 1]
    assert all(record["findings"] for record in refused)
    for record in refused:
        assert any(finding["severity"] == "error" for finding in record["findings"])


@quick
@given(st.lists(lines, min_size=1, max_size=2), st.booleans(), st.booleans())
def test_every_line_is_accounted_for(files: list[list[bytes]], ended: bool, as_chat: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        result = checked(Path(name), files, ended, chat=as_chat)
        if result is not None:
            assert_receipt(Path(name), result)


@quick
@given(
    lines,
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([None, "safe", "unsafe"]),
    st.sampled_from([{}, {"SCH004": "error"}, {"PRF": "warning", "CNV": "info"}]),
)
def test_every_line_is_accounted_for_under_any_options(
    content: list[bytes], ended: bool, fraction: float, fix: Any, severity: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        result = checked(Path(name), [content], ended, eval_fraction=fraction, fix=fix, severity=severity)
        if result is not None:
            assert_receipt(Path(name), result)


@settings(max_examples=60, deadline=None)
@given(st.lists(documents.filter(lambda document: isinstance(document, dict)), min_size=1, max_size=4))
def test_the_whole_way_refuses_what_the_oracle_refuses_at_the_place_that_it_names(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "in.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        result = prefdata.validate(path, examples=1000, fail_on="never")
    for line, row in enumerate(rows, start=1):
        expected = pointers(row)
        found = [f.json_path for f in result.findings if f.line == line and f.code in ("SCH001", "SCH002", "SCH003")]
        assert bool(found) == bool(expected)
        assert set(found) <= set(expected)
        # Without a prompt nothing tells strings from lists: that a list is no string is then not held against it.
        lists = {
            f"/{side}" for side in ("chosen", "rejected") if "prompt" not in row and isinstance(row.get(side), list)
        }
        assert firsts(row, lists) & set(found) or not expected


@quick
@given(lines)
def test_what_is_kept_is_clean_when_it_is_validated_again(content: list[bytes]) -> None:
    from prefdata.records.codec import pair_from, pair_record

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = checked(folder, [content], True)
        if result is None or not result.counts.kept:
            return
        rows = list(prefdata.open_dataset(folder / "out").rows())
        keys = ("id", "prompt", "chosen", "rejected", "tools", "margin", "judgment_ids", "metadata")
        again = [pair_record(pair_from({key: row[key] for key in keys})) for row in rows]
        path = folder / "again.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in again))
        second = prefdata.validate(path, output=folder / "second")
        assert second.counts.kept == len(rows)
        for one, two in zip(rows, prefdata.open_dataset(folder / "second").rows(), strict=True):
            assert {key: one[key] for key in keys} == {key: two[key] for key in keys}


def test_mutated_lines_never_crash_and_are_all_accounted_for(tmp_path: Path) -> None:
    rng = random.Random(2026)
    hotel = turns("Book me a hotel", "Sure.", "In Paris")
    originals = [
        orjson.dumps(row)
        for row in (
            text("naïve 日本", "\u2028 yes", 'no "quoted"', margin=1.5, metadata={"k": [1, {"z": None}]}),
            chat(hotel, [*hotel, *turns("Done", first="assistant")], [*hotel, *turns("No", first="assistant")]),
            chat([{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}]),
        )
    ]

    def mutate(line: bytes) -> bytes:
        data = bytearray(line)
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(data) + 1)
            kind = rng.random()
            if kind < 0.3:
                data[at:at] = rng.choice(
                    [b'"', b"\\", b"{", b"]", b",", b"\xf0", b"\x00", b"null", b"1e400", b"\\ud800", b":"]
                )
            elif kind < 0.6:
                del data[at : at + rng.randint(1, 9)]
            elif kind < 0.8 and at < len(data):
                data[at] = rng.randrange(256)
            else:
                start = rng.randrange(len(data) + 1)
                data[at:at] = data[start : start + rng.randint(1, 40)]
        return bytes(data).replace(b"\n", b"") or b"x"

    content = [originals[0], *(mutate(rng.choice(originals)) for _ in range(4000))]
    result = checked(tmp_path, [content], True)
    assert result is not None
    assert result.counts.kept > 30
    assert result.counts.quarantined > 2000
    assert len({total.code for total in result.totals}) > 9, "the mutations reach few rules"
    assert_receipt(tmp_path, result)


@settings(max_examples=400, deadline=None)
@given(documents)
def test_the_fast_validator_agrees_with_its_oracle(document: Any) -> None:
    expected = pointers(document)
    found = [violation.pointer for violation in schema.violations("preference_pair", document)]
    assert schema.validator("preference_pair").is_valid(document) == (not expected)
    assert sorted(set(found)) == sorted(set(expected))
    assert set(found[:1]) <= firsts(document)


def test_the_oracle_agrees_on_the_first_error_of_single_mistakes() -> None:
    good: list[dict[str, Any]] = [text(metadata={}, margin=1.0), chat(id="x", tools=[{}])]
    for row in good:
        for key in row:
            for wrong in (3, True, [3], {"a": 1}, None, ""):
                document = {**row, key: wrong}
                expected = pointers(document)
                found = [violation.pointer for violation in schema.violations("preference_pair", document)]
                assert set(found[:1]) <= firsts(document), document
                assert set(found) == set(expected)
