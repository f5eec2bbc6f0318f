"""A language model as judge: every two responses, in the orders asked for, one call each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import xxhash

from prefdata.endpoint.calls import Call, choices_of
from prefdata.endpoint.endpoint import parse_endpoint
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.session import Session
from prefdata.errors import InputError, ServiceError
from prefdata.judging.judges import JudgeSettings
from prefdata.judging.template import load_template
from prefdata.judging.transcript import prompt_text, reference_text, response_text
from prefdata.judging.verdict import Verdict, read_verdict
from prefdata.records.ids import content_id
from prefdata.types import Judge, Judgment, Response, ResponseSet

DISPENSABLE = ("response_format", "logprobs", "top_logprobs", "temperature", "seed")
"""Fields that a server may refuse without making the verdict another one than was asked for."""
PATIENCE = 3
"""Answers without log-probabilities and without a label after which a template that needs them is given up."""


@dataclass(frozen=True, slots=True)
class Question:
    """Two responses in one shown order."""

    shown: tuple[Response, Response]
    order: int
    call: Call


class LLMJudge:
    """Judges by a template over an endpoint."""

    def __init__(self, spec: str, settings: JudgeSettings) -> None:
        self.endpoint = parse_endpoint(spec)
        self.endpoint.check_key()
        self.template = load_template(settings.template)
        self.settings = settings
        version = self.endpoint.model if self.endpoint.model != self.endpoint.name else None
        self.judge = Judge("llm", self.endpoint.name, version, self.template.sha256)
        self._labelled = self._unlabelled = 0

    async def ask(self, response_set: ResponseSet, session: Session) -> None:
        """Make the calls of one response set, all at once."""
        await asyncio.gather(*(self._ask(question, session) for question in self.questions(response_set)))

    async def _ask(self, question: Question, session: Session) -> None:
        await session.caller(self.endpoint).call(question.call)
        if self.template.verdict["kind"] == "logprobs" and not self._labelled:
            self._check_logprobs(session.ledger.get(question.call.key), session)

    def calls(self, response_set: ResponseSet) -> Iterator[Call]:
        """A call a question."""
        return (question.call for question in self.questions(response_set))

    def judgments(self, response_set: ResponseSet, ledger: Ledger) -> Iterator[Judgment]:
        """One judgment a call; one abstention where the template shows a reference and the prompt has none."""
        if self._lacks_reference(response_set) and len(response_set.responses) > 1:
            shown = tuple(response.id for response in response_set.responses)
            yield Judgment(
                id=self._id(response_set, shown),
                response_set_id=response_set.id,
                shown=shown,
                ranking=None,
                judge=self.judge,
                flags=("abstain",),
                rationale=f"the template {self.template.name} shows a reference, and the prompt has none",
            )
        for question in self.questions(response_set):
            record = ledger.get(question.call.key)
            if record is None:
                raise InputError("the responses changed while they were read", "run the same command again")
            yield self._judgment(response_set, question, record)

    def questions(self, response_set: ResponseSet) -> Iterator[Question]:
        """Every two responses that differ, in the orders asked for."""
        if self._lacks_reference(response_set):
            return
        for first, second in combinations(response_set.responses, 2):
            if first.content == second.content:
                continue
            for order in self._orders(response_set, first, second):
                shown = (first, second) if order == 0 else (second, first)
                yield Question(shown, order, self._call(response_set, shown))

    def _orders(self, response_set: ResponseSet, first: Response, second: Response) -> tuple[int, ...]:
        if self.settings.orders == "both":
            return (0, 1)
        drawn = "\0".join((str(self.settings.seed), response_set.id, first.id, second.id))
        return (xxhash.xxh3_64_intdigest(drawn.encode()) & 1,)

    def _call(self, response_set: ResponseSet, shown: tuple[Response, Response]) -> Call:
        texts = {
            "prompt": prompt_text(response_set.prompt),
            "response_a": response_text(shown[0]),
            "response_b": response_text(shown[1]),
            "reference": reference_text(response_set.prompt) or "",
        }
        body = {"messages": self.template.messages(texts), **self.template.request()}
        return Call(self.endpoint, body, optional=DISPENSABLE)

    def _judgment(self, response_set: ResponseSet, question: Question, record: Mapping[str, Any]) -> Judgment:
        shown = (question.shown[0].id, question.shown[1].id)
        raw = rationale = None
        if "failure" in record:
            verdict = Verdict(None, flags=("call_failed",))
            rationale = f"{record['failure']['reason']}: {record['failure']['detail']}"
        else:
            choice = choices_of(record["response"])[0]
            verdict, raw = read_verdict(choice, self.template), choice.text or choice.refusal
        return Judgment(
            id=self._id(response_set, shown),
            response_set_id=response_set.id,
            shown=shown,
            ranking=_ranking(shown, verdict),
            judge=self.judge,
            flags=verdict.flags,
            probability=verdict.probability,
            rationale=rationale,
            usage=usage if isinstance(usage := record.get("usage"), dict) else {},
            raw=raw,
            order=question.order,
            created_at=record["finished_at"],
        )

    def _id(self, response_set: ResponseSet, shown: tuple[str, ...]) -> str:
        judge = self.judge
        return content_id([judge.kind, judge.name, judge.version, judge.template_sha256, response_set.id, shown])

    def _lacks_reference(self, response_set: ResponseSet) -> bool:
        return self.template.wants_reference and not response_set.prompt.reference

    def _check_logprobs(self, record: Mapping[str, Any] | None, session: Session) -> None:
        """Raise ServiceError once it is clear that this endpoint gives nothing that the template can read."""
        if record is None or "response" not in record:
            return
        choice = choices_of(record["response"])[0]
        verdict = read_verdict(choice, self.template)
        if choice.logprobs or verdict.side is not None:
            self._labelled += 1
            if not choice.logprobs:
                session.reporter.note(f"{self.endpoint} gives no logprobs: verdicts are read from its text")
            return
        self._unlabelled += 1
        if self._unlabelled >= PATIENCE:
            raise ServiceError(
                f"{self.endpoint} gives neither logprobs, which the template {self.template.name} reads, nor a label",
                "use a template that reads text: --template pairwise",
            )


def _ranking(shown: tuple[str, str], verdict: Verdict) -> tuple[tuple[str, ...], ...] | None:
    """The verdict in terms of response ids: here the shown order is undone."""
    first, second = shown
    if verdict.side is None:
        return None
    return {"a": ((first,), (second,)), "b": ((second,), (first,)), "tie": ((first, second),)}[verdict.side]
