"""``prefdata validate`` and ``prefdata explain`` as a user calls them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from datasets import load_from_disk

import prefdata as library
from prefdata.records.codec import pair_id
from prefdata.schema import validator
from tests.conftest import Run
from tests.here import run_here
from tests.validation.rows import chat, read, text, turns, write

SEED_TEXT = text("What is the capital of France?", "The capital of France is Paris.", "France's capital is London.")
HOTEL = turns("Book me a hotel", "Sure, let me search.")
SEED_CHAT = chat(
    HOTEL,
    [*HOTEL, *turns("In Paris please", "Done, booked Hotel Lumiere.")],
    [*HOTEL, *turns("In Paris please", "I cannot do that.")],
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_seeds_string_pair_becomes_a_dataset(prefdata: Run, tmp_path: Path) -> None:
    write(tmp_path / "pairs.jsonl", SEED_TEXT)
    done = prefdata("validate", "pairs.jsonl", "-o", "dataset", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 lines = 1 kept + 0 quarantined + 0 dropped + 0 blank" in done.stdout
    handle = library.open_dataset(tmp_path / "dataset")
    (row,) = handle.rows()
    assert handle.form == "text"
    assert {side: row[side] for side in ("prompt", "chosen", "rejected")} == SEED_TEXT
    assert row["id"] == pair_id(SEED_TEXT)
    assert (row["source_file"], row["source_line"], row["source_byte"]) == ("pairs.jsonl", 1, 0)
    assert load_from_disk(str(tmp_path / "dataset"))["train"][0]["chosen"] == SEED_TEXT["chosen"]
    assert not (tmp_path / "dataset.state").exists()


def test_the_seeds_hotel_row_loses_its_repeated_prompt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = run_here(capfd, "validate", write(tmp_path / "pairs.jsonl", SEED_CHAT), "-o", tmp_path / "dataset")
    assert (done.code, done.err) == (0, "")
    handle = library.open_dataset(tmp_path / "dataset")
    (row,) = handle.rows()
    assert handle.form == "chat"
    assert row["prompt"] == HOTEL
    assert row["chosen"] == turns("In Paris please", "Done, booked Hotel Lumiere.")
    assert row["rejected"] == turns("In Paris please", "I cannot do that.")
    assert load_from_disk(str(tmp_path / "dataset"))["train"][0]["prompt"][0]["content"] == "Book me a hotel"


def test_a_completion_only_row_gives_the_same_pair_as_the_full_trajectory(tmp_path: Path) -> None:
    short = chat(HOTEL, SEED_CHAT["chosen"][2:], SEED_CHAT["rejected"][2:])
    result = library.validate(write(tmp_path / "in.jsonl", SEED_CHAT, short), output=tmp_path / "out")
    assert (result.counts.kept, result.counts.dropped) == (1, 1)
    (dropped,) = read(tmp_path / "out" / "dropped.jsonl")
    assert dropped["line"] == 2
    assert dropped["duplicate_of"]["line"] == 1


def test_chat_turns_strings_into_messages(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = write(tmp_path / "pairs.jsonl", SEED_TEXT, SEED_CHAT)
    mixed = run_here(capfd, "validate", pairs, "-o", tmp_path / "text")
    assert mixed.code == 1
    assert f"{pairs}:2: CNV010" in mixed.out
    assert "--chat" in mixed.out
    done = run_here(capfd, "validate", pairs, "-o", tmp_path / "chat", "--chat")
    assert done.code == 0
    rows = list(library.open_dataset(tmp_path / "chat").rows())
    assert rows[0]["prompt"] == [{"role": "user", "content": SEED_TEXT["prompt"]}]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": SEED_TEXT["chosen"]}]


def test_everything_that_a_row_carries_arrives(tmp_path: Path) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "é": [1, None]}}}]
    row = chat(
        chosen=[
            {"role": "assistant", "content": None, "tool_calls": calls, "name": None},
            {"role": "tool", "content": "4", "tool_call_id": "c", "name": "add"},
            {"role": "assistant", "content": "4 \u2028 日本"},
        ],
        id="mine",
        tools=[{"type": "function", "function": {"name": "add"}}],
        margin=2,
        judgment_ids=["j1", "j2"],
        source="test",
        score_chosen=0.75,
        metadata={"n": 1, "nested": {"k": [True]}},
    )
    plain = chat(turns("Plain?"))
    library.validate(write(tmp_path / "in.jsonl", plain, row), output=tmp_path / "out")
    first, found = library.open_dataset(tmp_path / "out").rows()
    assert first["chosen"] == plain["chosen"]
    assert found["id"] == "mine"
    assert found["chosen"] == [
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "content": "4", "tool_call_id": "c", "name": "add"},
        {"role": "assistant", "content": "4 \u2028 日本"},
    ]
    assert found["tools"] == row["tools"]
    assert (found["margin"], found["judgment_ids"]) == (2.0, ["j1", "j2"])
    assert found["metadata"] == {"n": 1, "nested": {"k": [True]}, "source": "test", "score_chosen": 0.75}
    assert (first["tools"], first["margin"], first["judgment_ids"], first["metadata"]) == ([], None, [], {})


def test_arguments_as_text_and_as_an_object_are_one_pair(tmp_path: Path) -> None:
    def row(arguments: Any) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": "add", "arguments": arguments}}
        return chat(chosen=[{"role": "assistant", "tool_calls": [call]}])

    result = library.validate(write(tmp_path / "in.jsonl", row({"a": 1}), row('{"a":1}')))
    assert result.counts.dropped_by_code == {"PRF003": 1}


def test_a_file_of_everything(prefdata: Run, tmp_path: Path) -> None:
    pairs = write(
        tmp_path / "pairs.jsonl",
        text("one"),
        b"",
        text("two", "4", ""),
        b'{"prompt": "thr',
        text("one"),
        text("four", "A", "B"),
        b"  \t\r",
        text("four", "B", "A"),
        text("five", margn=1),
    )
    done = prefdata("validate", "pairs.jsonl", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    for line in (
        "pairs.jsonl:3: PRF002 rejected is empty",
        "pairs.jsonl:4: SYN001 the line is not JSON",
        "pairs.jsonl:5: PRF003 the same pair as pairs.jsonl:1",
        "pairs.jsonl:6: PRF004 pairs.jsonl:8 prefers the same two answers the other way round",
        "pairs.jsonl:8: PRF004 pairs.jsonl:6 prefers the same two answers the other way round",
        "pairs.jsonl:9: SCH004 'margn' is not a key of a pair",
        "did you mean 'margin'?",
        "9 lines = 2 kept + 4 quarantined + 1 dropped + 2 blank",
        "not ok: 4 lines have findings of severity error",
    ):
        assert line in done.stdout, line
    quarantine = read(tmp_path / "out" / "quarantine.jsonl")
    assert [record["line"] for record in quarantine] == [3, 4, 6, 8]
    lines = pairs.read_bytes().split(b"\n")
    for record in [*quarantine, *read(tmp_path / "out" / "dropped.jsonl")]:
        assert record["raw"].encode() == lines[record["line"] - 1]
        assert pairs.read_bytes()[record["byte"] :].startswith(record["raw"].encode())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert validator("manifest").is_valid(manifest)
    assert manifest["counts"] == {
        "lines": 9,
        "kept": 2,
        "quarantined": 4,
        "dropped": 1,
        "blank": 2,
        "quarantined_by_code": {"PRF002": 1, "PRF004": 2, "SYN001": 1},
        "dropped_by_code": {"PRF003": 1},
    }
    rows = list(library.open_dataset(tmp_path / "out").rows())
    assert [(row["prompt"], row["source_line"]) for row in rows] == [("one", 1), ("five", 9)]
    for row in rows:
        assert json.loads(pairs.read_bytes()[row["source_byte"] :].split(b"\n")[0])["prompt"] == row["prompt"]


def test_without_an_output_nothing_is_written(prefdata: Run, tmp_path: Path) -> None:
    write(tmp_path / "pairs.jsonl", text(), text("b", "c", "c"))
    done = prefdata("validate", "pairs.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert "PRF001" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ([], 1),
        (["--fail-on", "never"], 0),
        (["--max-bad", "1%"], 1),
        (["--max-bad", "20%"], 0),
        (["--max-bad", "0.2"], 0),
        (["--max-bad", "0.19"], 1),
        (["--fail-on", "warning", "--max-bad", "20%"], 1),
        (["--fail-on", "warning", "--max-bad", "40%"], 0),
        (["--ignore", "PRF002"], 0),
        (["--ignore", "PRF002,SCH004", "--fail-on", "warning"], 0),
    ],
)
def test_exit_codes(flags: list[str], code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [text("a"), text("b", "c", ""), text("d", margn=1), text("e"), b"", text("f")]
    assert run_here(capfd, "validate", write(tmp_path / "in.jsonl", *rows), *flags).code == code


def test_nothing_kept_is_said_and_leaves_the_reasons(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = write(tmp_path / "in.jsonl", text("a", "b", "b"))
    done = run_here(capfd, "validate", pairs, "-o", tmp_path / "out", "--fail-on", "never")
    assert done.code == 1
    assert "not ok: no row is kept" in done.out
    assert [r["findings"][0]["code"] for r in read(tmp_path / "out" / "quarantine.jsonl")] == ["PRF001"]
    handle = library.open_dataset(tmp_path / "out")
    assert handle.rows_in("train") == 0


ROWS = [text("a"), text("b", "x", "x"), b"", chat(), text("a"), text("c", "1", "2"), text("c", "2", "1"), text("d")]


def test_every_way_to_read_gives_the_same_rows(
    prefdata: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = write(tmp_path / "in.jsonl", *ROWS)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "in.jsonl.zst").write_bytes(zstandard.compress(plain.read_bytes()))
    library.validate(plain, output=tmp_path / "plain")
    expected = list(library.open_dataset(tmp_path / "plain").rows())
    refused = read(tmp_path / "plain" / "quarantine.jsonl")
    assert [row["prompt"] for row in expected] == ["a", "d"]
    for number, (name, stdin) in enumerate(
        [("in.jsonl.gz", None), ("in.jsonl.zst", None), (f"file://{plain}", None), ("-", plain.read_bytes())]
    ):
        name = str(tmp_path / name) if name.startswith("in.") else name
        out = tmp_path / f"out{number}"
        if stdin is None:
            assert run_here(capfd, "validate", name, "-o", out).code == 1
        else:
            assert prefdata("validate", name, "-o", out, stdin=stdin).returncode == 1
        assert [{**row, "source_file": str(plain)} for row in library.open_dataset(out).rows()] == expected
        found = read(out / "quarantine.jsonl")
        assert [(r["line"], r["byte"], r["raw"]) for r in found] == [(r["line"], r["byte"], r["raw"]) for r in refused]
        assert read(out / "dropped.jsonl")[0]["duplicate_of"] == {"file": name, "line": 1, "byte": 0}


def test_globs_and_several_files_are_accounted_for_each(prefdata: Run, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", text("a"), text("b", "1", "2"))
    write(tmp_path / "b.jsonl", text("a"), text("b", "2", "1"), b"")
    done = prefdata("validate", "*.jsonl", "-o", "out", "--format", "json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert [(item["path"], item["lines"], item["kept"], item["quarantined"], item["dropped"], item["blank"])
            for item in report["inputs"]] == [("a.jsonl", 2, 1, 1, 0, 0), ("b.jsonl", 3, 0, 1, 1, 1)]  # fmt: skip
    assert report["findings"][0]["message"].startswith("b.jsonl:2")
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())


def test_limit_takes_the_first_lines_only(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.jsonl", text("a"), b"", text("b")), write(tmp_path / "2.jsonl", text("c"), text("d"))
    counts = library.validate([one, two], output=tmp_path / "out", limit=4).counts
    assert (counts.lines, counts.kept, counts.blank) == (4, 3, 1)
    assert [row["prompt"] for row in library.open_dataset(tmp_path / "out").rows()] == ["a", "b", "c"]


def test_a_named_pipe_is_read_once(prefdata: Run, tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = b"".join(orjson.dumps(row) + b"\n" for row in (text("a"), text("a"), text("b")))
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    done = prefdata("validate", pipe, "-o", tmp_path / "out")
    writer.join()
    assert done.returncode == 0
    assert "3 lines = 2 kept + 0 quarantined + 1 dropped" in done.stdout


def test_the_same_input_gives_the_same_bytes(prefdata: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "in.jsonl", *ROWS)
        prefdata(
            "validate",
            "in.jsonl",
            "-o",
            "out",
            cwd=tmp_path / name,
            env={"PYTHONHASHSEED": str(len(name) + ord(name[0]))},
        )
    assert files_of(tmp_path / "one" / "out") == files_of(tmp_path / "two" / "out")


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 32 MiB would make a slow test, so parts are cut smaller here; how they run is untouched."""
    import prefdata.validation.inputs as inputs

    monkeypatch.setattr(inputs, "PART_BYTES", 2000)
    rows = [text(f"p{n}", "c" * (n % 90), "r" * (n % 70)) for n in range(120)]
    pairs = write(tmp_path / "in.jsonl", *rows, text("p5", "c" * 5, "r" * 5), text("p9", "r" * 9, "c" * 9))
    one = library.validate(pairs, output=tmp_path / "one", jobs=1)
    two = library.validate(pairs, output=tmp_path / "two", jobs=2)
    assert one.manifest is not None
    assert len(one.manifest["splits"]["train"]["shards"]) > 5
    assert one.counts == two.counts
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    found = [row["source_line"] for row in library.open_dataset(tmp_path / "one").rows()]
    assert found == sorted(set(found))


