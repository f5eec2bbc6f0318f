"""TRL's DPOTrainer, given tokens that were rendered before. The seams relied upon are tested in tests/trainer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from trl import DPOTrainer  # type: ignore[attr-defined]

from prefdata_trainer.fast import Speed

Logps = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class PairTrainer(DPOTrainer):
    """Trains on exactly the tokens that the collator marks.

    TRL tokenises by itself and puts everything after the prompt in the loss; it has no mask for assistant turns. So its
    tokenisation is left out here, and the batches come from ``prefdata_trainer.tokens.PairCollator``.
    """

    def __init__(self, *arguments: Any, speed: Speed | None = None, **keywords: Any) -> None:
        self.speed = speed or Speed(fast=False)
        super().__init__(*arguments, **keywords)
        self.speed.install(self)

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        self.speed.install(self)  # called by TRL's constructor, once the models stand
        return self.speed.with_references(self, dataset, batch_size)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.speed.sampler(self) or super()._get_train_sampler(train_dataset)

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_keywords: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def create_model_card(self, *_arguments: Any, **_keywords: Any) -> None:
        """Write none into checkpoints: the finished folder gets its own."""

    def logps(self, *, reference: bool) -> Logps:
        """Summed log-probabilities of the tokens in the loss, (pairs, 2) for chosen and rejected, in dataset order."""
        policy: Any = self.model
        model: Any = self.ref_model if reference and self.ref_model is not None else policy

        def compute(batch: Any) -> Any:
            with self.accelerator.autocast(), self._reference() if reference else _nothing():
                labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
                outputs = model(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    use_cache=False,
                    labels=labels,
                    fused_lm_head=True,
                )
            return outputs.log_probs.double().sum(dim=1).chunk(2)

        was_training = policy.training
        policy.eval()
        found = self.over(self.train_dataset, self.args.per_device_train_batch_size, compute)
        policy.train(was_training)
        return found

    def over(self, rows: Any, batch_size: int, compute: Callable[[Any], Any]) -> Logps:
        """``compute``'s two values for each pair, (pairs, 2), in the order of ``rows``; read longest first."""
        order = np.argsort(-np.asarray(rows["length"]), kind="stable")
        loader = DataLoader(rows, batch_size, sampler=order.tolist(), collate_fn=self.data_collator)
        found = []
        for batch in self.accelerator.prepare(loader):
            with torch.no_grad():
                both = torch.stack(list(compute(batch)), dim=1)
            found.append(self.accelerator.gather_for_metrics(both).double().cpu().numpy())
        whole: Logps = np.empty((len(rows), 2))
        whole[order] = np.concatenate(found)
        return whole

    def _reference(self) -> Any:
        """The policy as the reference sees it: without its adapter, unless there is a separate reference model."""
        disable = getattr(self.model, "disable_adapter", None)
        return disable() if self.ref_model is None and disable is not None else _nothing()


def _nothing() -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()
