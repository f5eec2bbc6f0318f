"""Whether a model computes the same where the prefix of a pair is shared: by what it says, and by trying."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from prefdata_trainer.fast.attention import BRANCHED
from prefdata_trainer.fast.forward import FastForward

ATTENTION = ("sdpa", "eager", BRANCHED)
"""Implementations of attention that read a mask for each pair of tokens."""
ROUNDING = 1e-4
ROUNDING_OF_HALVES = 5e-2
"""Mean absolute difference of a token's log-probability, in nats, up to which two computations count as the same. In 16
bits the same model in another batch differs by about a hundredth."""


def obstacle_to_all(trainer: Any) -> str | None:
    """Why nothing of the forward pass may be changed, or None."""
    config, args = trainer.model.config, trainer.args
    if getattr(config, "is_encoder_decoder", False):
        return "the model is an encoder and a decoder"
    if getattr(trainer, "aux_loss_enabled", False):
        return "the router's auxiliary loss counts every token that is read"
    if args.deepspeed or args.fsdp:
        return "that has not been tested under DeepSpeed and FSDP"
    if args.torch_compile:
        return "--torch_compile would compile anew for every batch"
    if trainer.accelerator.parallelism_config is not None:
        return "sequences may be split over devices"
    return None


def obstacle_to_sharing(model: Any, args: Any, longest: int) -> str | None:
    """Why the sides of a pair of up to ``longest`` tokens cannot share their prefix in this model, or None."""
    config = model.config.get_text_config()
    if config is not model.config:
        return "it reads more than text"
    if getattr(model, "_is_stateful", False):
        return "it carries a state from token to token"
    if "position_ids" not in inspect.signature(model.base_model.forward).parameters:
        return "it cannot be told the position of a token"
    if config._attn_implementation not in ATTENTION:
        return f"{config._attn_implementation} reads no mask of our own; --attn_implementation sdpa does"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if "chunked_attention" in kinds:
        window = min(filter(None, (window, getattr(config, "attention_chunk_size", None))), default=None)
    if others := kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        return f"it has layers of {', '.join(sorted(others))}"
    if window is not None and window < longest:
        return f"some layers see only {window:,} tokens, and a pair has {longest:,}"
    if args.neftune_noise_alpha:
        return "NEFTune's noise depends on the length of a row"
    return None


def differs(fast: FastForward, call: Any, batch: Mapping[str, torch.Tensor], exact: bool) -> str | None:
    """How far the log-probabilities of ``batch`` are from those of TRL's own forward, where that is too far.

    ``call`` runs the model (with its adapter, its autocast) on keyword arguments. ``exact``: it computes in 32 bits.
    """
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    inputs["labels"] = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    with torch.no_grad():
        try:
            found = call(**inputs, use_cache=False, fused_lm_head=True).log_probs
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
            return f"the model refused it ({str(error).splitlines()[0][:120]})"
        with as_trl_alone(fast):
            expected = call(**inputs, use_cache=False, fused_lm_head=True).log_probs
    scored = inputs["labels"][:, 1:] != -100
    apart = float((found - expected)[scored].abs().double().mean())
    allowed = ROUNDING if exact else ROUNDING_OF_HALVES
    return None if apart <= allowed else f"log-probabilities differed by {apart:.2g} a token on a first try"


@contextlib.contextmanager
def as_trl_alone(*forwards: FastForward) -> Iterator[None]:
    """For a while, the forward pass that TRL would do."""
    before = [fast.narrow for fast in forwards]
    try:
        for fast in forwards:
            fast.narrow = False
        yield
    finally:
        for fast, narrow in zip(forwards, before, strict=True):
            fast.narrow = narrow
