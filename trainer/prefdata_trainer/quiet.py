"""Silence where the libraries speak to programmers and not to the person who trains."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import datasets
import transformers

LIBRARIES = ("transformers", "datasets", "trl", "peft", "accelerate", "torch", "huggingface_hub")


@contextmanager
def hushed() -> Iterator[None]:
    """Silence what tells the user nothing: deprecations of their own, and progress bars that do not go with ours."""
    transformers_logging: Any = transformers.logging
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled(), datasets.are_progress_bars_disabled()
    # TRL's own bar, for reference log-probabilities: on a terminal only.
    without_bars = nullcontext() if sys.stderr.isatty() else environment_default("TQDM_DISABLE", "1")
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        transformers_logging.disable_progress_bar()
        datasets.disable_progress_bars()
        with warnings.catch_warnings(), without_bars:
            for module in LIBRARIES:
                warnings.filterwarnings("ignore", module=rf"{module}(\.|$)")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if not bars[1]:
            datasets.enable_progress_bars()


@contextmanager
def environment_default(name: str, value: str) -> Iterator[None]:
    """An environment variable for a while, where the user has not set it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
