"""Everything that can be checked before torch is imported, in the order in which it is cheap."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from prefdata.errors import DatasetError, InputError, MissingExtraError, OutputExistsError, UsageError
from prefdata.records.dataset import DatasetHandle, open_dataset
from prefdata.records.output import check_output
from prefdata_trainer.settings import RunSettings

CONFIGURATION = "prefdata_config.yaml"
"""The exact configuration of a finished run, which stands in every folder that training has written."""
EXTRA = ("torch", "transformers", "trl", "peft", "accelerate", "matplotlib")
REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX")}
"""Packages, of which one is needed, for the reporters that are not named like theirs."""


def cheap_checks(
    dataset: Path, output: Path, settings: RunSettings, *, overwrite: bool, dry_run: bool
) -> DatasetHandle:
    """The dataset, once its manifest and hashes hold, the model is there, and the packages are installed."""
    handle = open_dataset(dataset)
    if handle.rows_in("train") == 0:
        raise DatasetError(
            f"{dataset} holds no pair to train on",
            f"see {dataset / 'report.json'} for why, mend the pairs, and run: "
            f"prefdata validate PAIRS.jsonl -o {dataset} --overwrite",
        )
    for name in filter(None, (settings.model, getattr(settings, "model_ref", None))):
        _check_model(name)
    if not dry_run:
        check_output(output, overwrite)
        _check_replaced(output, dataset, settings)
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"training needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            "pip install 'prefdata[train]'",
        )
    for reporter in settings.report_to:
        packages = REPORTERS.get(reporter, (reporter,))
        if reporter not in ("none", "all") and all(find_spec(package) is None for package in packages):
            raise MissingExtraError(
                f"--report-to {reporter} needs the package {packages[0]}, which is not installed",
                f"pip install {packages[0]}",
            )
    # Read when the libraries are imported: nothing is sent about the runs of our users.
    os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false")
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # that ORPO is experimental there, our help says
    return handle


def _check_replaced(output: Path, dataset: Path, settings: RunSettings) -> None:
    """Raise where ``--overwrite`` would remove something else than the result of an earlier run."""
    place = output.resolve()
    read = {
        "the dataset": dataset,
        "the model": Path(settings.model).expanduser(),
        "the reference model": Path(getattr(settings, "model_ref", None) or settings.model).expanduser(),
        "the chat template": settings.chat_template or dataset,
        "the folder that you are in": Path.cwd(),
    }
    for what, path in read.items():
        if place in (path.resolve(), *path.resolve().parents):
            raise UsageError(f"-o {output} would take the place of {what}", "name a folder of its own: -o ADAPTER")
    if output.exists() and not (output / CONFIGURATION).exists() and not _empty(output):
        raise OutputExistsError(
            f"{output} is no result of prefdata train, so it is not overwritten",
            "choose another -o, or remove it by yourself",
        )


def _empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _check_model(name: str) -> None:
    """Raise InputError where ``name`` is meant as a folder and is no model."""
    folder = Path(name).expanduser()
    if not folder.exists():
        if name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/"):
            raise InputError(f"{name}: no such model folder", "check the path, or name a model on the hub: ORG/NAME")
        return
    if not folder.is_dir():
        raise InputError(f"{name} is a file, not a model folder", "name the folder that holds its config.json")
    if (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        raise InputError(
            f"{name} is an adapter, not a model", "merge it into its base model first, or train from the base model"
        )
    if not (folder / "config.json").exists():
        raise InputError(f"{name} holds no config.json, so it is no model folder", "name the folder that holds it")
