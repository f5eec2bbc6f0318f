"""Several judges on one response set: all at once, or one after the other where orders are adaptive.

With adaptive orders the second judge is asked only about what the first left open, and so on; rules, which cost
nothing, are heard before them all. Which couples are open follows from the outcomes alone, so that both phases of
a run, and a run that was killed and begun again, come to the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from itertools import combinations

from prefdata.endpoint.budget import cost_of
from prefdata.endpoint.calls import Call
from prefdata.endpoint.prices import FREE, Price
from prefdata.endpoint.session import Session
from prefdata.endpoint.together import all_at_once
from prefdata.errors import InputError, UsageError
from prefdata.judging.judges import Backend, Couple, Look, Record
from prefdata.pairing.votes import comparisons
from prefdata.types import Judge, Judgment, ResponseSet

NARROW = 0.5
"""|2 P - 1| of all judges so far below which, with adaptive orders, the next one is asked too."""

Batch = tuple[Backend, Sequence[Call]]


class Jury:
    """The judges of a run, in the order in which they were named."""

    def __init__(self, backends: Sequence[Backend], *, escalate: bool) -> None:
        self.backends = backends
        self._escalate = escalate and sum(backend.endpoint is not None for backend in backends) > 1

    @property
    def spared(self) -> int:
        """Calls that were not needed, since verdicts were clear without them."""
        return sum(backend.spared for backend in self.backends)

    async def ask(self, response_set: ResponseSet, session: Session) -> None:
        """The first phase: see to it that the ledger holds the outcome of every call."""
        failed: dict[str, Record] = {}

        def look(call: Call) -> Record | None:
            return failed.get(call.key) or session.ledger.get(call.key)

        async def make(backend: Backend, call: Call) -> None:
            reason = await session.caller(call.endpoint, backend.engine).call(call)
            record = session.ledger.get(call.key) if reason is None else None
            if record is None:
                failed[call.key] = {"failure": {"reason": reason, "detail": ""}, "finished_at": None}
            else:
                backend.answered(record, session)

        async def follow(work: Generator[Batch, None, object]) -> None:
            for backend, calls in work:
                await all_at_once(make(backend, call) for call in calls)

        if self._escalate:
            await follow(self._in_turn(response_set, look))
        else:
            await all_at_once(follow(_calls(backend, response_set, look)) for backend in self.backends)

    def check_batch(self) -> None:
        """Raise UsageError where a judge's calls cannot be made by the Batch API."""
        for backend in self.backends:
            if backend.engine is not None:
                raise UsageError(
                    f"the judge {backend.judge.name} runs in this process and knows no batches",
                    "leave out --batch, or give it a run of its own and put the judgments together with prefdata pair",
                )

    def wanted(self, response_set: ResponseSet, needs: Callable[[Call], bool], session: Session) -> Iterator[Call]:
        """The calls of this response set that are still to be made and can be, given the answers that are there."""

        def follow(work: Generator[Batch, None, object]) -> Iterator[Call]:
            for backend, calls in work:
                if missing := [call for call in calls if needs(call)]:
                    yield from missing
                    return
                for call in calls:
                    record = session.ledger.get(call.key)
                    if record is not None and "batch" in record and "response" in record:
                        backend.answered(record, session)

        def look(call: Call) -> Record | None:
            return session.ledger.get(call.key)

        if self._escalate:
            yield from follow(self._in_turn(response_set, look))
        else:
            for backend in self.backends:
                yield from follow(_calls(backend, response_set, look))

    def judgments(self, response_set: ResponseSet, session: Session) -> list[Judgment]:
        """The second phase: the judgments of one response set, from the ledger alone."""

        def look(call: Call) -> Record:
            record = session.ledger.get(call.key)
            if record is None:
                raise InputError("the responses changed while they were read", "run the same command again")
            return record

        work = self._all(response_set, look)
        while True:
            try:
                next(work)
            except StopIteration as end:
                prices = {backend.judge: self._price(backend, session) for backend in self.backends}
                return [_with_cost(judgment, prices[judgment.judge]) for judgment in end.value]

    def planned(self, response_set: ResponseSet, look: Look) -> Iterator[Call]:
        """The calls that this response set takes, as far as can be known before they are made; at most so many."""
        for _, calls in self._all(response_set, look):
            yield from calls

    @staticmethod
    def _price(backend: Backend, session: Session) -> Price | None:
        return session.budget.prices.of(backend.endpoint) if backend.endpoint is not None else None

    def begin(self) -> None:
        """The second phase begins: what is spared is counted in it alone."""
        for backend in self.backends:
            backend.spared = 0

    def _all(self, response_set: ResponseSet, look: Look) -> Generator[Batch, None, list[Judgment]]:
        if self._escalate:
            return (yield from self._in_turn(response_set, look))
        found: list[Judgment] = []
        for backend in self.backends:
            found += (yield from _batches(backend, response_set, look)) or ()
        return found

    def _in_turn(self, response_set: ResponseSet, look: Look) -> Generator[Batch, None, list[Judgment]]:
        """One judge after the other, each about the couples that are still open."""
        found: dict[Judge, list[Judgment]] = {backend.judge: [] for backend in self.backends}
        known, heard = True, False
        for backend in sorted(self.backends, key=lambda backend: backend.endpoint is not None):
            only: Collection[Couple] | None = None
            if heard and known:
                only = _open(response_set, [judgment for own in found.values() for judgment in own])
                if not only:
                    backend.spared += backend.most(response_set)
                    continue
            own = yield from _batches(backend, response_set, look, only)
            known, heard = known and own is not None, heard or backend.endpoint is not None
            found[backend.judge] += own or ()
        return [judgment for own in found.values() for judgment in own]


def _with_cost(judgment: Judgment, price: Price | None) -> Judgment:
    """``judgment`` with the dollars that its calls cost by the price table, where they cost any."""
    if price is None or price == FREE or not judgment.usage:
        return judgment
    batch = {"batch": True} if judgment.metadata.get("batch") else {}
    cost = round(cost_of(price, {"usage": judgment.usage, "request": {"messages": []}, **batch}), 8)
    return dataclasses.replace(judgment, metadata={**judgment.metadata, "cost": cost})


def _open(response_set: ResponseSet, judgments: Sequence[Judgment]) -> set[Couple]:
    """Couples without a winner so far, or with a narrow one."""
    contents = {response.id: response.content for response in response_set.responses}
    compared = comparisons(judgments, {id: id for id in contents})
    found = set()
    for one, other in combinations(sorted(contents), 2):
        if contents[one] == contents[other]:
            continue
        comparison = compared.get((one, other))
        if comparison is None or comparison.winner is None or abs(2 * comparison.probability - 1) < NARROW:
            found.add(frozenset((one, other)))
    return found


def _calls(backend: Backend, response_set: ResponseSet, look: Look) -> Generator[Batch, None, None]:
    """One judge's batches of calls alone: to read its verdicts as well takes longer than all the rest."""
    for calls in backend.work(response_set, look, None):
        yield backend, calls


def _batches(
    backend: Backend, response_set: ResponseSet, look: Look, only: Collection[Couple] | None = None
) -> Generator[Batch, None, list[Judgment] | None]:
    """One judge's batches of calls; at the end its judgments, or ``None`` where an outcome is not known yet."""
    work = backend.work(response_set, look, only)
    known = True
    while True:
        try:
            calls = next(work)
        except StopIteration as end:
            return list(end.value or ()) if known else None
        yield backend, calls
        known = known and all(look(call) is not None for call in calls)
