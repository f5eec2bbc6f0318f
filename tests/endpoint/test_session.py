"""A session of calls against a real server: each paid once, retried where that helps, given up where it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prefdata.endpoint.caller import CallSettings
from prefdata.endpoint.calls import Call, choices_of
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.reporting import Reporter
from prefdata.endpoint.session import Session
from prefdata.errors import ServiceError
from tests.servers import (
    HTML,
    SILENCE,
    Reply,
    Request,
    Server,
    completion,
    failure,
    last_words,
)

QUICK = {"backoff": 0.005, "timeout": 5.0, "retries": 2}


class Notes(Reporter):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[Session]:
    with Session(folder, CallSettings(**{**QUICK, **settings}), Notes()) as session:
        yield session


def call(server: Server, text: str, **fields: Any) -> Call:
    optional = fields.pop("optional", ())
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return Call(Endpoint("m", "m", server.url, "M_API_KEY"), body, optional=optional)


def make(session: Session, calls: Iterable[Call]) -> list[dict[str, Any] | None]:
    """Make the calls; what the ledger holds of each afterwards."""
    wanted = list(calls)
    session.run(wanted, lambda each: session.caller(each.endpoint).call(each))
    return [session.ledger.get(each.key) for each in wanted]


def outcome(record: dict[str, Any] | None) -> str:
    assert record is not None
    if "failure" in record:
        return str(record["failure"]["reason"])
    return str(record["response"]["choices"][0]["message"]["content"])


def notes(session: Session) -> list[str]:
    assert isinstance(session.reporter, Notes)
    return session.reporter.said


def echo(request: Request, count: int) -> Reply:
    return completion(last_words(request).upper())


def test_every_call_is_paid_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    with Server(echo) as server:
        with opened(tmp_path) as session:
            records = make(session, [call(server, text) for text in ("a", "b", "a", "a")])
            assert [outcome(record) for record in records] == ["A", "B", "A", "A"]
            assert (server.count, session.counts.made, session.counts.reused) == (2, 2, 2)
            assert (session.counts.prompt_tokens, session.counts.completion_tokens) == (20, 4)
        with opened(tmp_path) as session:
            records = make(session, [call(server, text) for text in ("b", "c")])
            assert [outcome(record) for record in records] == ["B", "C"]
            assert (server.count, session.counts.made, session.counts.reused) == (3, 1, 1)


def test_what_is_asked_makes_the_key() -> None:
    with Server(echo) as server:
        base = call(server, "a", temperature=0)
        assert base.key == call(server, "a", temperature=0, optional=("temperature",)).key
        others = [
            call(server, "b", temperature=0),
            call(server, "a", temperature=1),
            Call(base.endpoint, base.body, sample=1),
            Call(Endpoint("m", "other", server.url, "K"), base.body),
            Call(Endpoint("m", "m", server.url + "/", "K"), base.body),
        ]
        assert len({base.key, *(other.key for other in others)}) == 6
        assert Call(Endpoint("name", "m", server.url, "K"), base.body).key == base.key


BROKEN_OFF = completion("Once upon a", finish_reason="error")
"""How OpenRouter ends an answer whose provider failed: with HTTP 200, and what there was."""


@pytest.mark.parametrize(
    "fault", [failure(500), failure(429), failure(429, headers={"retry-after": "0"}), HTML, BROKEN_OFF]
)
def test_what_passes_is_tried_again(tmp_path: Path, fault: Reply) -> None:
    def answer(request: Request, count: int) -> Reply:
        return fault if count < 2 else echo(request, count)

    with Server(answer) as server, opened(tmp_path) as session:
        (record,) = make(session, [call(server, "a")])
        assert outcome(record) == "A"
        assert record is not None
        assert (record["attempts"], session.counts.retried, server.count) == (3, 2, 3)
        assert len(notes(session)) == 1


def test_an_item_that_fails_poisons_no_other_and_is_made_again_only_when_asked(tmp_path: Path) -> None:
    broken = True

    def answer(request: Request, count: int) -> Reply:
        if broken and last_words(request) == "bad":
            return failure(500, "cannot do this one")
        if last_words(request) == "long":
            return failure(400, "too long for this model")
        return echo(request, count)

    texts = ["a", "bad", "b", "long", "c"]
    with Server(answer) as server:
        with opened(tmp_path) as session:
            records = make(session, [call(server, text) for text in texts])
            assert [outcome(record) for record in records] == ["A", "server-error", "B", "bad-request", "C"]
            assert records[3] is not None
            assert "too long for this model" in records[3]["failure"]["detail"]
            assert server.count == 3 + 3 + 1, "a refused request is not tried again"
        with opened(tmp_path) as session:
            assert [outcome(each) for each in make(session, [call(server, text) for text in texts])][
                1
            ] == "server-error"
            assert server.count == 7
        broken = False
        with opened(tmp_path, retry_failed=True) as session:
            records = make(session, [call(server, text) for text in texts])
            assert [outcome(record) for record in records] == ["A", "BAD", "B", "bad-request", "C"]
            assert server.count == 9


def test_a_text_that_a_gateway_forbids_fails_alone(tmp_path: Path) -> None:
    """HTTP 403 is the word of moderation and of firewalls on one request, not always that of a key."""

    def answer(request: Request, count: int) -> Reply:
        return failure(403, "your input was flagged") if last_words(request) == "bad" else echo(request, count)

    texts = ["bad", "a", "b", "c"]
    with Server(answer) as server:
        for _ in range(2):
            with opened(tmp_path) as session:
                records = make(session, [call(server, text) for text in texts])
                assert [outcome(record) for record in records] == ["forbidden", "A", "B", "C"]
        assert server.count == 4, "neither tried again, nor asked again by the next run"


def test_a_request_larger_than_the_limit_of_a_minute_fails_alone(tmp_path: Path) -> None:
    """OpenAI refuses it with HTTP 429 however long one waits: a run that queued it would never end."""

    def answer(request: Request, count: int) -> Reply:
        large = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 41234."
        return failure(429, large, code="rate_limit_exceeded") if last_words(request) == "b" else echo(request, count)

    with Server(answer) as server, opened(tmp_path) as session:
        records = make(session, [call(server, text) for text in ("a", "b", "c")])
        assert [outcome(record) for record in records] == ["A", "bad-request", "C"]
        assert server.count == 3


def test_a_service_that_forbids_every_call_ends_the_run_without_a_record(tmp_path: Path) -> None:
    def answer(request: Request, count: int) -> Reply:
        return echo(request, count) if count < answered else failure(403, "not in your plan")

    for answered in (0, 5):
        with Server(answer) as server, opened(tmp_path, concurrency=4) as session:
            with pytest.raises(ServiceError, match=r"forbids call after call .*not in your plan") as error:
                make(session, [call(server, str(number)) for number in range(500)])
            assert "export M_API_KEY=" in str(error.value.hint)
            assert len(session.ledger) == answered
            assert server.count < 50


def test_log_probabilities_of_another_shape_are_none(tmp_path: Path) -> None:
    """They are entered in the ledger, where a run that could not read them would end at each attempt."""
    choice = {"message": {"content": "yes"}, "logprobs": {"content": 7}}
    with Server(Reply(json.dumps({"choices": [choice]}).encode())) as server, opened(tmp_path) as session:
        (record,) = make(session, [call(server, "a")])
        assert record is not None
        assert [(each.text, each.logprobs) for each in choices_of(record["response"])] == [("yes", ())]


def test_a_service_that_never_answers_ends_the_run_without_a_record(tmp_path: Path) -> None:
    with Server(failure(500, "broken")) as server:
        with opened(tmp_path, concurrency=4) as session:
            with pytest.raises(ServiceError, match=r"never answered \(HTTP 500: broken\)"):
                make(session, [call(server, str(number)) for number in range(200)])
            assert server.count < 60
            assert len(session.ledger) == 0, "that a service is down is no fact about an item"
        with opened(tmp_path) as session, pytest.raises(ServiceError, match="never answered"):
            make(session, [call(server, "alone")])


def test_a_service_that_stops_answering_ends_the_run_and_keeps_what_it_gave(tmp_path: Path) -> None:
    def answer(request: Request, count: int) -> Reply:
        return echo(request, count) if count < 5 else failure(503, "gone")

    with Server(answer) as server, opened(tmp_path, concurrency=4, retries=0) as session:
        with pytest.raises(ServiceError, match="stopped answering") as error:
            make(session, [call(server, str(number)) for number in range(500)])
        assert "run the same command again" in str(error.value.hint)
        assert len(session.ledger) == 5
        assert server.count < 100


def test_a_service_that_refuses_every_request_says_why(tmp_path: Path) -> None:
    with Server(failure(400, "temperature must be 1")) as server, opened(tmp_path) as session:
        with pytest.raises(ServiceError, match=r"refuses every call .*temperature must be 1"):
            make(session, [call(server, "a"), call(server, "b")])
        assert server.count == 2
    with Server(failure(400, "temperature must be 1")) as server, opened(tmp_path) as session:
        with pytest.raises(ServiceError, match="refuses every call"):
            make(session, [call(server, str(number)) for number in range(2000)])
        assert server.count < 300


@pytest.mark.parametrize(("fault", "words"), [(failure(401), "wants a key"), (failure(404), "is not there")])
def test_what_no_call_can_pass_ends_the_run_at_once(tmp_path: Path, fault: Reply, words: str) -> None:
    def answer(request: Request, count: int) -> Reply:
        return echo(request, count) if count < 3 else fault

    with Server(answer) as server, opened(tmp_path, concurrency=1) as session:
        with pytest.raises(ServiceError, match=words):
            make(session, [call(server, str(number)) for number in range(100)])
        assert server.count == 4


def test_a_service_that_hangs_is_found_out_after_three_deadlines(tmp_path: Path) -> None:
    with Server(SILENCE) as server, opened(tmp_path, timeout=0.1) as session:
        with pytest.raises(ServiceError, match=r"never answered \(no answer within 0.1 s\)") as error:
            make(session, [call(server, str(number)) for number in range(50)])
        assert "--timeout" in str(error.value.hint)


def test_being_turned_away_while_others_are_served_is_no_failure(tmp_path: Path) -> None:
    """Two of three requests are turned away, far more often than a call may be retried."""

    def answer(request: Request, count: int) -> Reply:
        return echo(request, count) if count % 3 == 0 else failure(429, headers={"retry-after-ms": "1"})

    with Server(answer) as server, opened(tmp_path, concurrency=8, retries=1) as session:
        records = make(session, [call(server, str(number)) for number in range(24)])
        assert [outcome(record) for record in records] == [str(number) for number in range(24)]


def test_a_wait_of_hours_is_not_waited_for(tmp_path: Path) -> None:
    with (
        Server(failure(429, "daily limit", headers={"retry-after": "7200"})) as server,
        opened(tmp_path) as session,
        pytest.raises(ServiceError, match="daily limit, try again in 7200 s"),
    ):
        make(session, [call(server, "a")])


def test_a_server_is_met_where_it_differs(tmp_path: Path) -> None:
    """Refused fields are renamed or left out, said once, and the key of the call stays the same."""

    def answer(request: Request, count: int) -> Reply:
        if "max_tokens" in request:
            return failure(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "response_format" in request:
            return failure(400, "response_format is not supported")
        return echo(request, count)

    wanted = {"max_tokens": 7, "response_format": {"type": "json_object"}, "optional": ("response_format",)}
    with Server(answer) as server:
        with opened(tmp_path) as session:
            records = make(session, [call(server, str(number), **wanted) for number in range(10)])
            assert [outcome(record) for record in records] == [str(number) for number in range(10)]
            assert server.requests[-1]["max_completion_tokens"] == 7
            assert [note for note in notes(session) if "does not take response_format" in note] == notes(session)
            assert len(notes(session)) == 1
        count = server.count
        with opened(tmp_path) as session:
            make(session, [call(server, str(number), **wanted) for number in range(10)])
        assert server.count == count


def test_one_slow_call_holds_up_nothing(tmp_path: Path) -> None:
    """While one of two calls in flight takes as long as all others together, the others go on."""

    def answer(request: Request, count: int) -> Reply:
        return completion("x", delay=0.6 if last_words(request) == "0" else 0.005)

    finished: list[str] = []

    with Server(answer) as server, opened(tmp_path, concurrency=2) as session:

        async def work(each: Call) -> None:
            await session.caller(each.endpoint).call(each)
            finished.append(each.body["messages"][0]["content"])

        session.run([call(server, str(number)) for number in range(40)], work)
    assert finished[-1] == "0"
    assert len(finished) == 40


def test_the_input_is_read_only_as_fast_as_the_calls_go(tmp_path: Path) -> None:
    read = 0

    def units() -> Iterator[int]:
        nonlocal read
        for number in range(500):
            read += 1
            yield number

    async def work(unit: int) -> None:
        await asyncio.sleep(0)
        assert read <= unit + 60

    with opened(tmp_path) as session:
        session.run(units(), work)
    assert read == 500


def test_a_session_runs_where_a_loop_runs_already(tmp_path: Path) -> None:
    async def notebook() -> str:
        with Server(echo) as server, opened(tmp_path) as session:
            return outcome(make(session, [call(server, "a")])[0])

    assert asyncio.run(notebook()) == "A"
