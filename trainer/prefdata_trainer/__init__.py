"""Trainers for datasets that prefdata validated: a thin layer over TRL and PEFT. Importing it loads neither."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefdata_trainer.outcome import Outcome, Plan

__all__ = ["train_dpo"]


def train_dpo(
    dataset: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> Outcome | Plan:
    """Train on a validated dataset; ``settings`` are the fields of ``prefdata_trainer.settings.DpoSettings``.

    Returns the outcome, or with ``dry_run`` the plan. Raises DatasetError, InputError, UsageError, RenderingError,
    OutputExistsError or MissingExtraError before anything heavy is loaded, where that is possible.
    """
    from prefdata_trainer.checks import cheap_checks
    from prefdata_trainer.settings import DpoSettings

    told = DpoSettings(**settings)
    handle = cheap_checks(Path(dataset), Path(output), told, overwrite=overwrite, dry_run=dry_run)

    from prefdata_trainer.dpo import run

    return run(handle, Path(output), told, overwrite=overwrite, dry_run=dry_run, quiet=quiet)
