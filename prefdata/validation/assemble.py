"""From what the parts left to a dataset folder: shards, refused lines, report and, last of all, the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from prefdata.records.arrow import Form, HashedFile, bool_array, write_split_files
from prefdata.records.dataset import write_manifest
from prefdata.records.ids import content_id, file_sha256
from prefdata.validation.clashes import Settled
from prefdata.validation.result import Counts
from prefdata.validation.splits import TRAIN, Piece
from prefdata.validation.statistics import SIZES, Sizes, statistics_of
from prefdata.validation.work import Done, part_file
from prefdata.version import __version__

QUARANTINE, DROPPED, REPORT, PAGE = "quarantine.jsonl", "dropped.jsonl", "report.json", "report.html"
PARQUET = "parquet"
MOST_THREADS = 2
"""Threads that write shards again which lost rows: each holds a batch of some 8 MB twice."""
TOOLS = ("jsonschema-rs", "numpy", "orjson", "pyarrow", "xxhash")


def write_refused(folder: Path, parts: Sequence[Done], left: Path, settled: Iterator[Settled]) -> Iterator[Settled]:
    """Write quarantine.jsonl and dropped.jsonl in the order of the input; passes on what it takes from ``settled``.

    ``left`` holds what the parts left.
    """
    with (folder / QUARANTINE).open("wb") as quarantine, (folder / DROPPED).open("wb") as dropped:
        refused = _refused(parts, left)
        waiting = next(refused, None)
        for item in settled:
            while waiting is not None and waiting[0] < (item.input, item.line):
                quarantine.write(waiting[1])
                waiting = next(refused, None)
            if item.outcome != "kept":
                (quarantine if item.outcome == "quarantined" else dropped).write(item.record)
            yield item
        while waiting is not None:
            quarantine.write(waiting[1])
            waiting = next(refused, None)


def _refused(parts: Sequence[Done], left: Path) -> Iterator[tuple[tuple[int, int], bytes]]:
    """The lines that the parts refused: input and line, and the record."""
    for part in parts:
        where = np.fromfile(part_file(left, part.number, "refused-where"), np.int64).reshape(-1, 2)
        with part_file(left, part.number, "refused").open("rb") as records:
            yield from zip(map(tuple, where.tolist()), records, strict=True)


def write_splits(folder: Path, left: Path, splits: Mapping[str, Sequence[Piece]]) -> dict[str, list[dict[str, Any]]]:
    """Move the shards that the parts ``left`` into ``folder``/train and /eval; gives their entries in the manifest."""
    made: dict[str, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "filter") as pool:
        for split, pieces in splits.items():
            (folder / split).mkdir()
            files = [folder / split / f"data-{number:05}-of-{len(pieces):05}.arrow" for number in range(len(pieces))]
            hashes = list(pool.map(partial(_place, left), pieces, files))
            made[split] = [
                {
                    "path": f"{split}/{file.name}",
                    "sha256": sha256,
                    "rows": piece.rows,
                    "bytes": file.stat().st_size,
                }
                for piece, file, sha256 in zip(pieces, files, hashes, strict=True)
            ]
            write_split_files(folder / split, split, [file.name for file in files], content_id(hashes)[:16])
    (folder / "dataset_dict.json").write_bytes(orjson.dumps({"splits": list(made)}))
    return made or {TRAIN: []}


def _place(left: Path, piece: Piece, file: Path) -> str:
    """Move a shard to ``file``, or write there the rows of it that stay; gives its SHA-256."""
    if piece.stay is None:
        (left / piece.shard).rename(file)
        return piece.sha256
    at = 0
    with pa.OSFile(str(left / piece.shard)) as source, HashedFile(file) as copy:
        reader = pa.ipc.open_stream(source)
        with pa.ipc.new_stream(copy, reader.schema) as writer:
            for batch in reader:
                kept = batch.filter(bool_array(piece.stay[at : at + batch.num_rows]))
                if kept.num_rows:
                    writer.write_batch(kept)
                at += batch.num_rows
        return copy.digest.hexdigest()


def write_parquet(folder: Path, entries: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Copy every shard to ``folder``/parquet as Parquet with Zstandard, for sharing; gives the files' names."""
    import pyarrow.parquet as pq

    names = []
    (folder / PARQUET).mkdir()
    for split, shards in entries.items():
        for number, entry in enumerate(shards):
            name = f"{PARQUET}/{split}-{number:05}-of-{len(shards):05}.parquet"
            with pa.memory_map(str(folder / entry["path"])) as source:
                reader = pa.ipc.open_stream(source)
                with pq.ParquetWriter(folder / name, reader.schema, compression="zstd") as writer:
                    for batch in reader:
                        writer.write_batch(batch)
            names.append(name)
    return names


def statistics(
    parts: Sequence[Done], left: Path, gone: npt.NDArray[np.int64], form: Form | None, sources: Mapping[str, int]
) -> Any:
    """The statistics of the rows that the parts ``left``, but for those ``gone``, and rows by source where they name
    one."""
    if form is None:
        return {"rows": 0}
    found = statistics_of(_sizes(parts, left, gone, form), form)
    named = {name: count for name, count in sorted(sources.items()) if count}
    return found if set(named) <= {""} else {**found, "sources": named}


def _sizes(parts: Sequence[Done], left: Path, gone: npt.NDArray[np.int64], form: Form) -> Iterator[Sizes]:
    first = 0
    for part in parts:
        sizes = np.fromfile(part_file(left, part.number, SIZES), np.int32).reshape(-1, 3 if form == "text" else 6)
        within = gone[np.searchsorted(gone, first) : np.searchsorted(gone, first + len(sizes))]
        yield np.delete(sizes, within - first, axis=0)
        first += len(sizes)


def seal(folder: Path, manifest: Mapping[str, Any], more: Sequence[str] = ()) -> dict[str, Any]:
    """Write the manifest with the hashes of the files beside the shards, ``more`` among them."""
    names = [QUARANTINE, DROPPED, REPORT, PAGE, *more]
    return write_manifest(
        folder,
        {
            "prefdata": __version__,
            **manifest,
            "files": {name: file_sha256(folder / name) for name in names},
            "versions": {name: version(name) for name in TOOLS},
        },
    )


def assert_written(folder: Path, entries: Mapping[str, Sequence[Mapping[str, Any]]], counts: Counts) -> None:
    """What lies on disk is what the receipt says."""
    rows = sum(entry["rows"] for split in entries.values() for entry in split)
    if rows != counts.kept:
        raise AssertionError(f"{rows} rows in the shards, {counts.kept} kept")
    for name, count in ((QUARANTINE, counts.quarantined), (DROPPED, counts.dropped)):
        with (folder / name).open("rb") as file:
            if sum(1 for _ in file) != count:
                raise AssertionError(f"{name} does not hold {count} lines")
