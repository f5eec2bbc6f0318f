"""Where the records of a step without paid calls go: files that appear together at the end, or lists in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from prefdata.records.output import LOCK, State
from prefdata.records.publishing import MARKER, check_outputs, publishing
from prefdata.records.rows import line
from prefdata.records.sources import Source

MAIN = "main"
SCRATCH = "scratch-"


class Sinks:
    """Outputs by name, ``MAIN`` among them."""

    def __init__(self, folder: Path, files: Mapping[str, IO[bytes]] | None = None) -> None:
        self._folder = folder
        self._files = files
        self.held: dict[str, list[dict[str, Any]]] = {}
        """What was written, by output; filled only where no files are written."""

    def scratch(self, name: str) -> Path:
        """Where a file can be put that is not kept."""
        return self._folder / (SCRATCH + name)

    def file(self, name: str) -> IO[bytes] | None:
        """The open file of an output, for one that is not JSONL; None where records are held in memory."""
        return None if self._files is None else self._files[name]

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Add one record to an output."""
        if self._files is None:
            self.held.setdefault(name, []).append(record)
        else:
            self._files[name].write(line(record))


@contextmanager
def sinks(
    out: Path | None, companions: Mapping[str, Path], inputs: Sequence[Source], *, overwrite: bool
) -> Iterator[Sinks]:
    """Open the outputs; on leaving without an error all files are moved into place, otherwise nothing is changed.

    Raises UsageError and OutputExistsError. Nothing here is worth continuing after a crash: the step reads its inputs
    again. What else lies in ``OUT.state`` (a ledger of paid calls) stays.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="prefdata-") as folder:
            yield Sinks(Path(folder))
        return
    check_outputs(out, companions, list(inputs), overwrite)
    with State(out, None) as state:
        ours = {LOCK, MARKER, *(f"{name}.jsonl" for name in (MAIN, *companions))}
        found = {path.name for path in state.folder.iterdir()} - ours
        others = {name for name in found if not name.startswith(SCRATCH)}
        try:
            with publishing(state, companions) as files:
                yield Sinks(state.folder, files)
        finally:
            state.finish(keep=others)
