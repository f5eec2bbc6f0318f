"""What became of a pair in training, read from the folder that a trainer wrote.

The contract with trainers is two files: ``results.json``, which names the dataset (``dataset``, ``dataset_sha256``),
and ``per_pair.parquet`` with a row for each pair by ``id``: ``split``, ``margin_before`` and ``margin_after``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prefdata.errors import DatasetError, UsageError
from prefdata.records.dataset import open_dataset

RESULTS, PAIRS = "results.json", "per_pair.parquet"
LEAST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Trained:
    """A pair's row of ``per_pair.parquet``, and the dataset that it stands in."""

    folder: Path
    dataset: Path
    row: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The pair's whole id."""
        return str(self.row["id"])

    def lines(self) -> list[str]:
        """What training did to the pair, for a person to read."""
        row = self.row
        changed = (
            "as in the data" if row["margin_after"] > 0 else "the other way round" if row["margin_after"] else "tied"
        )
        return [
            f"trained    {self.folder}, split {row['split']}",
            f"margin     {row['margin_before']:+.4f} before, {row['margin_after']:+.4f} after: ranked {changed}",
            f"dataset    {self.dataset}",
            "",
        ]


def trained_pair(folder: str | Path, id: str) -> Trained | None:
    """The pair of a trained model with this id, or the one whose id starts so; None where ``folder`` is none.

    Raises UsageError where no pair or more than one is meant, DatasetError where the dataset is not that of the run.
    """
    folder = Path(folder)
    if not ((folder / RESULTS).is_file() and (folder / PAIRS).is_file()):
        return None
    table = pq.read_table(folder / PAIRS)
    same = pc.equal(table["id"], id)
    if not pc.any(same).as_py() and len(id) >= LEAST_PREFIX:
        same = pc.starts_with(table["id"], id)
    found = table.filter(same)
    if found.num_rows != 1:
        some = ", ".join(found["id"].slice(0, 3).to_pylist())
        raise UsageError(
            f"{found.num_rows} pairs are meant by {id!r}: {some}" if some else f"{folder} trained on no pair {id!r}",
            "give the whole id" if some else f"ids are in {folder / PAIRS}",
        )
    results = orjson.loads((folder / RESULTS).read_bytes())
    dataset = Path(results["dataset"])
    if not dataset.exists():  # a path as it was given to the trainer: the two may have moved together
        dataset = folder.parent / dataset.name
    if open_dataset(dataset).sha256 != results["dataset_sha256"]:
        raise DatasetError(
            f"{dataset} is not the dataset that {folder} was trained on: its hash is another",
            f"the model card names the hash of that dataset and its inputs: {folder / 'README.md'}",
        )
    return Trained(folder, dataset, found.to_pylist()[0])
