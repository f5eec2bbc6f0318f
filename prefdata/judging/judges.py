"""What every judge is, and how one is named on the command line. A kind of judge is one file and one line in KINDS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.inprocess import Engine
from prefdata.endpoint.session import Session
from prefdata.errors import UsageError
from prefdata.types import Judge, Judgment, ResponseSet

Orders = Literal["both", "one", "adaptive"]
ORDERS: tuple[Orders, ...] = get_args(Orders)

Record = Mapping[str, Any]
Look = Callable[[Call], Record | None]
"""The ledger's record of a call; ``None`` says that it is not made yet, and its outcome must be guessed."""
Couple = frozenset[str]
"""Two response ids, in no order."""

Work = Generator[Sequence[Call], None, Iterator[Judgment]]
"""Batches of calls, each wanted once those before are made; at the end the judgments that follow from them."""


class Backend(Protocol):
    """One judge."""

    judge: Judge
    spared: int
    """Calls that were not needed, since others had settled what they would have been asked."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where its calls go; ``None`` for a judge that makes none."""

    @property
    def engine(self) -> Engine | None:
        """What answers them, where that is a model in this process."""

    def work(self, response_set: ResponseSet, look: Look, only: Collection[Couple] | None = None) -> Work:
        """What this judge does with one response set, as a function of the outcomes that ``look`` gives.

        ``only`` names the couples that are still open, where others have settled some. A call that failed is a judgment
        without ranking, flagged "call_failed".
        """

    def most(self, response_set: ResponseSet) -> int:
        """The calls that all of ``work`` takes, at most."""

    def answered(self, record: Record, session: Session) -> None:
        """A call was answered; raises ServiceError where it shows that this judge cannot work."""


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How judges of any kind judge."""

    template: str | None = None
    """A built-in template, or the path of a YAML file; by default "pairwise", and "pairwise-logprob" for ``local:``.
    Rules and reward models need none."""
    orders: Orders = "both"
    """Both orders of every two responses; one, drawn by ``seed``; or, adaptive, one and more where it is close."""
    seed: int = 0
    samples: int = 1
    """Answers to every question; what most of them say is the verdict."""
    criteria: str | Path | None = None
    """A file of criteria that takes the place of the template's own."""
    batch_size: int = 16
    """Calls that a model in this process answers at once."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"{self.samples} samples cannot be asked for", "choose at least 1")
        if self.orders not in ORDERS:
            raise UsageError(f"there are no orders {self.orders!r}", f"choose one of {', '.join(ORDERS)}")
        if self.batch_size < 1:
            raise UsageError(f"a batch cannot hold {self.batch_size} calls", "choose at least 1")


def _llm(rest: str, settings: JudgeSettings) -> Backend:
    from prefdata.judging.llm import LLMJudge

    return LLMJudge(rest, settings)


def _rule(rest: str, _settings: JudgeSettings) -> Backend:
    from prefdata.judging.rules import RuleJudge

    return RuleJudge(rest)


def _local(rest: str, settings: JudgeSettings) -> Backend:
    from prefdata.judging.local import LocalJudge

    return LocalJudge(rest, settings)


def _reward(rest: str, settings: JudgeSettings) -> Backend:
    from prefdata.judging.local import RewardJudge

    return RewardJudge(rest, settings)


KINDS: dict[str, Callable[[str, JudgeSettings], Backend]] = {
    "llm": _llm,
    "local": _local,
    "reward": _reward,
    "rule": _rule,
}
FORMS = "write llm:MODEL, llm:NAME=MODEL@URL, local:FOLDER, reward:FOLDER or rule:NAME"


def backends(specs: Sequence[str], settings: JudgeSettings) -> list[Backend]:
    """The judges that ``specs`` name (``llm:MODEL@URL``, ``rule:exact-match``, …); raises UsageError."""
    if not specs:
        raise UsageError("no judge is named", "for example --judge llm:MODEL or --judge rule:exact-match")
    found = []
    for spec in specs:
        kind, colon, rest = spec.partition(":")
        if not colon or kind not in KINDS or not rest:
            raise UsageError(f"{spec!r} names no judge", FORMS)
        found.append(KINDS[kind](rest, settings))
    if len({(backend.judge.kind, backend.judge.name) for backend in found}) < len(found):
        raise UsageError("two judges have the same name", "name them: --judge llm:one=MODEL --judge local:two=FOLDER")
    return found
