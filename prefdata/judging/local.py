"""Judges that are models in this process: a causal language model by a template, and a reward model by its scores.

Their calls go through the same ledger as those to an endpoint, under the hash of the model's files: killed and run
again, none is computed twice, and changed weights are another judge.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.inprocess import Engine
from prefdata.endpoint.session import Session
from prefdata.judging.judges import Couple, JudgeSettings, Look, Record, Work
from prefdata.judging.llm import LLMJudge
from prefdata.judging.models import folder_of, local_endpoint, require_packages
from prefdata.judging.modes import concerned
from prefdata.judging.outcomes import failure_of, usage_of
from prefdata.judging.rules import tiers_of
from prefdata.judging.template import Template
from prefdata.judging.transcript import prompt_text, response_text
from prefdata.records.codec import content_record, conversation
from prefdata.records.ids import content_id
from prefdata.types import Judge, Judgment, Response, ResponseSet

UNKNOWN = ("response_format", "logprobs", "top_logprobs")
"""Fields of a request that an endpoint takes and a model in this process does not need."""


class _Lazy:
    """An engine that is loaded when the first call is to be answered."""

    def __init__(self, kind: str, endpoint: Endpoint, batch: int) -> None:
        self.batch = batch
        self._kind, self._endpoint = kind, endpoint
        self._engine: Engine | None = None

    def prepared(self, body: Mapping[str, Any]) -> tuple[Hashable, Any]:
        return self._loaded().prepared(body)

    def answers(self, group: Hashable, calls: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        return self._loaded().answers(group, calls)

    def _loaded(self) -> Engine:
        if self._engine is None:
            require_packages(self._kind)
            from prefdata.judging.inference import CausalEngine, RewardEngine

            folder = str(folder_of(self._endpoint))
            make = CausalEngine if self._kind == "local" else RewardEngine
            self._engine = make(folder, self.batch)
        return self._engine


class LocalJudge(LLMJudge):
    """A causal language model, by a template: one token's log-probabilities, or a generated answer."""

    template_name = "pairwise-logprob"

    def __init__(self, spec: str, settings: JudgeSettings) -> None:
        super().__init__(spec, settings)
        self.engine: Engine | None = _Lazy("local", self.endpoint, settings.batch_size)

    def find(self, spec: str) -> Endpoint:
        """The model in this process."""
        return local_endpoint("local", spec)

    def call(self, template: Template, shown: Mapping[str, str], sample: int = 0) -> Call:
        """As over an endpoint; with the labels to weigh, or with the seed of a sampled answer."""
        call = super().call(template, shown, sample)
        body = {name: value for name, value in call.body.items() if name not in UNKNOWN}
        if template.verdict["kind"] == "logprobs":
            body = {"messages": body["messages"], "labels": list(template.labels.values())}
        elif body.get("temperature"):
            body["seed"] = sample
        return Call(self.endpoint, body, sample=sample)


class RewardJudge:
    """A sequence classifier that scores each response in its context; the scores rank them."""

    def __init__(self, spec: str, settings: JudgeSettings) -> None:
        self.endpoint = local_endpoint("reward", spec)
        self.judge = Judge("reward", self.endpoint.name, self.endpoint.model.rpartition("@")[2])
        self.spared = 0
        self.engine: Engine | None = _Lazy("reward", self.endpoint, settings.batch_size)

    def work(self, response_set: ResponseSet, look: Look, only: Collection[Couple] | None = None) -> Work:
        """A score for every response that stands in an open couple."""
        responses = concerned(response_set, only)
        if all(each.content == responses[0].content for each in responses):
            return iter(())
        calls = {each.id: self._call(response_set, each) for each in responses}
        yield list(calls.values())
        return self._judgments(response_set, calls, look)

    def most(self, response_set: ResponseSet) -> int:
        """A score for each response."""
        return len(response_set.responses)

    def answered(self, record: Record, session: Session) -> None:
        """A score is a score."""

    def _call(self, response_set: ResponseSet, response: Response) -> Call:
        prompt = response_set.prompt
        messages = (*conversation(prompt.content, "user"), *conversation(response.content, "assistant"))
        body: dict[str, Any] = {
            "messages": content_record(messages),
            "texts": [prompt_text(prompt), response_text(response)],
        }
        if prompt.tools:
            body["tools"] = [dict(tool) for tool in prompt.tools]
        return Call(self.endpoint, body)

    def _judgments(self, response_set: ResponseSet, calls: Mapping[str, Call], look: Look) -> Iterator[Judgment]:
        """One judgment of all that have a score, and one without ranking for each that has none."""
        records: dict[str, Record] = {}
        scores: dict[str, float] = {}
        for id, call in calls.items():
            record = look(call)
            assert record is not None
            records[id] = record
            if "response" in record:
                scores[id] = record["response"]["score"]
        known = list(scores)
        if len(known) > 1:
            yield self._judgment(response_set, known, [records[id] for id in known], tiers_of(scores), scores)
        for id in calls:
            if id not in scores:
                shown = [id, *(other for other in calls if other != id)]
                yield self._judgment(response_set, shown, [records[id]], None, {})

    def _judgment(
        self,
        response_set: ResponseSet,
        shown: Sequence[str],
        records: Sequence[Record],
        ranking: tuple[tuple[str, ...], ...] | None,
        scores: Mapping[str, float],
    ) -> Judgment:
        times = [record["finished_at"] for record in records if record["finished_at"] is not None]
        return Judgment(
            id=content_id(["reward", self.judge.name, self.judge.version, response_set.id, list(shown)]),
            response_set_id=response_set.id,
            shown=tuple(shown),
            ranking=ranking,
            judge=self.judge,
            flags=() if ranking is not None else ("call_failed",),
            scores=dict(scores),
            rationale=failure_of(records),
            usage=usage_of(records),
            created_at=max(times, default=None),
        )
