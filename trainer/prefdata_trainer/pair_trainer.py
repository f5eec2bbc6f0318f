"""TRL's DPOTrainer, given tokens that were rendered before. The seams relied upon are tested in tests/trainer."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from trl import DPOTrainer  # type: ignore[attr-defined]

Logps = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class PairTrainer(DPOTrainer):
    """Trains on exactly the tokens that the collator marks.

    TRL tokenises by itself and puts everything after the prompt in the loss; it has no mask for assistant turns. So its
    tokenisation is left out here, and the batches come from ``prefdata_trainer.tokens.PairCollator``.
    """

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_keywords: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def create_model_card(self, *_arguments: Any, **_keywords: Any) -> None:
        """Write none into checkpoints: the finished folder gets its own."""

    def logps(self, *, reference: bool) -> Logps:
        """Summed log-probabilities of the tokens in the loss, (pairs, 2) for chosen and rejected, in dataset order."""
        policy: Any = self.model
        rows: Any = self.train_dataset
        batch_size = self.args.per_device_train_batch_size
        loader = self.accelerator.prepare(
            DataLoader(rows, batch_size=batch_size, collate_fn=self.data_collator, shuffle=False)
        )
        was_training = policy.training
        policy.eval()
        found = []
        for batch in loader:
            with torch.no_grad(), self.accelerator.autocast(), self._reference() if reference else _nothing():
                model: Any = self.ref_model if reference and self.ref_model is not None else policy
                labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
                outputs = model(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    use_cache=False,
                    labels=labels,
                    fused_lm_head=True,
                )
            chosen, rejected = outputs.log_probs.double().sum(dim=1).chunk(2)
            found.append(self.accelerator.gather_for_metrics(torch.stack([chosen, rejected], dim=1)).cpu().numpy())
        policy.train(was_training)
        whole: Logps = np.concatenate(found)
        return whole

    def _reference(self) -> Any:
        """The policy as the reference sees it: without its adapter, unless there is a separate reference model."""
        disable = getattr(self.model, "disable_adapter", None)
        return disable() if self.ref_model is None and disable is not None else _nothing()


def _nothing() -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()
