"""How far the model has moved from its reference, measured exactly where the data leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

TOKENS = 256
"""Tokens at which the divergence is measured: the first ones in the loss, in the order of the dataset."""
PAIRS = 8


class Probe:
    """KL(model || reference) of the next token, in nats, in the mean over some tokens of the data.

    It is the exact sum over the vocabulary at each of these tokens, given what the data says before it; it is no
    estimate of the divergence over the model's own samples.
    """

    def __init__(
        self,
        reference: Any,
        rows: Any,
        collator: Callable[[Sequence[Mapping[str, Any]]], dict[str, torch.Tensor]],
        device: torch.device,
    ) -> None:
        """``reference`` is a causal model; ``rows`` is a rendered dataset, of which the first pairs are taken."""
        self.device = device
        self._sequences: list[tuple[torch.Tensor, torch.Tensor]] = []
        left = TOKENS
        for row in rows.select(range(min(PAIRS, len(rows)))):
            batch = collator([row])
            for ids, attended, in_loss in zip(
                batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True
            ):
                places = (in_loss[1:].nonzero()[:, 0])[:left]  # the token at t + 1 is predicted at t
                if len(places):
                    self._sequences.append((ids[: int(attended.sum())], places))
                    left -= len(places)
        self._reference = [self._log_softmax(reference, *sequence).cpu() for sequence in self._sequences]

    def divergence(self, model: Any) -> float:
        """Mean KL over the tokens, as the model is now."""
        total, count = 0.0, 0
        for sequence, stored in zip(self._sequences, self._reference, strict=True):
            mine, reference = self._log_softmax(model, *sequence), stored.to(self.device)
            total += float((mine.exp() * (mine - reference)).sum())
            count += len(mine)
        return total / max(1, count)

    @torch.no_grad()
    def _log_softmax(self, model: Any, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of every next token at ``places``, (places, vocabulary)."""
        logits = model(input_ids=ids[None].to(self.device), use_cache=False).logits[0, places.to(self.device)]
        return torch.log_softmax(logits.float(), dim=-1)
