"""One run of a command that makes calls: first all calls, in any order, into the ledger; then the outputs from it.

The second phase is a function of the inputs, the settings and the ledger alone. So a run that was killed and begun
again ends with the same files as one that was not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from prefdata.endpoint.batching import STATE as BATCHES
from prefdata.endpoint.batching import Needs, under_way
from prefdata.endpoint.caller import CallSettings
from prefdata.endpoint.calls import Call
from prefdata.endpoint.estimate import Estimate, Estimator
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.prices import load_prices
from prefdata.endpoint.reporting import Reporter
from prefdata.endpoint.session import LEDGER, Session
from prefdata.errors import UsageError
from prefdata.records.output import State, state_folder
from prefdata.records.publishing import check_outputs, publishing
from prefdata.records.rows import Row, count_lines, nothing_to_do, read_rows, require_rows
from prefdata.records.sources import STDIN, Source, sources, spool
from prefdata.schema import SchemaName

Noun = TypeVar("Noun")

Look = Callable[[Call], Mapping[str, Any] | None]
"""The ledger's record of a call, where there is one."""


@dataclass(frozen=True, slots=True)
class Inputs(Generic[Noun]):
    """What a run reads: which lines, and how a line becomes a noun with an id."""

    name: str
    schema: SchemaName
    decode: Callable[[Mapping[str, Any]], Noun]
    identify: Callable[[Noun], str]
    limit: int | None = None
    read: Callable[[Sequence[Source]], Iterator[Row[Noun]]] | None = None
    """Reads what is not one record a line; it keeps to ``limit`` itself and opens inputs that are no files."""

    def rows(self, files: Sequence[Source]) -> Iterator[Row[Noun]]:
        """Every row of ``files`` that is not blank."""
        if self.read is not None:
            return self.read(files)
        return read_rows(files, self.schema, self.decode, limit=self.limit, identify=self.identify)


class Run(Generic[Noun]):
    """A run that holds its state folder; made by ``begin``."""

    def __init__(
        self, inputs: Inputs[Noun], read: list[Source], state: State, companions: Mapping[str, Path], session: Session
    ) -> None:
        self.session = session
        self._inputs, self._sources, self._state, self._companions = inputs, read, state, companions
        require_rows(self.rows(), inputs.name, inputs.schema.replace("_", " "))

    @property
    def name(self) -> str:
        """The input, as the user named it."""
        return self._inputs.name

    def rows(self) -> Iterator[Row[Noun]]:
        """Every line of the input that is not blank."""
        return self._inputs.rows(self._sources)

    def make_calls(
        self, work: Callable[[Noun], Awaitable[object]], wanted: Callable[[Noun, Needs], Iterable[Call]]
    ) -> None:
        """The first phase: ``work`` on every valid row, or, in batches, all calls that are ``wanted`` for it now.

        Raises UsageError where calls of this output are in batches and are not to be made by batch: they would be paid
        twice.
        """
        if self.session.settings.batch:
            self.session.run_batches(
                lambda needs: (call for row in self.rows() if row.noun is not None for call in wanted(row.noun, needs))
            )
            return
        if pending := under_way(self._state.folder):
            raise UsageError(
                f"{sum(each.calls for each in pending)} calls for this output are in batches that are under way",
                f"pass --batch to get their answers (or delete {self._state.path(BATCHES)} to pay for them again)",
            )
        lines = self._inputs.read is None or all(name.name.endswith(".jsonl") for name in self._sources)
        self.session.reporter.begin(count_lines(self._sources, self._inputs.limit) if lines else self._inputs.limit)
        try:
            self.session.run((row.noun for row in self.rows() if row.noun is not None), work)
        finally:
            self.session.reporter.end()

    @contextmanager
    def outputs(self) -> Iterator[dict[str, IO[bytes]]]:
        """The second phase: files by name, moved into place together on leaving without an error."""
        with publishing(self._state, self._companions) as files:
            yield files


def estimate(
    inputs: Inputs[Noun], out: Path, settings: CallSettings, plan: Callable[[Noun, Look], Iterable[Call]]
) -> Estimate:
    """What a run would take: the calls of ``plan`` on every valid row, given what the ledger of ``out`` holds.

    Nothing is written and no call is made. Raises InputError.
    """
    prices, path = load_prices(settings.prices), state_folder(out) / LEDGER
    valid = invalid = 0
    first: Row[Noun] | None = None
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(path, read_only=True)) if path.exists() else None
        estimator = Estimator(ledger, prices, retry_failed=settings.retry_failed, batch=settings.batch)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prefdata-")))
        for row in inputs.rows([spool(source, scratch / "input.jsonl") for source in sources([inputs.name])]):
            first = first or row
            if row.noun is None:
                invalid += 1
                continue
            valid += 1
            estimator.add(plan(row.noun, lambda call: ledger.get(call.key) if ledger is not None else None))
        if not valid:
            raise nothing_to_do(inputs.name, inputs.schema.replace("_", " "), first)
        return estimator.estimate(valid, invalid)


@contextmanager
def begin(
    inputs: Inputs[Noun],
    out: Path,
    companions: Mapping[str, Path],
    settings: CallSettings,
    reporter: Reporter,
    *,
    overwrite: bool,
) -> Iterator[Run[Noun]]:
    """Check inputs and outputs, take the state folder, and leave the ledger alone in it when all went well."""
    read = sources([inputs.name])
    check_outputs(out, companions, read, overwrite)
    for source in read:
        if source.name != STDIN and inputs.read is None:
            source.open().close()
    with State(out, None) as state:
        under_way(state.folder)  # a list that cannot be read ends the run before anything is asked again
        try:
            with Session(state.folder, settings, reporter) as session:
                spooled = [spool(source, state.path("input.jsonl")) for source in read]
                yield Run(inputs, spooled, state, companions, session)
            if _paid(state.folder):
                pending = under_way(state.folder)
                state.finish(keep=(LEDGER, *((BATCHES, *(each.file for each in pending)) if pending else ())))
        finally:
            if not _paid(state.folder):  # nothing that is worth keeping
                shutil.rmtree(state.folder, ignore_errors=True)


def _paid(folder: Path) -> bool:
    """Whether a state folder holds what this run or an earlier one paid for, by what lies there and nothing else."""
    ledger = folder / LEDGER
    return (ledger.exists() and ledger.stat().st_size > 0) or bool(under_way(folder))
