"""Batches of pairs of about the same length, in random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

POOL = 50
"""Batches that are drawn at once and sorted by length among themselves."""
LOSSES_OVER_THE_BATCH = {"aot", "aot_unpaired", "sft"}
"""Losses that are no mean over pairs: which pairs share a batch is part of their result."""


class LengthGrouped(Sampler[int]):
    """Row numbers, ``batch`` at a time of similar length, in an order drawn anew from ``seed`` in each epoch.

    Each pair comes once in an epoch. Only batches are even: an optimizer step takes several of them, of any lengths.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths = torch.tensor(lengths)
        self.batch = batch
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by transformers and accelerate before each epoch, and when a run is taken up in the middle of one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        drawn = torch.Generator().manual_seed(self.seed + 1_000_003 * self.epoch)
        order = torch.randperm(len(self), generator=drawn)
        # What does not fill a batch is any pairs, not the shortest or the longest; it comes last.
        whole = len(self) // self.batch * self.batch
        pools = [order[at : min(at + POOL * self.batch, whole)] for at in range(0, whole, POOL * self.batch)]
        batches = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools] or [order[:0]])
        batches = batches.view(-1, self.batch)
        yield from batches[torch.randperm(len(batches), generator=drawn)].flatten().tolist()
        yield from order[whole:].tolist()


def worth_grouping(losses: Sequence[str], batch: int, sampling: Any) -> bool:
    """Whether batches are grouped where nobody said: they hold several pairs, and losses are means over pairs."""
    return batch > 1 and sampling == "random" and not LOSSES_OVER_THE_BATCH.intersection(losses)
