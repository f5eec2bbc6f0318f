"""``prefdata collect`` against a real server: what becomes a response, what never does, and what is recorded of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.collection.collect import CollectResult
from prefdata.errors import ServiceError, UsageError
from prefdata.schema import violations
from tests.here import run_here
from tests.servers import Answer, Reply, Request, Server, completion, failure, last_words


def prompts(folder: Path, *rows: Any) -> Path:
    path = folder / "prompts.jsonl"
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return path


def collected(folder: Path, server: Server, **options: Any) -> tuple[CollectResult, list[dict[str, Any]]]:
    options = {"model": f"m@{server.url}", "retries": 0, **options}
    result = prefdata.collect(folder / "prompts.jsonl", folder / "r.jsonl", **options)
    rows = [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]
    for row in rows:
        assert not list(violations("response_set", row))
    return result, rows


def numbered(request: Request, count: int) -> Reply:
    """As many different choices as asked for."""
    return completion(*(f"{last_words(request)} {place}" for place in range(request.get("n", 1))))


def texts(row: dict[str, Any]) -> list[Any]:
    return [response["response"] for response in row["responses"]]


def test_every_prompt_gets_n_responses_from_one_call_with_what_made_them(tmp_path: Path) -> None:
    prompts(tmp_path, {"id": "p1", "prompt": "one", "reference": "1", "metadata": {"k": 1}}, {"prompt": "two"})
    with Server(numbered) as server:
        result, rows = collected(tmp_path, server, n=3, temperature=0.7, max_tokens=9, top_p=0.5, system="Be brief.")
    assert [texts(row) for row in rows] == [["one 0", "one 1", "one 2"], ["two 0", "two 1", "two 2"]]
    assert rows[0]["prompt"] == {"id": "p1", "prompt": "one", "reference": ["1"], "metadata": {"k": 1}}
    for response in rows[0]["responses"]:
        assert response["model"] == "m"
        assert response["parameters"] == {"temperature": 0.7, "max_tokens": 9, "top_p": 0.5, "system": "Be brief."}
        assert response["finish_reason"] == "stop"
        assert response["usage"] == {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16, "choices": 3}
    assert server.count == 2
    request = server.requests[0]
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert (request["n"], request["temperature"], request["max_tokens"], request["top_p"]) == (3, 0.7, 9, 0.5)
    assert (result.ok, result.prompts, result.responses, result.failures) == (True, 2, 6, {})


def test_samples_that_say_the_same_are_told_apart(tmp_path: Path) -> None:
    prompts(tmp_path, {"prompt": "one"})
    with Server(lambda request, count: completion("same", "same", "other")) as server:
        _, (row,) = collected(tmp_path, server, n=3)
    ids = [response["id"] for response in row["responses"]]
    assert len(set(ids)) == 3
    assert ids[1] == f"{ids[0]}-2"


def test_several_models_answer_each_prompt_and_are_told_apart_by_name(tmp_path: Path) -> None:
    prompts(tmp_path, {"prompt": "one"})
    with Server(completion("big says")) as big, Server(completion("small says")) as small:
        _, (row,) = collected(tmp_path, big, n=1, model=[f"big=m@{big.url}", f"small=m@{small.url}"])
    assert [(each["model"], each["response"]) for each in row["responses"]] == [
        ("big", "big says"),
        ("small", "small says"),
    ]
    assert [each["parameters"]["model"] for each in row["responses"]] == ["m", "m"]


def one_choice(request: Request, count: int) -> Reply:
    """A server that answers any n with one choice."""
    return completion(f"seed {request.get('seed')}")


def one_at_a_time(request: Request, count: int) -> Reply:
    """A server that refuses n."""
    return failure(400, "n must be 1") if "n" in request else one_choice(request, count)


@pytest.mark.parametrize("answer", [one_choice, one_at_a_time])
def test_a_server_that_gives_one_choice_at_a_time_is_asked_as_often_as_it_takes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], answer: Answer
) -> None:
    prompts(tmp_path, *({"prompt": f"p{number}"} for number in range(30)))
    command = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "3", "--seed", "4"]
    with Server(answer) as server:
        done = run_here(capfd, *command, "--model", f"m@{server.url}", "--concurrency", "2")
        asked = server.count
        again = run_here(capfd, *command, "--model", f"m@{server.url}", "--overwrite")
        assert server.count == asked
    assert (done.code, again.code) == (0, 0)
    assert done.err.count("asking for samples one by one") == 1
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    for row in rows:
        seeds = [response["parameters"]["seed"] for response in row["responses"]]
        assert texts(row) == [f"seed {seed}" for seed in seeds]
        assert seeds == [seeds[0], seeds[0] + 1, seeds[0] + 2]
        assert "choices" not in row["responses"][0]["usage"]
    firsts = {row["responses"][0]["parameters"]["seed"] for row in rows}
    assert len(firsts) == len(rows), "one seed for all prompts would draw the same random numbers at each"
    assert 90 <= asked < 90 + 30, "what was learned of the server is remembered"
    prompts(tmp_path, *({"prompt": f"p{number}"} for number in reversed(range(30))))
    with Server(answer) as server:
        url = server.url
        run_here(capfd, *command, "--model", f"m@{url}", "--overwrite")
        asked = server.count
        prompts(tmp_path, *({"prompt": f"p{number}"} for number in range(30)))
        run_here(capfd, *command, "--model", f"m@{url}", "--overwrite")
        assert server.count == asked, "nor does the order of the prompts matter"


def test_what_is_no_answer_never_becomes_a_response(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replies = {
        "fine": completion("yes"),
        "cut": completion("a long story that", finish_reason="length"),
        "refused": completion(None, refusal="I cannot help with that."),
        "filtered": completion("bad words", finish_reason="content_filter"),
        "empty": completion(" \n"),
        "thinking": completion("", finish_reason="length"),
        "too long": failure(400, "the context is too long"),
    }
    prompts(tmp_path, *({"id": words, "prompt": words} for words in replies))
    command = ["collect", tmp_path / "prompts.jsonl", "-o", tmp_path / "r.jsonl", "-n", "1"]
    with Server(lambda request, count: replies[last_words(request)]) as server:
        done = run_here(capfd, *command, "--model", f"m@{server.url}")
    rows = {
        json.loads(line)["prompt"]["id"]: json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()
    }
    assert {id: texts(row) for id, row in rows.items() if row["responses"]} == {
        "fine": ["yes"],
        "cut": ["a long story that"],
    }
    assert rows["cut"]["responses"][0]["finish_reason"] == "length"
    failures = {id: row["failures"][0] for id, row in rows.items() if "failures" in row}
    assert {id: each["reason"] for id, each in failures.items()} == {
        "refused": "refusal",
        "filtered": "content-filter",
        "empty": "empty-answer",
        "thinking": "empty-answer",
        "too long": "call-failed",
    }
    assert failures["refused"]["detail"] == "I cannot help with that."
    assert "the context is too long" in failures["too long"]["detail"]
    assert "cut off" in failures["thinking"]["detail"]
    assert done.code == 1, "a call failed"
    for words in ("2 responses to 7 prompts, 1 of them cut off", "1  refusal", "--retry-failed"):
        assert words in done.err


def test_conversations_get_turns_with_the_tools_they_were_given(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "book", "parameters": {}}}
    call = {"type": "function", "function": {"name": "book", "arguments": {"city": "Lyon"}}}
    talk = [
        {"role": "system", "content": "You book rooms."},
        {"role": "user", "content": "Lyon?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "full", "tool_call_id": "call_0"},
    ]
    prompts(tmp_path, {"prompt": talk, "tools": [tool]}, {"prompt": talk[:2]})
    answered = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"city":"Nice"}'}}

    def answer(request: Request, count: int) -> Reply:
        return completion(None, tool_calls=[answered]) if "tools" in request else completion("Which dates?")

    with Server(answer) as server:
        _, rows = collected(tmp_path, server, n=1, system="Ignored: the prompts have their own.")
    assert texts(rows[0]) == [[{"role": "assistant", "tool_calls": [answered]}]]
    assert texts(rows[1]) == [[{"role": "assistant", "content": "Which dates?"}]]
    sent = next(request for request in server.requests if "tools" in request)
    assert sent["tools"] == [tool]
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool"]
    sent_call = sent["messages"][2]["tool_calls"][0]
    assert sent_call["id"] == "call_0"
    assert json.loads(sent_call["function"]["arguments"]) == {"city": "Lyon"}


def test_failed_calls_are_recorded_a_sample_each_and_made_again_when_asked(tmp_path: Path) -> None:
    broken = True

    def answer(request: Request, count: int) -> Reply:
        return failure(500, "oops") if broken and last_words(request) == "bad" else numbered(request, count)

    prompts(tmp_path, {"prompt": "good"}, {"prompt": "bad"})
    with Server(answer) as server:
        result, rows = collected(tmp_path, server, n=3, concurrency=1)
        assert (result.ok, result.failures) == (False, {"call-failed": 3})
        assert [failure["reason"] for failure in rows[1]["failures"]] == ["call-failed"] * 3
        broken = False
        result, rows = collected(tmp_path, server, n=3, retry_failed=True)
        assert (result.ok, result.calls.made, result.calls.reused) == (True, 1, 1)
        assert texts(rows[1]) == ["bad 0", "bad 1", "bad 2"]


def test_lines_that_are_no_prompts_are_dropped_with_line_and_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = prompts(tmp_path, {"prompt": "one"}, b"{", {"prompt": 7}, b"", {"prompt": []}, {"prompt": "one"}, b"\xff")
    with Server(numbered) as server:
        command = ["collect", path, "-o", tmp_path / "r.jsonl", "--model", f"m@{server.url}", "-n", "1"]
        done = run_here(capfd, *command, "--format", "json")
        assert server.count == 1
    assert done.code == 1
    document = json.loads(done.out)
    assert (document["prompts"], document["invalid"], document["repeated"], document["responses"]) == (1, 4, 1, 1)
    drops = [json.loads(line) for line in (tmp_path / "r.dropped.jsonl").read_text().splitlines()]
    reasons = [
        (2, "invalid-line"),
        (3, "invalid-line"),
        (5, "invalid-line"),
        (6, "repeated-prompt"),
        (7, "invalid-line"),
    ]
    assert [(drop["line"], drop["reason"]) for drop in drops] == reasons


def test_prompts_come_from_stdin_and_a_first_try_takes_few(tmp_path: Path, prefdata: Any) -> None:
    rows = "".join(json.dumps({"prompt": f"p{number}"}) + "\n" for number in range(9))
    with Server(numbered) as server:
        command = ["collect", "-", "-o", tmp_path / "r.jsonl", "--model", f"m@{server.url}", "--limit", "2"]
        done = prefdata(*command, stdin=rows)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["prompt"]["prompt"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == [
        "p0",
        "p1",
    ]
    dry = prefdata(*command, "--dry-run", stdin=rows)
    assert "8 responses to 2 prompts" in done.stderr
    assert "2 calls, 2 in the ledger (reused), 0 to make" in dry.stdout, dry.stderr


def test_what_cannot_be_meant_is_explained_before_any_call(tmp_path: Path) -> None:
    prompts(tmp_path, {"prompt": "one"})
    with Server(failure(401, "no")) as server:
        with pytest.raises(UsageError, match="same name"):
            collected(tmp_path, server, model=[f"m@{server.url}", f"m=n@{server.url}"])
        with pytest.raises(UsageError, match="no model"):
            collected(tmp_path, server, model=[])
        assert server.count == 0
        with pytest.raises(ServiceError, match="wants a key"):
            collected(tmp_path, server)
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.jsonl"]
