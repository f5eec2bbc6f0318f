"""Odds Ratio Preference Optimization: TRL's experimental trainer on our tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from torch.nn.functional import cross_entropy
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from prefdata_trainer.measure import over
from prefdata_trainer.method import Job, Method, Scores
from prefdata_trainer.settings import OrpoSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import PairCollator


class OrpoOnTokens(ORPOTrainer):
    """Trains on exactly the tokens that the collator marks.

    TRL's imitates the prompt, too, and what the user said in it. Here both terms of the loss, equations 6 and 7 of Hong
    et al. 2024, are over the tokens in the loss.
    """

    def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, Any]:
        """Nothing to add: the rows are tokens."""
        return {}

    def create_model_card(self, *_arguments: Any, **_keywords: Any) -> None:
        """Write none into checkpoints: the finished folder gets its own."""

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def concatenated_forward(self, model: Any, batch: Any) -> tuple[Any, ...]:
        """Mean log-probability of the tokens in the loss, logits of both sides, and the chosen sides' cross-entropy."""
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits[
            :, :-1
        ]
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)[:, 1:]
        losses = cross_entropy(logits.transpose(1, 2).float(), labels, reduction="none")  # 0 where a label is -100
        scored = (labels != -100).sum(dim=1)
        chosen, rejected = (-losses.sum(dim=1) / scored).chunk(2)
        imitation = losses.chunk(2)[0].sum() / scored.chunk(2)[0].sum()
        return chosen, rejected, *logits.chunk(2), imitation


class Orpo(Method):
    """A pair's scores are mean log-probabilities of a token: there is no reference to compare with."""

    name = "orpo"
    title = "Odds Ratio Preference Optimization"
    paper = "[Hong et al. 2024](https://arxiv.org/abs/2403.07691)"
    config = ORPOConfig
    score = "log-probability of a token"

    def values(self, settings: OrpoSettings, theirs: Theirs) -> dict[str, Any]:
        return {"beta": settings.beta}

    def trainer(
        self, job: Job, config: Any, model: Any, data: Mapping[str, Dataset], lora: Any, callbacks: Sequence[Any]
    ) -> Any:
        kind: Any = OrpoOnTokens
        return kind(
            model=model,
            args=config,
            data_collator=PairCollator(job.tokenizer.pad_token_id),
            train_dataset=data["train"],
            eval_dataset=data.get("eval"),
            processing_class=job.tokenizer,
            callbacks=list(callbacks),
            peft_config=lora,
        )

    def scores(self, trainer: Any, data: Dataset, settings: OrpoSettings, *, trained: bool) -> Scores:
        return over(
            trainer, data, trainer.data_collator, lambda batch: trainer.concatenated_forward(trainer.model, batch)[:2]
        )
