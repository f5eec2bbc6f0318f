"""How much memory a run will need, estimated from the shapes of the model without loading its weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from peft import get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoModelForCausalLM

GIB = 2**30
OVERHEAD = GIB
"""Python, its libraries, and what the allocator holds."""
ADAM = 8
"""Bytes of AdamW's two moments in fp32, for each trained weight."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, by what they are for; a rough figure, meant to tell 8 GiB from 80."""

    weights: int
    """Of the model, and of a separate reference model."""
    training: int
    """Trained weights, gradients and the optimizer's moments."""
    activations: int
    """What one forward pass keeps for the backward pass."""
    logits: int
    """Logits of the tokens in the loss, their log-probabilities and the gradients of both, in fp32."""
    device: str
    available: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.training + self.activations + self.logits + OVERHEAD

    def document(self) -> dict[str, Any]:
        """The estimate as a JSON document, in bytes."""
        names = ("weights", "training", "activations", "logits", "total", "device", "available")
        return {name: getattr(self, name) for name in names}

    def line(self) -> str:
        """The estimate for a person to read."""
        parts = ", ".join(
            f"{name} {_size(getattr(self, name))}" for name in ("weights", "training", "activations", "logits")
        )
        verdict = "" if self.total < self.available else ": more than there is; see docs/training.md for what saves it"
        return f"roughly {_size(self.total)} of {_size(self.available)} on {self.device} ({parts}){verdict}"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a model is loaded and a batch is computed: bytes a weight and an activation, pairs in a batch."""

    batch: int
    weight_bytes: float
    activation_bytes: int
    checkpointing: bool
    revision: str = "main"
    trust: bool = False


def estimate(model: str, *, told: Shape, longest: int, scored: float, lora: Any, copies: int) -> Memory:
    """Memory for one device.

    ``longest``: tokens of the longest pair; ``scored``: tokens in the loss of an average pair; ``lora``: PEFT's
    configuration, or None where every weight is trained; ``copies``: models held (2 with a separate reference).

    Activations of a layer: s b h (34 + 5 a s / h) bytes in 16 bits (Korthikanti et al. 2022, arXiv 2205.05198), without
    the second term where attention is computed in tiles; the double in fp32. LoRA's dropout keeps its output and a mask
    of each adapted module's input. With checkpointing, one layer's at a time and each layer's input.
    """
    config = AutoConfig.from_pretrained(model, revision=told.revision, trust_remote_code=told.trust)
    kind: Any = AutoModelForCausalLM
    with torch.device("meta"):
        bare: Any = kind.from_config(config, trust_remote_code=told.trust)
    text = config.get_text_config()
    parameters = sum(weight.numel() for weight in bare.parameters())
    rows, width, layers = 2 * told.batch, text.hidden_size, text.num_hidden_layers
    layer = int(longest * rows * width * 34 * told.activation_bytes / 2)
    moving = parameters
    if lora is not None:
        with torch.device("meta"):
            adapted = get_peft_model(bare, lora)
        moving, _ = adapted.get_nb_trainable_parameters()
        if lora.lora_dropout:
            inputs = sum(int(part.in_features or 0) for part in adapted.modules() if isinstance(part, LoraLayer))
            layer += int(longest * rows * inputs / layers * (told.activation_bytes + 1))
    kept = layer + layers * longest * rows * width * told.activation_bytes if told.checkpointing else layers * layer
    device, available = _device()
    return Memory(
        weights=int(copies * parameters * told.weight_bytes),
        training=moving * (4 + ADAM) + (0 if lora is None else moving * 4),
        activations=kept,
        logits=int(4 * 4 * told.batch * scored * text.vocab_size),
        device=device,
        available=available,
    )


def _device() -> tuple[str, int]:
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(torch.cuda.current_device())
        return found.name, int(found.total_memory)
    return "the CPU", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _size(count: float) -> str:
    """Bytes for a person.

    >>> _size(3 * 2**30), _size(5 * 2**20)
    ('3.0 GiB', '5 MiB')
    """
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"
