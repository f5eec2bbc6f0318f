"""Inputs of many parts and many rows: as many files open, and as much memory, as for few."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

import prefdata
from prefdata.errors import PrefdataError
from prefdata.validation import buckets
from prefdata.validation.buckets import ITEMS_IN_MEMORY, Buckets, SpillingSort, bucket_count, placed_keys
from prefdata.validation.cycles import cycles
from prefdata.validation.duplicates import ID, KEY_COLUMNS, MARKS, PROMPT, groups, same_ids
from prefdata.validation.run import MOST_JOBS, jobs_for
from tests.validation.rows import chat, text, turns, write

hashes = st.integers(0, 3).map(lambda number: xxhash.xxh3_64_intdigest(bytes([number])))
key_rows = st.lists(st.tuples(hashes, hashes, hashes, st.just(0) | hashes), max_size=40)


@given(key_rows, st.integers(0, 40), st.sampled_from([1, 2, 5]))
def test_rows_clash_in_buckets_as_they_do_all_together(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]], cut: int, number: int
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    keys = np.zeros((len(rows), KEY_COLUMNS), np.uint64)
    if rows:
        keys[:, : ID + 1] = rows
    paths = [folder / "one", folder / "two"]
    for path, some in zip(paths, (keys[:cut], keys[cut:]), strict=True):
        path.write_bytes(some.tobytes())
    for find, column in ((groups, PROMPT), (same_ids, ID), (cycles, PROMPT)):
        parts = placed_keys(paths, with_id=column == ID)
        sorted_in = Buckets(parts, number * buckets.ROWS_IN_MEMORY, KEY_COLUMNS, column, folder, "keys")
        found = [
            replace(thing, ordinals=tuple(some[list(thing.ordinals), MARKS].tolist()))
            for some in sorted_in
            for thing in find(some)
        ]
        sorted_in.remove()
        assert sorted(found, key=lambda thing: thing.ordinals) == sorted(find(keys), key=lambda thing: thing.ordinals)
    assert [path.name for path in sorted(folder.iterdir())] == ["one", "two"]


def test_rows_far_apart_clash_through_all_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets of 64 Ki rows would make a slow test, so they are made smaller here."""
    monkeypatch.setattr(buckets, "ROWS_IN_MEMORY", 50)
    rows = [text(f"p{n}", f"c{n}", f"r{n}") for n in range(400)]
    circle = [text("p7", "c7", "x"), text("p7", "r7", "c7"), text("p9", "r9", "z"), text("p9", "z", "c9")]
    path = write(tmp_path / "in.jsonl", *rows, text("p1", "c1", "r1", id="a"), text("p2", "c2", "q", id="a"), *circle)
    assert bucket_count(400) == 8
    counts = prefdata.validate(path, fail_on="never").counts
    assert counts.dropped_by_code == {"PRF003": 1}
    assert counts.quarantined_by_code == {"PRF004": 2, "PRF012": 3}


def test_more_parts_than_files_that_may_be_open(tmp_path: Path) -> None:
    """Parts of 32 MiB would make this a test of gigabytes, so they are cut smaller; how they are read is untouched."""
    rows = [text(f"p{n}", f"c{n}", f"r{n}") for n in range(600)]
    path = write(tmp_path / "in.jsonl", *rows, *rows[:5])
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)); "
        "from prefdata.validation import inputs; inputs.PART_BYTES = 100; "
        "from prefdata.validation.validate import validate; "
        "print(validate(sys.argv[1], output=sys.argv[2]).counts.dropped)"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    dataset = prefdata.open_dataset(tmp_path / "out")
    assert len(dataset.manifest["splits"]["train"]["shards"]) > 128
    assert [row["source_line"] for row in dataset.rows()] == list(range(1, 601))


def test_a_large_input_is_cut_into_larger_parts_not_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import prefdata.validation.inputs as inputs

    monkeypatch.setattr(inputs, "PART_BYTES", 100)
    monkeypatch.setattr(inputs, "MOST_PARTS", 4)
    path = write(tmp_path / "in.jsonl", *(text(f"p{n}", f"c{n}", f"r{n}") for n in range(100)))
    prefdata.validate(path, output=tmp_path / "out")
    shards = prefdata.open_dataset(tmp_path / "out").manifest["splits"]["train"]["shards"]
    assert 2 <= len(shards) <= 4
    assert sum(shard["rows"] for shard in shards) == 100


