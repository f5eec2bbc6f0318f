"""The rendered dataset on disk, and batches of it. On disk only: TRL precomputes references in memory otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import torch

from prefdata.records.dataset import DatasetHandle
from prefdata.records.output import write_json
from prefdata.rendering import RenderedPair, Renderer, RenderReport

SIDES = ("chosen", "rejected")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        *((f"{side}_ids", pa.list_(pa.int32())) for side in SIDES),
        *((f"{side}_in_loss", pa.list_(pa.bool_())) for side in SIDES),
        ("length", pa.int32()),
    ]
)
ROWS_PER_BATCH = 512


def render(handle: DatasetHandle, renderer: Renderer, limit: int | None, folder: Path) -> RenderReport:
    """Render the train split to ``folder/train.arrow``, once: what a killed run finished is taken up again."""
    path, report_path = folder / "train.arrow", folder / "report.json"
    if path.exists() and report_path.exists():
        return RenderReport.from_dict(orjson.loads(report_path.read_bytes()))
    folder.mkdir(parents=True, exist_ok=True)
    report = RenderReport()
    with pa.ipc.new_stream(str(path), SCHEMA) as writer:
        pairs = renderer.pairs(islice(handle.rows(), limit), report)
        while batch := list(islice(pairs, ROWS_PER_BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(pair) for pair in batch], SCHEMA))
    write_json(report_path, report.as_dict())
    return report


def count(handle: DatasetHandle, renderer: Renderer, limit: int | None) -> RenderReport:
    """What rendering would keep, cut and drop."""
    report = RenderReport()
    for _ in renderer.pairs(islice(handle.rows(), limit), report):
        pass
    return report


def _row(pair: RenderedPair) -> dict[str, Any]:
    return {
        "id": pair.id,
        "prompt_ids": pair.prompt_ids,
        **{f"{name}_ids": side.ids for name, side in zip(SIDES, pair.sides, strict=True)},
        **{f"{name}_in_loss": side.in_loss for name, side in zip(SIDES, pair.sides, strict=True)},
        "length": pair.length,
    }


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Rows of the rendered dataset as TRL's batch: all chosen sides, then all rejected, padded on the right.

    ``completion_mask`` is 1 exactly where a token is in the loss.
    """

    pad_token_id: int
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (2 * rows, longest); reference log-probabilities (rows,) where the rows have them."""
        sequences = [row["prompt_ids"] + row[f"{side}_ids"] for side in SIDES for row in rows]
        masks = [[0] * len(row["prompt_ids"]) + row[f"{side}_in_loss"] for side in SIDES for row in rows]
        width = max(map(len, sequences))
        width += -width % (self.pad_to_multiple_of or 1)
        batch = {
            "input_ids": self._padded(sequences, width, self.pad_token_id),
            "attention_mask": self._padded([[1] * len(ids) for ids in sequences], width, 0),
            "completion_mask": self._padded(masks, width, 0),
        }
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch

    @staticmethod
    def _padded(lists: Iterable[list[int]], width: int, filling: int) -> torch.Tensor:
        return torch.tensor([[*values, *[filling] * (width - len(values))] for values in lists], dtype=torch.long)
