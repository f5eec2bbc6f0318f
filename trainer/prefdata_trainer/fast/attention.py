"""Attention of a row that holds a prefix and two continuations: causal in the prefix, under a mask only after it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

BRANCHED = "prefdata_branched"
"""The name under which transformers knows this attention; with any other mask it is SDPA."""


def branched(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """(rows, width, heads, size) from (rows, heads, width, size), as transformers calls it.

    A mask with fewer queries than keys, (rows, 1, branches, width), is that of the last ``branches`` queries. Those
    before them form the prefix, which needs no mask: kernels leave out its empty half, and may be flash attention.
    """
    forward: Any = sdpa_attention_forward
    if attention_mask is None or not 0 < attention_mask.shape[-2] < attention_mask.shape[-1] == query.shape[-2]:
        whole: tuple[torch.Tensor, None] = forward(module, query, key, value, attention_mask, **keywords)
        return whole
    prefix = attention_mask.shape[-1] - attention_mask.shape[-2]
    first, rest = query[:, :, :prefix], query[:, :, prefix:]
    early, _ = forward(module, first, key[:, :, :prefix], value[:, :, :prefix], None, **keywords)
    late, _ = forward(module, rest, key, value, attention_mask, **keywords)
    return torch.cat([early, late], dim=1), None


AttentionInterface.register(BRANCHED, branched)
AttentionMaskInterface.register(BRANCHED, sdpa_mask)