def test_processes_are_started_unasked_only_where_they_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import prefdata.validation.inputs as inputs

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert [jobs_for(1), jobs_for(3)] == [1, 1]
    assert jobs_for(10**6) == min(processors, MOST_JOBS)
    path = write(tmp_path / "in.jsonl", *(text(f"p{n}", f"c{n}", f"r{n}") for n in range(2000)))
    running: set[int] = set()

    def look(_done: int, _total: int | None) -> None:
        running.add(len(multiprocessing.active_children()))

    prefdata.validate(path, jobs=None, progress=look)
    assert running == {0}
    monkeypatch.setattr(inputs, "PART_BYTES", 2000)  # as for an input of gigabytes
    prefdata.validate(path, jobs=None, progress=look)
    assert max(running) == (min(processors, MOST_JOBS) if processors > 1 else 0)


def test_shards_of_an_input_of_unknown_size_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import prefdata.validation.work as work

    monkeypatch.setattr(work, "PART_BYTES", 1)  # a shard for each batch of lines
    monkeypatch.setattr(work, "SHARDS_ALIKE", 2)
    monkeypatch.setattr(work, "LINES_PER_BATCH", 512)
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(orjson.dumps(text(f"p{n}", "c", "r")) + b"\n" for n in range(512 * 40))))
    prefdata.validate(path, output=tmp_path / "out")
    rows = [s["rows"] for s in prefdata.open_dataset(tmp_path / "out").manifest["splits"]["train"]["shards"]]
    assert sum(rows) == 512 * 40
    assert len(rows) < 40
    assert rows[-2] > rows[0]


def test_a_process_that_is_killed_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import prefdata.validation.inputs as inputs

    monkeypatch.setattr(inputs, "PART_BYTES", 2000)
    path = write(tmp_path / "in.jsonl", *(text(f"p{n}", f"c{n}", f"r{n}") for n in range(2000)))

    def kill(_done: int, _total: int | None) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(PrefdataError, match="was killed") as told:
        prefdata.validate(path, output=tmp_path / "out", jobs=2, progress=kill)
    assert "--jobs 1" in str(told.value.hint)
    assert [left.name for left in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(("count", "size"), [(4000, 5500), (80000, 40)], ids=["long rows", "many rows"])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, count: int, size: int) -> None:
    """Peak resident memory of a whole run on some conversations and on three times as many; all rows differ."""
    script = (
        "import re, sys; from prefdata.validation.validate import validate; "
        "validate(sys.argv[1], output=sys.argv[2]); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    peaks = []
    for rows in (count, 3 * count):
        path, body = tmp_path / f"{rows}.jsonl", "x" * size
        with path.open("wb") as file:
            for number in range(rows):
                row = chat(turns(f"{number} {body}"), turns(body, first="assistant"))
                file.write(orjson.dumps(row) + b"\n")
        command = [sys.executable, "-c", script, str(path), str(tmp_path / f"out{rows}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 20, f"peaks of {peaks} MB"


items = st.lists(st.tuples(st.integers(0, 60), st.integers()), max_size=60)


@given(items, st.sampled_from([1, 3, 100]))
def test_items_come_back_in_the_order_of_their_rows(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[int, int]], most: int
) -> None:
    spilling: SpillingSort[int] = SpillingSort(tmp_path_factory.mktemp("found"), 61, most)
    for ordinal, item in items:
        spilling.add(ordinal, item)
    assert list(spilling) == sorted(items, key=lambda pair: pair[0])


@pytest.mark.parametrize("compressed", [False, True])
def test_more_duplicates_than_are_held_in_memory(tmp_path: Path, compressed: bool) -> None:
    """Each is told by its line and its original's, also where lines can only be read again from the start."""
    count = ITEMS_IN_MEMORY + 500
    body = b"".join(orjson.dumps(text(f"p{n % count}", f"c{n % count}", "r")) + b"\n" for n in range(2 * count))
    path = tmp_path / ("in.jsonl.gz" if compressed else "in.jsonl")
    path.write_bytes(gzip.compress(body, 1) if compressed else body)
    counts = prefdata.validate(path, output=tmp_path / "out").counts
    assert (counts.kept, counts.dropped) == (count, count)
    dropped = [orjson.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_bytes().splitlines()]
    assert [record["line"] for record in dropped] == list(range(count + 1, 2 * count + 1))
    assert [record["duplicate_of"]["line"] for record in dropped] == list(range(1, count + 1))
