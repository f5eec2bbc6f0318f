"""What every judge is, and how one is named on the command line. A kind of judge is one file and one line in KINDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from prefdata.endpoint.calls import Call
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.session import Session
from prefdata.errors import UsageError
from prefdata.types import Judge, Judgment, ResponseSet

Orders = Literal["both", "one"]
ORDERS: tuple[Orders, ...] = get_args(Orders)


class Backend(Protocol):
    """One judge. It asks in the first phase of a run, and reads what was answered in the second."""

    judge: Judge

    async def ask(self, response_set: ResponseSet, session: Session) -> None:
        """See to it that the ledger holds the outcome of all ``calls``."""

    def calls(self, response_set: ResponseSet) -> Iterator[Call]:
        """The calls whose outcomes ``judgments`` will look up."""

    def judgments(self, response_set: ResponseSet, ledger: Ledger) -> Iterator[Judgment]:
        """The acts of judging; one that failed is a judgment without ranking, flagged "call_failed"."""


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How judges of any kind judge."""

    template: str = "pairwise"
    """A built-in template, or the path of a YAML file; rules need none."""
    orders: Orders = "both"
    """Both orders of every pair of responses, or one, drawn by ``seed``."""
    seed: int = 0

    def __post_init__(self) -> None:
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
