"""Trainers for datasets that prefdata validated: a thin layer over TRL and PEFT. Importing it loads neither."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefdata_trainer.outcome import Outcome
    from prefdata_trainer.plan import Plan

__all__ = ["train_dpo", "train_kto", "train_orpo", "train_reward"]
SEVERAL = {"loss_type", "loss_weights", "lora_targets", "report_to"}
"""Settings of which there may be several."""


def train_dpo(dataset: str | Path, output: str | Path, **settings: Any) -> Outcome | Plan:
    """Train on a validated dataset by Direct Preference Optimization.

    ``settings`` are the fields of ``prefdata_trainer.settings.DpoSettings``, and ``overwrite``, ``dry_run``, ``quiet``
    (True by default) and ``preview``. Returns the outcome, or with ``dry_run`` the plan. Raises DatasetError,
    InputError, UsageError, RenderingError, OutputExistsError or MissingExtraError before anything heavy is loaded,
    where that is possible.
    """
    return _train("Dpo", dataset, output, **settings)


def train_orpo(dataset: str | Path, output: str | Path, **settings: Any) -> Outcome | Plan:
    """As ``train_dpo``, by Odds Ratio Preference Optimization; ``settings`` are those of ``OrpoSettings``."""
    return _train("Orpo", dataset, output, **settings)


def train_kto(dataset: str | Path, output: str | Path, **settings: Any) -> Outcome | Plan:
    """As ``train_dpo``, by Kahneman-Tversky Optimization; ``settings`` are those of ``KtoSettings``."""
    return _train("Kto", dataset, output, **settings)


def train_reward(dataset: str | Path, output: str | Path, **settings: Any) -> Outcome | Plan:
    """As ``train_dpo``, but a reward model; ``settings`` are those of ``RewardSettings``."""
    return _train("Reward", dataset, output, **settings)


def _train(
    method: str,
    dataset: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    quiet: bool = True,
    preview: int = 0,
    **settings: Any,
) -> Outcome | Plan:
    if "model" not in settings:
        raise TypeError(f"train_{method.lower()}() needs the keyword model")
    from prefdata_trainer import settings as kinds
    from prefdata_trainer.checks import cheap_checks

    settings["model"] = str(settings["model"])
    for name in SEVERAL & set(settings):  # one value stands for itself
        settings[name] = (settings[name],) if isinstance(settings[name], str | float | int) else tuple(settings[name])
    told = getattr(kinds, f"{method}Settings")(**settings)
    handle = cheap_checks(Path(dataset), Path(output), told, overwrite=overwrite, dry_run=dry_run)

    from prefdata_trainer.run import run

    chosen = getattr(import_module(f"prefdata_trainer.{method.lower()}"), method)()
    return run(chosen, handle, Path(output), told, overwrite=overwrite, dry_run=dry_run, quiet=quiet, preview=preview)
