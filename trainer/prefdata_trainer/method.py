"""The contract of a trainer: what DPO, ORPO, KTO and reward modelling have each in a way of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from prefdata.rendering import RenderReport
from prefdata_trainer.loading import load_model
from prefdata_trainer.plan import Plan
from prefdata_trainer.settings import RunSettings
from prefdata_trainer.theirs import Theirs

Scores = np.ndarray[tuple[int, int], np.dtype[np.float64]]
"""(pairs, 2): a number for chosen and one for rejected, whose difference is the margin."""


@dataclass(frozen=True, slots=True)
class Job:
    """A planned run, and where it works."""

    plan: Plan
    output: Path
    folder: Path
    """The state folder: tokens, checkpoints, and the result until it is finished."""
    theirs: Theirs
    tokenizer: Any
    quiet: bool


class Method(ABC):
    """One way to train on pairs. ``run`` renders, plans, trains and writes; a method says what differs."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    """A Markdown link to the source of the loss."""
    config: ClassVar[Any]
    """TRL's configuration class."""
    score: ClassVar[str] = "reward"
    """What ``scores`` are, in the card's words."""
    task_type: ClassVar[str] = "CAUSAL_LM"
    rows_of_a_pair: ClassVar[int] = 1
    """How many rows of training data a pair makes."""

    def values(self, settings: Any, theirs: Theirs) -> dict[str, Any]:
        """What TRL's configuration is told beside what every method tells it."""
        return {}

    def first_loss(self, settings: Any) -> float | None:
        """The loss before the first step, where it does not depend on the model or the data."""
        return None

    def check(self, settings: Any, report: RenderReport, columns: Mapping[str, int]) -> None:  # noqa: B027
        """Raise UsageError where the pairs lack what the settings need; ``columns`` counts values that are given."""

    def load(self, settings: Any, theirs: Theirs) -> Any:
        """The model to train."""
        return load_model(settings.model, settings, theirs)

    @abstractmethod
    def trainer(
        self, job: Job, config: Any, model: Any, data: Mapping[str, Dataset], lora: Any, callbacks: Sequence[Any]
    ) -> Any:
        """The trainer, over rendered pairs by split. Raises ValueError for settings that TRL or PEFT refuse."""

    @abstractmethod
    def scores(self, trainer: Any, data: Dataset, settings: Any, *, trained: bool) -> Scores:
        """Scores of all pairs of a split, in its order, before training or after it."""


def reference_of(settings: RunSettings) -> str | None:
    """The separate reference model, where there is one."""
    found: str | None = getattr(settings, "model_ref", None)
    return found
