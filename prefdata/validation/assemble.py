"""From what the parts left to a dataset folder: shards, refused lines, report and, last of all, the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from prefdata.records.arrow import Form, write_split_files
from prefdata.records.dataset import write_manifest
from prefdata.records.ids import content_id, file_sha256
from prefdata.validation.clashes import Settled
from prefdata.validation.result import Counts
from prefdata.validation.statistics import statistics_of
from prefdata.validation.work import Done, part_file
from prefdata.version import __version__

QUARANTINE, DROPPED, REPORT = "quarantine.jsonl", "dropped.jsonl", "report.json"
SPLIT = "train"
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


def write_split(
    folder: Path, parts: Sequence[Done], left: Path, stay: Mapping[str, npt.NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    """Move the shards into ``folder``/train, without the rows that do not stay; gives their entries in the manifest."""
    split = folder / SPLIT
    split.mkdir()
    shards: list[tuple[Path, int]] = []
    for part in parts:
        for name, rows in part.shards:
            path = left / name
            if name in stay:
                path, rows = _filtered(path, stay[name]), int(stay[name].sum())
            if rows:
                shards.append((path, rows))
    entries = []
    for number, (path, rows) in enumerate(shards):
        final = split / f"data-{number:05}-of-{len(shards):05}.arrow"
        path.rename(final)
        entry = {"path": f"{SPLIT}/{final.name}", "sha256": file_sha256(final), "rows": rows}
        entries.append({**entry, "bytes": final.stat().st_size})
    if entries:
        names = [str(entry["path"]).removeprefix(f"{SPLIT}/") for entry in entries]
        write_split_files(split, SPLIT, names, content_id([entry["sha256"] for entry in entries])[:16])
    else:
        split.rmdir()
    (folder / "dataset_dict.json").write_bytes(orjson.dumps({"splits": [SPLIT] if entries else []}))
    return entries


def _filtered(path: Path, stay: npt.NDArray[np.bool_]) -> Path:
    """A copy of a shard with only the rows that stay."""
    copy, at = path.with_suffix(".filtered"), 0
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_stream(source)
        with pa.ipc.new_stream(str(copy), reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch.filter(pa.array(stay[at : at + batch.num_rows])))
                at += batch.num_rows
    path.unlink()
    return copy


def statistics(
    folder: Path, entries: Sequence[Mapping[str, Any]], form: Form | None, sources: Mapping[str, int]
) -> Any:
    """The statistics of the rows in the shards, and rows by source where rows name one."""
    if form is None or not entries:
        return {"rows": 0}
    found = statistics_of([folder / entry["path"] for entry in entries], form)
    named = {name: count for name, count in sorted(sources.items()) if count}
    return found if set(named) <= {""} else {**found, "sources": named}


def seal(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest with the hashes of the files beside the shards."""
    names = [QUARANTINE, DROPPED, REPORT]
    return write_manifest(
        folder,
        {
            "prefdata": __version__,
            **manifest,
            "files": {name: file_sha256(folder / name) for name in names},
            "versions": {name: version(name) for name in TOOLS},
        },
    )


def assert_written(folder: Path, entries: Sequence[Mapping[str, Any]], counts: Counts) -> None:
    """What lies on disk is what the receipt says."""
    rows = sum(entry["rows"] for entry in entries)
    if rows != counts.kept:
        raise AssertionError(f"{rows} rows in the shards, {counts.kept} kept")
    for name, count in ((QUARANTINE, counts.quarantined), (DROPPED, counts.dropped)):
        with (folder / name).open("rb") as file:
            if sum(1 for _ in file) != count:
                raise AssertionError(f"{name} does not hold {count} lines")