def test_a_duplicate_is_found_past_a_row_that_swaps_prompt_and_answer(tmp_path: Path) -> None:
    rows = []
    for n in range(40):
        rows += [text(f"a{n}", f"b{n}", f"c{n}"), text(f"b{n}", f"a{n}", f"c{n}"), text(f"a{n}", f"b{n}", f"c{n}")]
    counts = library.validate(write(tmp_path / "in.jsonl", *rows), fail_on="never").counts
    assert (counts.kept, counts.dropped_by_code) == (80, {"PRF003": 40})


def test_statistics_are_those_of_the_rows_kept(tmp_path: Path) -> None:
    rows = [chat(turns("日本", "b", "c"), source="x"), chat(turns("aa"), metadata={"source": "y"}), chat(turns("aa"))]
    manifest = library.validate(write(tmp_path / "in.jsonl", *rows, rows[0]), output=tmp_path / "out").manifest
    assert manifest is not None
    statistics = manifest["statistics"]
    assert statistics["rows"] == 2
    assert statistics["turns"]["prompt"] == {"min": 1, "mean": 2.0, "max": 3} | {
        f"p{p}": (1, 1, 1, 3, 3, 3)[i] for i, p in enumerate((5, 25, 50, 75, 95, 99))
    }
    assert (statistics["characters"]["prompt"]["min"], statistics["characters"]["prompt"]["max"]) == (2, 4)
    assert statistics["sources"] == {"x": 1, "y": 1}


def test_flags_come_from_a_file_and_from_the_environment(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = write(tmp_path / "in.jsonl", text("a"), text("b", "c", ""))
    (tmp_path / "flags.yaml").write_text("fail-on: never\n")
    assert run_here(capfd, "validate", pairs, "--config", tmp_path / "flags.yaml").code == 0
    monkeypatch.setenv("PREFDATA_VALIDATE_IGNORE", "PRF002")
    assert run_here(capfd, "validate", pairs).code == 0
