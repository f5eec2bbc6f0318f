"""Kahneman-Tversky Optimization: TRL's trainer on the sides of our pairs, each for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import PartialState
from datasets import Dataset
from trl import KTOConfig, KTOTrainer  # type: ignore[attr-defined]

from prefdata.errors import UsageError
from prefdata.rendering import RenderReport
from prefdata_trainer.loading import load_model
from prefdata_trainer.measure import as_reference, over, summed_logps
from prefdata_trainer.method import Job, Method, Scores
from prefdata_trainer.settings import KtoSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import SIDES, PairCollator, padded

ANSWER = (("completion_ids", pa.list_(pa.int32())), ("in_loss", pa.list_(pa.bool_())))
SCHEMA = pa.schema(
    [
        ("prompt_ids", pa.list_(pa.int32())),
        *ANSWER,
        *((f"KL_{name}", kind) for name, kind in ANSWER),
        ("label", pa.bool_()),
    ]
)


class KtoOnTokens(KTOTrainer):
    """Trains on exactly the tokens that the collator marks."""

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_keywords: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def create_model_card(self, *_arguments: Any, **_keywords: Any) -> None:
        """Write none into checkpoints: the finished folder gets its own."""


@dataclass(frozen=True, slots=True)
class SideCollator:
    """Rows of ``SCHEMA`` as TRL's batch: each prompt with its answer, and with another's for the KL."""

    pad_token_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (rows, longest); ``label`` (rows,) is true for the chosen side of a pair."""
        batch = {}
        for prefix in ("", "KL_"):
            sequences = [row["prompt_ids"] + row[f"{prefix}completion_ids"] for row in rows]
            masks = [[0] * len(row["prompt_ids"]) + row[f"{prefix}in_loss"] for row in rows]
            width = max(map(len, sequences))
            batch[f"{prefix}input_ids"] = padded(sequences, width, self.pad_token_id)
            batch[f"{prefix}attention_mask"] = padded([[1] * len(ids) for ids in sequences], width, 0)
            batch[f"{prefix}completion_mask"] = padded(masks, width, 0)
        batch["label"] = torch.tensor([row["label"] for row in rows])
        return batch


def sides(pairs: Dataset, path: Path, batch: int, seed: int) -> Dataset:
    """The sides of ``pairs`` as rows of their own, in an order drawn from ``seed``, on disk.

    They are read in this order in every epoch, because each prompt comes with the answer of the row before it in its
    batch, too, by which TRL estimates the KL of Ethayarajh et al. 2024, section 4.1.
    """
    with PartialState().main_process_first():
        if PartialState().is_main_process:
            _write_sides(pairs, path, batch, seed)
    return Dataset.from_file(str(path))


def _write_sides(pairs: Dataset, path: Path, batch: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(2 * len(pairs)).tolist()
    with pa.ipc.new_stream(str(path), SCHEMA) as writer:
        for start in range(0, len(order), batch):
            rows = [_side(pairs[at // 2], SIDES[at % 2]) for at in order[start : start + batch]]
            for row, other in zip(rows, [rows[-1], *rows[:-1]], strict=True):
                row |= {f"KL_{name}": other[name] for name, _ in ANSWER}
            writer.write_batch(pa.RecordBatch.from_pylist(rows, SCHEMA))


def _side(pair: Mapping[str, Any], side: str) -> dict[str, Any]:
    return {
        "prompt_ids": pair["prompt_ids"],
        "completion_ids": pair[f"{side}_ids"],
        "in_loss": pair[f"{side}_in_loss"],
        "label": side == "chosen",
    }


class Kto(Method):
    """Rewards are those of DPO: beta times the log-ratio to the reference."""

    name = "kto"
    title = "Kahneman-Tversky Optimization"
    paper = "[Ethayarajh et al. 2024](https://arxiv.org/abs/2402.01306)"
    config = KTOConfig
    rows_of_a_pair = 2

    def __init__(self) -> None:
        self._reference: dict[str, Scores] = {}

    def values(self, settings: KtoSettings, theirs: Theirs) -> dict[str, Any]:
        return {"beta": settings.beta, "train_sampling_strategy": "sequential"}

    def first_loss(self, settings: KtoSettings) -> float | None:
        """1 - sigmoid(0), where policy and reference agree and no side weighs more."""
        told = {"init_lora_weights", "loss_type", "desirable_weight", "undesirable_weight"} & set(settings.passed)
        return None if settings.model_ref or told else 0.5

    def check(self, settings: KtoSettings, report: RenderReport, columns: Mapping[str, int]) -> None:
        if settings.batch_size < 2:
            raise UsageError("KTO estimates a KL within each batch, of 2 sides or more", "pass --batch-size 2 or more")

    def trainer(
        self, job: Job, config: Any, model: Any, data: Mapping[str, Dataset], lora: Any, callbacks: Sequence[Any]
    ) -> Any:
        settings: Any = job.plan.settings
        unpaired = {
            split: sides(pairs, job.folder / "tokens" / f"{split}-sides.arrow", settings.batch_size, settings.seed)
            for split, pairs in data.items()
        }
        return KtoOnTokens(
            model=model,
            ref_model=load_model(settings.model_ref, settings, job.theirs) if settings.model_ref else None,
            args=config,
            data_collator=SideCollator(job.tokenizer.pad_token_id),
            train_dataset=unpaired["train"],
            eval_dataset=unpaired.get("eval"),
            processing_class=job.tokenizer,
            callbacks=list(callbacks),
            peft_config=lora,
        )

    def scores(self, trainer: Any, data: Dataset, settings: KtoSettings, *, trained: bool) -> Scores:
        collator = PairCollator(trainer.processing_class.pad_token_id)
        if not trained:
            model = trainer.ref_model if trainer.ref_model is not None else trainer.model
            with as_reference(trainer):
                self._reference[data._fingerprint] = over(trainer, data, collator, lambda b: summed_logps(model, b))
        found = over(trainer, data, collator, lambda batch: summed_logps(trainer.model, batch))
        return settings.beta * (found - self._reference[data._fingerprint])
