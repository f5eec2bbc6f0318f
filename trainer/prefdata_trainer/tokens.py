"""The rendered dataset on disk, and batches of it. On disk only: TRL precomputes references in memory otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import torch

from prefdata.errors import InputError
from prefdata.records.dataset import DatasetHandle
from prefdata.records.output import write_json
from prefdata.rendering import Renderer, RenderReport

SIDES = ("chosen", "rejected")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        *((f"{side}_ids", pa.list_(pa.int32())) for side in SIDES),
        *((f"{side}_in_loss", pa.list_(pa.bool_())) for side in SIDES),
        ("length", pa.int32()),
        ("depth", pa.int32()),
        ("source", pa.string()),
        ("margin", pa.float64()),
        ("probability", pa.float64()),
    ]
)
ROWS_PER_BATCH = 512


@dataclass(frozen=True, slots=True)
class Rendered:
    """What rendering a split gave; ``given`` counts the pairs kept that have a margin, and a probability."""

    report: RenderReport
    given: Mapping[str, int]


def splits(handle: DatasetHandle) -> tuple[str, ...]:
    """The splits that hold pairs: train, and eval where there is one."""
    return tuple(split for split in ("train", "eval") if handle.rows_in(split))


def render(
    handle: DatasetHandle, renderer: Renderer, limit: int | None, folder: Path, split: str, known: int | None = None
) -> Rendered:
    """Render a split to ``folder/SPLIT.arrow``, once: what a killed run finished is taken up again.

    ``known`` is how many tokens the model has; raises InputError where a pair holds one beyond.
    """
    path, report_path = folder / f"{split}.arrow", folder / f"{split}.json"
    if path.exists() and report_path.exists():
        found = orjson.loads(report_path.read_bytes())
        return Rendered(RenderReport.from_dict(found["report"]), found["given"])
    folder.mkdir(parents=True, exist_ok=True)
    report, given = RenderReport(), Counter[str]()
    with pa.ipc.new_stream(str(path), SCHEMA) as writer:
        pairs = _rows(handle, renderer, known, limit, split, report, given)
        while batch := list(islice(pairs, ROWS_PER_BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, SCHEMA))
    write_json(report_path, {"report": report.as_dict(), "given": given})
    return Rendered(report, given)


def count(
    handle: DatasetHandle, renderer: Renderer, limit: int | None, split: str, known: int | None = None
) -> Rendered:
    """What rendering would keep, cut and drop; raises as ``render`` does."""
    report, given = RenderReport(), Counter[str]()
    for _ in _rows(handle, renderer, known, limit, split, report, given):
        pass
    return Rendered(report, given)


def _rows(
    handle: DatasetHandle,
    renderer: Renderer,
    known: int | None,
    limit: int | None,
    split: str,
    report: RenderReport,
    given: Counter[str],
) -> Iterator[dict[str, Any]]:
    """Rows of ``SCHEMA``: the tokens of each pair that is kept, and what is told of it afterwards."""
    current: dict[str, Any] = {}

    def noted(row: dict[str, Any]) -> dict[str, Any]:
        nonlocal current
        current = row
        return row

    for pair in renderer.pairs(map(noted, islice(handle.rows(split), limit)), report):
        given.update(name for name in ("margin", "probability") if current[name] is not None)
        prompt = current["prompt"]
        highest = max(map(max, filter(None, (pair.prompt_ids, *(side.ids for side in pair.sides)))))
        if known is not None and highest >= known:
            raise InputError(
                f"pair {pair.id} holds token {highest} ({renderer.tokenizer.decode([highest])!r}), and the model has "
                f"embeddings for {known:,} tokens",
                "use the tokenizer that the model was trained with, or give the model embeddings for the new tokens",
            )
        yield {
            "id": pair.id,
            "prompt_ids": pair.prompt_ids,
            **{f"{name}_ids": side.ids for name, side in zip(SIDES, pair.sides, strict=True)},
            **{f"{name}_in_loss": side.in_loss for name, side in zip(SIDES, pair.sides, strict=True)},
            "length": pair.length,
            "depth": 1 if isinstance(prompt, str) else sum(message["role"] == "user" for message in prompt),
            "source": str(current["metadata"].get("source") or current["source_file"]),
            "margin": current["margin"],
            "probability": current["probability"],
        }


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Rows of the rendered dataset as TRL's batch: all chosen sides, then all rejected, padded on the right.

    ``completion_mask`` is 1 exactly where a token is in the loss.
    """

    pad_token_id: int
    pad_to_multiple_of: int | None = None
    confidence: Callable[[Mapping[str, Any]], tuple[float, float, float]] | None = None
    """Weight, smoothing and offset of a pair, where they take part in the loss."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (2 * rows, longest); reference log-probabilities (rows,) where the rows have them.

        ``confidence`` is (rows, 3).
        """
        sequences = [row["prompt_ids"] + row[f"{side}_ids"] for side in SIDES for row in rows]
        masks = [[0] * len(row["prompt_ids"]) + row[f"{side}_in_loss"] for side in SIDES for row in rows]
        width = max(map(len, sequences))
        width += -width % (self.pad_to_multiple_of or 1)
        batch = {
            "input_ids": padded(sequences, width, self.pad_token_id),
            "attention_mask": padded([[1] * len(ids) for ids in sequences], width, 0),
            "completion_mask": padded(masks, width, 0),
        }
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        if self.confidence is not None:
            batch["confidence"] = torch.tensor([self.confidence(row) for row in rows])
        return batch


def padded(lists: Iterable[list[int]], width: int, filling: int) -> torch.Tensor:
    """Lists of different lengths as one tensor (lists, width), filled up on the right."""
    return torch.tensor([[*values, *[filling] * (width - len(values))] for values in lists], dtype=torch.long)
