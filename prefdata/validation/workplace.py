"""Where a run works, and what it must not destroy."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from prefdata.errors import InputError, OutputExistsError, UsageError
from prefdata.records.dataset import MANIFEST, SCHEMA_ID
from prefdata.records.output import LOCK, State, check_output, state_folder

DATASET, PARTS = "dataset", "parts"
ASIDE = DATASET + ".old"
"""The dataset that is being replaced, in the moment between two moves."""
SETTINGS = "settings.json"


@contextmanager
def workplace(out: Path | None, names: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """An empty folder to work in: the state folder of ``out``, held by no other process, or one that is thrown away.

    Work that a killed run left is not continued but done again: it is cheap, and then the result cannot depend on it.
    Raises OutputExistsError or UsageError where something else than such work, or a dataset that may be replaced, is
    in the way.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="prefdata-") as name:
            yield Path(name)
        return
    check_output(out, overwrite=True)
    folder = state_folder(out)
    strangers = [path.name for path in folder.iterdir() if not _is_ours(path.name)] if folder.is_dir() else []
    if strangers:
        raise UsageError(
            f"{folder} holds unfinished work of another command ({', '.join(sorted(strangers)[:3])})",
            f"choose another -o; or finish that work, or delete {folder}",
        )
    try:
        with State(out, {}, restart=True) as state:
            if not out.exists() and state.path(ASIDE).exists():
                state.path(ASIDE).rename(out)
            try:
                check_output(out, overwrite)
                _check_replaceable(out, names)
                _empty(state.folder)
                yield state.folder
            finally:
                state.finish()
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error}", "check the space left and the permissions") from None


def check_side_file(path: Path, names: Sequence[str], starts: bytes) -> None:
    """Raise where a report or baseline cannot be written to ``path``, or would destroy something else.

    What already stands there must begin as such a file does, with ``starts``, and be none of the inputs ``names``.
    """
    check_output(path, overwrite=True)
    if not path.exists():
        return
    if any("://" not in name and Path(name).exists() and path.samefile(name) for name in names):
        raise UsageError(f"{path} is an input, and would be replaced", "choose another file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file in it")
    with path.open("rb") as file:
        if file.read(len(starts)) not in (starts, b""):
            raise OutputExistsError(f"{path} holds something else, and is not replaced", "choose another file")


def _is_ours(name: str) -> bool:
    return name in (LOCK, SETTINGS, DATASET, ASIDE, PARTS) or name.startswith(("spooled-", f".{SETTINGS}."))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _check_replaceable(out: Path, names: Sequence[str]) -> None:
    """Raise where replacing ``out`` would destroy something else than a dataset that can be made again."""
    if not out.exists():
        return
    try:
        ours = orjson.loads((out / MANIFEST).read_bytes())["schema"] == SCHEMA_ID
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        ours = out.is_dir() and not any(out.iterdir())
    if not ours:
        raise OutputExistsError(f"{out} is no dataset of prefdata, and is not replaced", "choose another -o")
    for name in names:
        if "://" not in name and Path(name).exists() and out.resolve() in Path(name).resolve().parents:
            raise UsageError(
                f"{name} lies inside {out}, which would be replaced",
                "choose another -o; to add mended rows: prefdata validate PAIRS.jsonl QUARANTINE.jsonl -o NEW",
            )
