"""A language model as judge: what is asked before a prompt is judged, and what every mode of judging shares."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefdata.endpoint.calls import Call, Choice, choices_of
from prefdata.endpoint.endpoint import Endpoint, parse_endpoint
from prefdata.endpoint.inprocess import Engine
from prefdata.endpoint.session import Session
from prefdata.errors import ServiceError
from prefdata.judging.criteria import read_criteria
from prefdata.judging.drawing import LETTERS
from prefdata.judging.integrity import Inspector, told
from prefdata.judging.judges import Couple, JudgeSettings, Look, Record, Work
from prefdata.judging.modes import MODES, most_calls
from prefdata.judging.outcomes import choice_of, failure_of, raw_of, usage_of
from prefdata.judging.template import Template, load_template
from prefdata.judging.transcript import prompt_text, reference_text, response_text
from prefdata.judging.verdict import read_verdict
from prefdata.records.ids import content_id
from prefdata.types import Judge, Judgment, Response, ResponseSet

DISPENSABLE = ("response_format", "logprobs", "top_logprobs", "temperature", "seed")
"""Fields that a server may refuse without making the verdict another one than was asked for."""
PATIENCE = 3
"""Answers without log-probabilities and without a label after which a template that needs them is given up."""
WARM = 1.0
"""Temperature of samples beyond the first where the template has none or 0: they would all be the same."""
GUESS = "x" * 1200
"""Stands for an answer that is not there yet, where only the length of a request is wanted."""


class LLMJudge:
    """Judges by a template over an endpoint."""

    template_name = "pairwise"
    """The template where the user names none."""

    def __init__(self, spec: str, settings: JudgeSettings) -> None:
        self.endpoint = self.find(spec)
        self.engine: Engine | None = None
        self.template = load_template(settings.template or self.template_name)
        if settings.criteria is not None:
            self.template = self.template.with_criteria(read_criteria(Path(settings.criteria)))
        self.settings = settings
        version = self.endpoint.model if self.endpoint.model != self.endpoint.name else None
        self.judge = Judge("llm", self.endpoint.name, version, self.template.sha256)
        self.spared = 0
        self._inspector = Inspector(self.template)
        self._labelled = self._unlabelled = 0

    def find(self, spec: str) -> Endpoint:
        """The endpoint that ``spec`` means; raises UsageError."""
        return parse_endpoint(spec)

    def work(self, response_set: ResponseSet, look: Look, only: Collection[Couple] | None = None) -> Work:
        """What the template wants to know of the prompt first, then the judging itself, by its mode."""
        contents = [response.content for response in response_set.responses]
        if all(content == contents[0] for content in contents):  # not worth a call
            return iter(())
        if self.template.wants_reference and not response_set.prompt.reference:
            why = f"the template {self.template.name} shows a reference, and the prompt has none"
            return iter((self._none(response_set, "abstain", why),))
        texts, failure = yield from self._prepared(response_set, look)
        if failure is not None:
            return iter((self._none(response_set, "call_failed", failure),))
        return (yield from MODES[self.template.mode](self, response_set, texts, look, only))

    def most(self, response_set: ResponseSet) -> int:
        """The calls that all of ``work`` takes where no order is adaptive, those about the prompt aside."""
        return most_calls(self, response_set)

    def answered(self, record: Record, session: Session) -> None:
        """Raise ServiceError once it is clear that this endpoint gives nothing that the template can read."""
        if self.template.verdict["kind"] != "logprobs" or self._labelled:
            return
        choice = choices_of(record["response"])[0]
        if choice.logprobs or self._is_label(choice):
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

    def call(self, template: Template, shown: Mapping[str, str], sample: int = 0) -> Call:
        """The call that asks ``template``, labels drawn, about ``shown``."""
        request = template.request()
        if sample and not request.get("temperature"):
            request["temperature"] = WARM
        body = {"messages": template.messages(shown), **request}
        return Call(self.endpoint, body, sample=sample, optional=DISPENSABLE)

    def suspicions(self, responses: Sequence[Response]) -> dict[str, tuple[str, ...]]:
        """What speaks to the judge in each response, by id."""
        return {response.id: self._inspector.suspicions(response_text(response)) for response in responses}

    def id(self, response_set: ResponseSet, shown: Sequence[str], *more: Any) -> str:
        """The id of one act of judging; ``more`` tells apart acts that show the same."""
        judge = self.judge
        known = [judge.kind, judge.name, judge.version, judge.template_sha256, response_set.id, list(shown)]
        return content_id([*known, *more])

    def judgment(
        self,
        response_set: ResponseSet,
        shown: Sequence[str],
        records: Sequence[Record],
        found: Mapping[str, tuple[str, ...]],
        *,
        more: Sequence[Any] = (),
        flags: Sequence[str] = (),
        sample: int = 0,
        **said: Any,
    ) -> Judgment:
        """A judgment that rests on ``records``; ``found`` are the suspicions about the responses shown."""
        suspicious, words = told({id: found[id] for id in shown})
        failed = failure_of(records)
        times = [record["finished_at"] for record in records if record["finished_at"] is not None]
        return Judgment(
            id=self.id(response_set, shown, *more),
            response_set_id=response_set.id,
            shown=tuple(shown),
            judge=self.judge,
            flags=(*flags, *suspicious),
            rationale=failed or words,
            usage=usage_of(records),
            raw=raw_of(records),
            created_at=max(times, default=None),
            metadata=self._circumstances(sample, records),
            **said,
        )

    def _circumstances(self, sample: int, records: Sequence[Record]) -> dict[str, Any]:
        """What ``explain`` says besides: how orders were chosen, by which seed, which sample, whether in a batch."""
        settings = self.settings
        known = {
            "orders": settings.orders,
            "seed": settings.seed if settings.orders != "both" else None,
            "sample": sample or None,
            "batch": all("batch" in record for record in records) or None,
        }
        return {name: value for name, value in known.items() if value is not None}

    def _none(self, response_set: ResponseSet, flag: str, why: str) -> Judgment:
        shown = tuple(response.id for response in response_set.responses)
        return Judgment(
            id=self.id(response_set, shown),
            response_set_id=response_set.id,
            shown=shown,
            ranking=None,
            judge=self.judge,
            flags=(flag,),
            rationale=why,
        )

    def _prepared(
        self, response_set: ResponseSet, look: Look
    ) -> Generator[Sequence[Call], None, tuple[dict[str, str], str | None]]:
        """The texts about the prompt, and why one of them could not be had."""
        prompt = response_set.prompt
        texts = {"prompt": prompt_text(prompt), "reference": reference_text(prompt) or ""}
        for step in self.template.prepare:
            name = step["name"]
            if name == "reference" and prompt.reference:
                continue
            body = {"messages": self.template.messages(texts, step), **(step.get("parameters") or {})}
            call = Call(self.endpoint, body, optional=DISPENSABLE)  # an endpoint's, or of a model in this process
            yield (call,)
            record = look(call)
            if record is None:
                texts[name] = GUESS
                continue
            if (failure := failure_of((record,))) is not None:
                return texts, f"{name}: {failure}"
            choice = choice_of(record)
            assert choice is not None
            if choice.refusal is not None or not choice.text.strip():
                return texts, f"{name}: no answer ({'refusal' if choice.refusal is not None else 'empty'})"
            texts[name] = choice.text.strip()
        return texts, None

    def _is_label(self, choice: Choice) -> bool:
        """Whether an answer is a label; where letters are drawn a record does not say which, and any counts."""
        if self.template.document.get("draw") == "letters":
            return choice.text.strip() in set(LETTERS)
        return read_verdict(choice, self.template).side is not None
