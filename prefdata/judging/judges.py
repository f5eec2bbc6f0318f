"""What every judge is, and how one is named on the command line. A kind of judge is one file and one line in KINDS."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from prefdata.endpoint.calls import Call
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.session import Session, all_at_once
from prefdata.errors import InputError, UsageError
from prefdata.types import Judge, Judgment, ResponseSet

Orders = Literal["both", "one", "adaptive"]
ORDERS: tuple[Orders, ...] = get_args(Orders)

Record = Mapping[str, Any]
Look = Callable[[Call], Record | None]
"""The ledger's record of a call; ``None`` says that it is not made yet, and its outcome must be guessed."""

Work = Generator[Sequence[Call], None, Iterator[Judgment]]
"""Batches of calls, each wanted once those before are made; at the end the judgments that follow from them."""


class Backend(Protocol):
    """One judge."""

    judge: Judge
    spared: int
    """Calls that were not needed, since others had settled what they would have been asked."""

    def work(self, response_set: ResponseSet, look: Look) -> Work:
        """What this judge does with one response set, as a function of the outcomes that ``look`` gives.

        A call that failed is a judgment without ranking, flagged "call_failed".
        """

    def answered(self, record: Record, session: Session) -> None:
        """A call was answered; raises ServiceError where it shows that this judge cannot work."""


async def ask(backend: Backend, response_set: ResponseSet, session: Session) -> None:
    """The first phase: see to it that the ledger holds the outcome of every call."""
    failed: dict[str, Record] = {}

    async def make(call: Call) -> None:
        reason = await session.caller(call.endpoint).call(call)
        record = session.ledger.get(call.key) if reason is None else None
        if record is None:
            failed[call.key] = {"failure": {"reason": reason, "detail": ""}, "finished_at": None}
        else:
            backend.answered(record, session)

    for calls in _batches(
        backend.work(response_set, lambda call: failed.get(call.key) or session.ledger.get(call.key))
    ):
        await all_at_once(make(call) for call in calls)


def judgments(backend: Backend, response_set: ResponseSet, ledger: Ledger) -> Iterator[Judgment]:
    """The second phase: the judgments of one response set, from the ledger alone."""

    def look(call: Call) -> Record:
        record = ledger.get(call.key)
        if record is None:
            raise InputError("the responses changed while they were read", "run the same command again")
        return record

    work = backend.work(response_set, look)
    while True:
        try:
            next(work)
        except StopIteration as end:
            yield from end.value
            return


def planned(backend: Backend, response_set: ResponseSet, look: Look) -> Iterator[Call]:
    """The calls that this response set takes, as far as can be known before they are made; at most so many."""
    for calls in _batches(backend.work(response_set, look)):
        yield from calls


def _batches(work: Work) -> Iterator[Sequence[Call]]:
    yield from work


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How judges of any kind judge."""

    template: str = "pairwise"
    """A built-in template, or the path of a YAML file; rules need none."""
    orders: Orders = "both"
    """Both orders of every two responses; one, drawn by ``seed``; or, adaptive, one and more where it is close."""
    seed: int = 0
    samples: int = 1
    """Answers to every question; what most of them say is the verdict."""
    criteria: str | Path | None = None
    """A file of criteria that takes the place of the template's own."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"{self.samples} samples cannot be asked for", "choose at least 1")
        if self.orders not in ORDERS:
            raise UsageError(f"there are no orders {self.orders!r}", f"choose one of {', '.join(ORDERS)}")


def _llm(rest: str, settings: JudgeSettings) -> Backend:
    from prefdata.judging.llm import LLMJudge

    return LLMJudge(rest, settings)


def _rule(rest: str, _settings: JudgeSettings) -> Backend:
    from prefdata.judging.rules import RuleJudge

    return RuleJudge(rest)


KINDS: dict[str, Callable[[str, JudgeSettings], Backend]] = {"llm": _llm, "rule": _rule}


def backends(specs: Sequence[str], settings: JudgeSettings) -> list[Backend]:
    """The judges that ``specs`` name (``llm:MODEL@URL``, ``rule:exact-match``, …); raises UsageError."""
    if not specs:
        raise UsageError("no judge is named", "for example --judge llm:MODEL or --judge rule:exact-match")
    found = []
    for spec in specs:
        kind, colon, rest = spec.partition(":")
        if not colon or kind not in KINDS or not rest:
            raise UsageError(f"{spec!r} names no judge", "write llm:MODEL, llm:NAME=MODEL@URL or rule:NAME")
        found.append(KINDS[kind](rest, settings))
    if len({(backend.judge.kind, backend.judge.name) for backend in found}) < len(found):
        raise UsageError("two judges have the same name", "name them: --judge llm:one=MODEL --judge llm:two=MODEL")
    return found
