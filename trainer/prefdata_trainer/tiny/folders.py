"""What can be said about model and adapter folders before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefdata.errors import InputError, UsageError


def served_names(folder: Path, adapters: Sequence[Path]) -> dict[str, Path | None]:
    """The adapter (or none) behind each name that clients choose by: the names of the folders, the model's own first.

    Raises ``InputError`` where a folder is not what it should be, ``UsageError`` where two have the same name.
    """
    for path, mark in [(folder, "config.json"), *((adapter, "adapter_config.json") for adapter in adapters)]:
        if not (path / mark).is_file():
            raise InputError(f"{path} holds no {mark}", "give the folder of a model, and of adapters trained on it")
    names = {folder.resolve().name: None, **{adapter.resolve().name: adapter for adapter in adapters}}
    if len(names) < 1 + len(adapters):
        raise UsageError("two of the folders have the same name", "clients choose by it: rename one")
    return names
