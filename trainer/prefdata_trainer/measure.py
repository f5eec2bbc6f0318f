"""A number for each side of every pair, from a model at rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from prefdata_trainer.method import Scores

READING = 4
"""Batches of training that are read at once where nothing is kept for a gradient and the head is fused."""
Sides = tuple[torch.Tensor, torch.Tensor]


def over(trainer: Any, rows: Dataset, collator: Any, compute: Callable[[Any], Any], batch_size: int = 0) -> Scores:
    """``compute``'s two values for each pair of a batch, (pairs,) each, for all ``rows`` in their order.

    They are read longest first. ``batch_size`` is that of training where it is 0.
    """
    order = np.argsort(-np.asarray(rows["length"]), kind="stable")
    loader = DataLoader(
        rows,
        batch_size or trainer.args.per_device_train_batch_size,
        sampler=order.tolist(),
        collate_fn=collator,
    )
    found = []
    with at_rest(trainer.model), torch.no_grad(), trainer.accelerator.autocast():
        for batch in trainer.accelerator.prepare(loader):
            both = torch.stack(list(compute(batch)), dim=1).double()
            found.append(trainer.accelerator.gather_for_metrics(both).cpu().numpy())
    whole: Scores = np.empty((len(rows), 2))
    whole[order] = np.concatenate(found)
    return whole


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """The model without dropout for a while."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def summed_logps(model: Any, batch: Any) -> Sides:
    """Log-probabilities of both sides, summed over the tokens in the loss, by TRL's fused head."""
    outputs = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        use_cache=False,
        labels=batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100),
        fused_lm_head=True,
    )
    chosen, rejected = outputs.log_probs.double().sum(dim=1).chunk(2)
    return chosen, rejected


def as_reference(trainer: Any) -> Any:
    """A context in which the policy is the reference: without its adapter, unless there is a separate model."""
    disable = getattr(trainer.model, "disable_adapter", None)
    return disable() if trainer.ref_model is None and disable is not None else _nothing()


@contextmanager
def _nothing() -> Iterator[None]:
    yield
