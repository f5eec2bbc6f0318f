"""Files that belong together: built in the state folder, then moved into place, the main one last.

Where the main file stands, the others stand beside it as the same run wrote them. A run killed between two moves has
left a marker that names the files it was about to replace, so that the next run may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import orjson

from prefdata.errors import UsageError
from prefdata.records.output import State, check_output, move_into_place, state_folder
from prefdata.records.sources import Source

MARKER = "publishing.json"


def beside(out: Path, what: str) -> Path:
    """Where a companion of ``out`` stands by default.

    >>> [beside(Path(name), "dropped").name for name in ("pairs.jsonl", "pairs.parquet")]
    ['pairs.dropped.jsonl', 'pairs.parquet.dropped.jsonl']
    """
    if not out.name:
        raise UsageError(f"{out} is a folder", f"name a file in it, for example {out / 'out.jsonl'}")
    return out.with_name(f"{out.stem if out.suffix == '.jsonl' else out.name}.{what}.jsonl")


def check_outputs(main: Path, companions: Mapping[str, Path], inputs: list[Source], overwrite: bool) -> None:
    """Raise UsageError or OutputExistsError where the files of a run cannot or must not be written."""
    paths = [main, *companions.values()]
    for path in paths:
        if path.suffix in (".gz", ".zst") or str(path) == "-":
            raise UsageError(f"{path}: outputs are plain JSONL files", "for example -o out.jsonl")
        if any(source.name != "-" and path.exists() and _same(path, source.name) for source in inputs):
            raise UsageError(f"{path} is the input too", "name another output")
        if path.is_dir():
            raise UsageError(f"{path} is a folder", f"name a file in it, for example {path / 'out.jsonl'}")
    if len({path.absolute() for path in paths}) < len(paths):
        raise UsageError("two outputs have the same path", "name another one")
    check_output(main, overwrite)
    ours = _announced(main)
    for path in companions.values():
        check_output(path, overwrite or str(path.absolute()) in ours)


@contextmanager
def publishing(state: State, companions: Mapping[str, Path]) -> Iterator[dict[str, IO[bytes]]]:
    """Open files by name, ``"main"`` among them; on leaving without an error they are moved into place."""
    targets = {**companions, "main": state.out}
    with ExitStack() as stack:
        yield {name: stack.enter_context(state.path(f"{name}.jsonl").open("wb")) for name in targets}
    state.path(MARKER).write_bytes(orjson.dumps([str(path.absolute()) for path in targets.values()]))
    for name, path in targets.items():
        move_into_place(state.path(f"{name}.jsonl"), path)


def _announced(main: Path) -> set[str]:
    try:
        return set(orjson.loads((state_folder(main) / MARKER).read_bytes()))
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return set()


def _same(path: Path, name: str) -> bool:
    try:
        return path.samefile(name)
    except OSError:
        return False
