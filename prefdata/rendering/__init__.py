"""Pairs to token ids, with the turn of every token and whether it is in the loss; no torch, no transformers."""

from prefdata.rendering.limits import Limits, Truncation
from prefdata.rendering.preview import Preview
from prefdata.rendering.renderer import LossOn, Renderer
from prefdata.rendering.report import REASONS, RenderReport
from prefdata.rendering.tokens import RenderedPair, RenderedSide, Tokenizer

__all__ = [
    "REASONS",
    "Limits",
    "LossOn",
    "Preview",
    "RenderReport",
    "RenderedPair",
    "RenderedSide",
    "Renderer",
    "Tokenizer",
    "Truncation",
]
