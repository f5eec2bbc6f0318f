"""A reward model: TRL's trainer on our tokens, each conversation read up to the end of its last answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification
from trl import RewardConfig, RewardTrainer  # type: ignore[attr-defined]

from prefdata.errors import UsageError
from prefdata.rendering import RenderReport
from prefdata.rendering.tokens import special_marks
from prefdata_trainer.loading import load_model
from prefdata_trainer.measure import over
from prefdata_trainer.method import Job, Method, Scores
from prefdata_trainer.settings import RewardSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import SIDES, padded


class RewardOnTokens(RewardTrainer):
    """Reads exactly the tokens that the collator gives."""

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_keywords: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def create_model_card(self, *_arguments: Any, **_keywords: Any) -> None:
        """Write none into checkpoints: the finished folder gets its own."""


@dataclass(frozen=True, slots=True)
class ConversationCollator:
    """Rows of the rendered dataset as TRL's batch: all chosen conversations, then all rejected, padded on the right.

    A conversation ends with the last token in the loss, its end-of-turn mark: there the model says its reward.
    """

    pad_token_id: int
    use_margin: bool = False

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (2 * rows, longest), and ``margin`` (rows,) where it is used."""
        sequences = [row["prompt_ids"] + _read(row, side) for side in SIDES for row in rows]
        width = max(map(len, sequences))
        batch = {
            "input_ids": padded(sequences, width, self.pad_token_id),
            "attention_mask": padded([[1] * len(ids) for ids in sequences], width, 0),
        }
        if self.use_margin:
            batch["margin"] = torch.tensor([row["margin"] for row in rows], dtype=torch.float)
        return batch


def _read(row: Mapping[str, Any], side: str) -> list[int]:
    ids: list[int] = row[f"{side}_ids"]
    last = max(at for at, in_loss in enumerate(row[f"{side}_in_loss"]) if in_loss)
    return ids[: last + 1]


def _pad_apart(config: Any, tokenizer: Any, splits: Iterable[Dataset]) -> None:
    """One token to fill batches up with, in the model's configuration and in the tokenizer.

    transformers reads a reward at the last token that is no padding, or at the very last one where the configuration
    names no padding, which is how such a model is loaded again. So where it names none, padding is none of the tokens
    with which a conversation ends. (TRL takes EOS, with which all of them end.)
    """
    own = config.pad_token_id
    if own is None or own < 0:
        ends = {_read(row, side)[-1] for rows in splits for row in rows for side in SIDES}
        marks = special_marks(tokenizer)
        padding = sorted(marks, key=lambda id: "pad" not in marks[id].lower())
        own = next((id for id in (tokenizer.pad_token_id, *padding) if id not in ends), tokenizer.pad_token_id)
        config.pad_token_id = own
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(own)


class Reward(Method):
    """The Bradley-Terry loss on the difference of two rewards."""

    name = "reward"
    title = "reward modelling"
    paper = "[Ouyang et al. 2022](https://arxiv.org/abs/2203.02155), equation 1"
    config = RewardConfig
    task_type = "SEQ_CLS"

    def check(self, settings: RewardSettings, report: RenderReport, columns: Mapping[str, int]) -> None:
        missing = report.kept - columns.get("margin", 0)
        if settings.use_margin and missing:
            raise UsageError(f"{missing:,} of {report.kept:,} pairs have no margin", "leave out --use-margin")

    def load(self, settings: RewardSettings, theirs: Theirs) -> Any:
        """The model with a new head of one output, drawn from the seed."""
        return load_model(settings.model, settings, theirs, AutoModelForSequenceClassification, num_labels=1)

    def trainer(
        self, job: Job, config: Any, model: Any, data: Mapping[str, Dataset], lora: Any, callbacks: Sequence[Any]
    ) -> Any:
        settings: Any = job.plan.settings
        if isinstance(lora, LoraConfig) and lora.modules_to_save is None:
            lora.modules_to_save = ["score"]  # the head is new, and has to be trained whole
        _pad_apart(model.config.get_text_config(), job.tokenizer, data.values())
        return RewardOnTokens(
            model=model,
            args=config,
            data_collator=ConversationCollator(job.tokenizer.pad_token_id, settings.use_margin),
            train_dataset=data["train"],
            eval_dataset=data.get("eval"),
            processing_class=job.tokenizer,
            callbacks=list(callbacks),
            peft_config=lora,
        )

    def scores(self, trainer: Any, data: Dataset, settings: RewardSettings, *, trained: bool) -> Scores:
        def compute(batch: Any) -> Any:
            found = trainer.model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
            ).logits
            return found.squeeze(-1).chunk(2)

        return over(trainer, data, ConversationCollator(trainer.processing_class.pad_token_id), compute)
