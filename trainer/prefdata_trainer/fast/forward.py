"""The model's forward pass as TRL calls it, computed in another layout."""

from __future__ import annotations

import functools
import types
from dataclasses import replace
from typing import Any

import torch

from prefdata_trainer.fast.attention import BRANCHED
from prefdata_trainer.fast.layout import Layout, separate, shared

PER_TOKEN = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
"""What TRL's fused head returns for each token, (2 * pairs, length - 1), zero outside the loss."""


class FastForward:
    """Stands before the forward that TRL's ``add_fused_lm_head`` gave ``model``; other calls pass through untouched.

    With ``fused_lm_head=True`` TRL asks for the log-probability of each label. The model then reads a ``Layout`` of the
    batch in place of the batch, the head sees only the hidden states that predict a token of the loss, and TRL's own
    code computes everything from there on. The answer has the shape that TRL expects, so its losses do not notice.

    ``sharing``: None to share no prefixes; ``"auto"`` to share in each batch where that is less work; ``"on"`` to share
    always. ``multiple``: the width is filled up to a multiple of it.
    """

    def __init__(self, model: Any, *, multiple: int = 1) -> None:
        self.model = model
        self.sharing: str | None = None
        self.multiple = multiple
        self.narrow = True
        """False: as TRL alone would do it."""
        self.trl = model.forward
        self._work = Work.of(model)
        fast = self

        @functools.wraps(self.trl)
        def forward(_model: Any, *args: Any, **kwargs: Any) -> Any:
            return fast(*args, **kwargs)

        model.forward = types.MethodType(forward, model)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.narrow or args or not kwargs.get("fused_lm_head") or kwargs.get("labels") is None:
            return self.trl(*args, **kwargs)
        given = [kwargs.pop(name) for name in ("input_ids", "attention_mask", "labels")]
        layout = self._layout(*given)
        if not len(layout.targets):
            return self.trl(**kwargs, **dict(zip(("input_ids", "attention_mask", "labels"), given, strict=True)))
        if layout.position_ids is not None:
            kwargs["position_ids"] = layout.position_ids

        def narrow(_module: Any, _arguments: Any, outputs: Any) -> Any:
            outputs.last_hidden_state = outputs.last_hidden_state[layout.rows, layout.columns][None]
            return outputs

        hook = self.model.base_model.register_forward_hook(narrow)
        try:
            outputs = self.trl(
                input_ids=layout.input_ids,
                attention_mask=self._mask(layout),
                shift_labels=layout.targets[None],
                **kwargs,
            )
        finally:
            hook.remove()
        spread = {
            name: torch.zeros_like(layout.scored, dtype=value.dtype).masked_scatter(layout.scored, value)
            for name in PER_TOKEN
            if (value := getattr(outputs, name)) is not None
        }
        return replace(outputs, label_mask=layout.scored, **spread)

    def _layout(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> Layout:
        """The layout to read: prefixes shared or not, whichever is less work, as far as that may be chosen."""
        alone = separate(input_ids, attention_mask, labels, self.multiple)
        if self.sharing is None:
            return alone
        together = shared(input_ids, attention_mask, labels, self.multiple)
        branches = together.attention_mask.shape[-2]
        if self.sharing == "on" or self._work.shared(*together.size, branches) < self._work.separate(*alone.size):
            return together
        return alone

    def _mask(self, layout: Layout) -> torch.Tensor:
        """The attention mask as this attention reads it; ``eager`` wants all of it, to be added to the scores."""
        mask = layout.attention_mask
        if layout.position_ids is None or self.model.config._attn_implementation == BRANCHED:
            return mask
        rows, _, branches, width = mask.shape
        prefix = torch.ones(width - branches, width, dtype=torch.bool, device=mask.device).tril()
        mask = torch.cat([prefix.expand(rows, 1, -1, -1), mask], dim=2)
        dtype = self.model.dtype
        return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)

    def share(self, sharing: str | None) -> None:
        """Share as ``sharing`` says from now on; SDPA learns to read the masks for it, and forgets it again."""
        self.sharing = sharing
        old, new = ("sdpa", BRANCHED) if sharing else (BRANCHED, "sdpa")
        if self.model.config._attn_implementation == old:
            self.model.set_attn_implementation(new)


class Work:
    """Floating-point operations of one forward pass, to compare two layouts by."""

    def __init__(self, weights: float, attention: float) -> None:
        self.weights, self.attention = weights, attention

    @classmethod
    def of(cls, model: Any) -> Work:
        """2 operations a token for each weight that is no embedding; 4 a token, key and unit of width for attention."""
        config = model.config.get_text_config()
        layers, heads = config.num_hidden_layers, getattr(config, "num_attention_heads", 0)
        unit = getattr(config, "head_dim", None) or config.hidden_size // max(1, heads)
        embeddings = {id(part.weight) for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part}
        weights = sum(weight.numel() for weight in model.parameters() if id(weight) not in embeddings)
        return cls(2.0 * weights, 4.0 * layers * heads * unit)

    def separate(self, rows: int, width: int) -> float:
        """A causal mask, of which attention kernels leave out the empty half."""
        return rows * width * (self.weights + self.attention * width / 2)

    def shared(self, rows: int, width: int, branches: int) -> float:
        """A causal prefix, and after it a mask of which they leave out nothing."""
        pairs = (width - branches) ** 2 / 2 + branches * width
        return rows * (width * self.weights + self.attention * pairs)
