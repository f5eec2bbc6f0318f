"""A dataset is opened only when its manifest and every hash hold; each refusal names what to run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import prefdata
from prefdata.errors import DatasetError
from prefdata.schema import violations

ROWS = [{"prompt": "2+2?", "chosen": "4", "rejected": str(wrong)} for wrong in (1, 2, 3)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert prefdata.validate(pairs, output=tmp_path / "dataset").ok
    return tmp_path / "dataset"


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_an_untouched_dataset_gives_back_its_rows(dataset: Path) -> None:
    handle = prefdata.open_dataset(dataset)
    rows = list(handle.rows())
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS
    assert [row["source_line"] for row in rows] == [1, 2, 3]
    assert handle.rows_in("train") == 3
    assert handle.rows_in("eval") == 0
    assert list(violations("manifest", handle.manifest)) == []


def flip_a_byte(dataset: Path) -> None:
    (shard,) = (dataset / "train").glob("*.arrow")
    data = bytearray(shard.read_bytes())
    data[data.index(b"2+2?")] ^= 1
    shard.write_bytes(data)


def claim_more_rows(dataset: Path) -> None:
    edit(dataset / "manifest.json", lambda manifest: manifest["counts"].__setitem__("kept", 4))  # type: ignore[attr-defined]


def take_a_shard(dataset: Path) -> None:
    for shard in (dataset / "train").glob("*.arrow"):
        shard.unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (flip_a_byte, "was altered after validation"),
        (claim_more_rows, "was altered after validation"),
        (take_a_shard, "is missing"),
        (lambda dataset: (dataset / "manifest.json").unlink(), "has no manifest.json"),
        (lambda dataset: (dataset / "manifest.json").write_text("{"), "is not JSON"),
        (lambda dataset: (dataset / "manifest.json").write_text("[]"), "is not a manifest"),
    ],
)
def test_an_altered_dataset_is_refused_with_the_command_that_mends_it(
    dataset: Path, harm: Callable[[Path], None], message: str
) -> None:
    harm(dataset)
    with pytest.raises(DatasetError, match=message) as refused:
        prefdata.open_dataset(dataset)
    assert refused.value.exit_code == 3
    assert "prefdata validate" in (refused.value.hint or "")


def test_what_is_no_dataset_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    for name, message in {"nothing": "no such dataset", "pairs.jsonl": "is a file"}.items():
        with pytest.raises(DatasetError, match=message):
            prefdata.open_dataset(tmp_path / name)
