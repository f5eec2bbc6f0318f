"""N samples of a prompt from each model: which calls that takes, and what they came to.

N samples are asked for with one call, which pays for the prompt once. Servers differ: some answer ``n=4`` with one
choice, some refuse it. The missing samples are then asked for one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xxhash

from prefdata.collection.requests import content_of, messages_of, problem_of
from prefdata.endpoint.calls import Call, Choice, choices_of
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.run import Look
from prefdata.endpoint.session import Session
from prefdata.endpoint.together import all_at_once
from prefdata.errors import InputError
from prefdata.records.codec import prompt_record, response_set_from
from prefdata.types import Prompt, ResponseSet


@dataclass(frozen=True)
class Sampling:
    """What is asked of every model; ``None`` leaves a parameter to the server."""

    n: int = 4
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    system: str | None = None
    seed: int | None = None
    """Makes a seed for each prompt; sample i adds i, where samples are asked for one by one."""

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters that are sent, without the seed."""
        values = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in values.items() if value is not None}


class Sampler:
    """Samples of one kind from some models."""

    def __init__(self, endpoints: Sequence[Endpoint], sampling: Sampling) -> None:
        self.endpoints = endpoints
        self.sampling = sampling
        self._one_by_one: set[Endpoint] = set()

    async def sample(self, prompt: Prompt, session: Session) -> None:
        """Make the calls that the ledger lacks for ``prompt``."""
        await all_at_once(self._sample(prompt, endpoint, session) for endpoint in self.endpoints)

    async def _sample(self, prompt: Prompt, endpoint: Endpoint, session: Session) -> None:
        caller, ledger, n, have = session.caller(endpoint), session.ledger, self.sampling.n, 0
        together = self._together(prompt, endpoint)
        begun = ledger.standing(together.key) is not None
        if not begun and any(ledger.standing(self._single(prompt, endpoint, place).key) for place in range(n)):
            self._one_by_one.add(endpoint)  # as an earlier run had learned
        if n > 1 and (begun or endpoint not in self._one_by_one):
            failure = await caller.call(together)
            if failure is None:
                record = ledger.get(together.key)
                assert record is not None
                have = len(choices_of(record["response"]))
                if have < n:
                    self._learn(endpoint, session, f"gives {have} of {n} choices")
            elif failure != "bad-request" or await caller.call(self._single(prompt, endpoint, 0)) is not None:
                return  # not the number of choices is refused, but the prompt
            else:
                self._learn(endpoint, session, f"refuses n={n}")
                have = 1
        await all_at_once(caller.call(self._single(prompt, endpoint, place)) for place in range(have, n))

    def wanted(self, prompt: Prompt, needs: Callable[[Call], bool], session: Session) -> Iterator[Call]:
        """The calls for ``prompt`` that are still to be made and can be, given the answers that are there."""
        ledger, n = session.ledger, self.sampling.n
        for endpoint in self.endpoints:
            together, have = self._together(prompt, endpoint), 0
            singles = [self._single(prompt, endpoint, place) for place in range(n)]
            begun = ledger.standing(together.key) is not None
            if n > 1 and (begun or all(ledger.standing(single.key) is None for single in singles)):
                if needs(together):
                    yield together
                    continue
                record = ledger.get(together.key) or {}
                if "response" in record:
                    have = len(choices_of(record["response"]))
                elif record.get("failure", {}).get("reason") != "bad-request":
                    continue
                elif needs(singles[0]):  # which tells whether the number of choices is refused, or the prompt
                    yield singles[0]
                    continue
                elif ledger.standing(singles[0].key) == "failed":
                    continue
            yield from (single for single in singles[have:] if needs(single))

    def planned(self, prompt: Prompt, look: Look) -> Iterator[Call]:
        """The calls that ``prompt`` takes, where every server gives N choices to a call that asks for N."""
        for endpoint in self.endpoints:
            n, have = self.sampling.n, 0
            together, singles = self._together(prompt, endpoint), [self._single(prompt, endpoint, i) for i in range(n)]
            record = look(together)
            if n > 1 and (record is not None or not any(look(single) for single in singles)):
                yield together
                have = len(choices_of(record["response"])) if record and "response" in record else n
                if record and record.get("failure", {}).get("reason") == "bad-request":
                    first = look(singles[0])
                    yield from singles[:1] if first and "failure" in first else singles
            yield from singles[have:]

    def _learn(self, endpoint: Endpoint, session: Session, what: str) -> None:
        self._one_by_one.add(endpoint)
        session.reporter.note(f"{endpoint} {what}; asking for samples one by one", f"{endpoint} n")

    def assemble(self, prompt: Prompt, ledger: Ledger) -> ResponseSet:
        """The response set of ``prompt`` from the ledger alone: responses + failures = N for every model."""
        responses: list[dict[str, Any]] = []
        failures: list[dict[str, Any]] = []
        for endpoint in self.endpoints:
            for item in self._items(prompt, endpoint, ledger):
                (failures if "reason" in item else responses).append(item)
        record = {"prompt": prompt_record(prompt), "responses": responses, "failures": failures}
        return response_set_from(record)

    def _items(self, prompt: Prompt, endpoint: Endpoint, ledger: Ledger) -> Iterator[dict[str, Any]]:
        n = self.sampling.n
        together = ledger.get(self._together(prompt, endpoint).key) if n > 1 else None
        choices = choices_of(together["response"])[:n] if together and "response" in together else []
        for choice in choices:
            assert together is not None
            yield self._item(prompt, endpoint, choice, together["response"].get("usage"), len(choices), 0)
        for place in range(len(choices), n):
            record = ledger.get(self._single(prompt, endpoint, place).key) or together
            if record is None:
                raise InputError("the prompts changed while they were read", "run the same command again")
            if "failure" in record:
                detail = f"{record['failure']['reason']}: {record['failure']['detail']}"
                yield self._failure(prompt, endpoint, place, "call-failed", detail)
            else:
                choice = choices_of(record["response"])[0]
                yield self._item(prompt, endpoint, choice, record["response"].get("usage"), 1, place)

    def _item(
        self, prompt: Prompt, endpoint: Endpoint, choice: Choice, usage: Any, shared_by: int, place: int
    ) -> dict[str, Any]:
        """One response, or one failure, as it stands in a record."""
        problem = problem_of(choice)
        if problem is not None:
            return self._failure(prompt, endpoint, place, *problem)
        item: dict[str, Any] = {
            "response": content_of(choice, prompt.content),
            "model": endpoint.name,
            "parameters": self._recorded(prompt, endpoint, place),
        }
        if isinstance(usage, dict):
            item["usage"] = usage if shared_by == 1 else {**usage, "choices": shared_by}
        if choice.finish_reason is not None:
            item["finish_reason"] = choice.finish_reason
        return item

    def _failure(
        self, prompt: Prompt, endpoint: Endpoint, place: int, reason: str, detail: str | None
    ) -> dict[str, Any]:
        failure = {"model": endpoint.name, "parameters": self._recorded(prompt, endpoint, place), "reason": reason}
        return failure if detail is None else {**failure, "detail": detail}

    def _recorded(self, prompt: Prompt, endpoint: Endpoint, place: int) -> dict[str, Any]:
        """The parameters of a sample as they are recorded: those sent, and the model where its name is another."""
        recorded: dict[str, Any] = {**self.sampling.parameters, **self._seed(prompt, place)}
        if self.sampling.system is not None:
            recorded["system"] = self.sampling.system
        if endpoint.model != endpoint.name:
            recorded["model"] = endpoint.model
        return recorded

    def _together(self, prompt: Prompt, endpoint: Endpoint) -> Call:
        return Call(endpoint, {**self._body(prompt), **self._seed(prompt, 0), "n": self.sampling.n})

    def _single(self, prompt: Prompt, endpoint: Endpoint, place: int) -> Call:
        return Call(endpoint, {**self._body(prompt), **self._seed(prompt, place)}, sample=place)

    def _seed(self, prompt: Prompt, place: int) -> Mapping[str, int]:
        """A seed of its own for every prompt: one for all of them would draw the same random numbers at each."""
        if self.sampling.seed is None:
            return {}
        return {"seed": (xxhash.xxh32_intdigest(prompt.id.encode(), seed=self.sampling.seed % 2**32) >> 1) + place}

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        body = {"messages": messages_of(prompt, self.sampling.system), **self.sampling.parameters}
        if prompt.tools:
            body["tools"] = [dict(tool) for tool in prompt.tools]
        return body
