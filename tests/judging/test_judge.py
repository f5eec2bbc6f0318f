"""``prefdata judge`` against a real server: what becomes a pair, what does not, and where everything else went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import prefdata
from prefdata.errors import OutputExistsError, PrefdataError, ServiceError, UsageError
from prefdata.judging.judge import estimate
from prefdata.records.codec import response_set_from
from tests.here import run_here
from tests.judging.sets import SETS, judged, judging, longer, read, reasons, row, said, shown, timeless, write
from tests.servers import Reply, Request, Server, completion, failure, last_words


def test_what_both_orders_prefer_becomes_a_pair_and_the_rest_is_accounted_for(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", SETS)
    with Server(judging(longer)) as server:
        result = judged(tmp_path, server)
    (pair,) = read(tmp_path / "p.jsonl")
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ("prompt of clear", "a longer one", "short")
    judgments = read(tmp_path / "p.judgments.jsonl")
    assert pair["judgment_ids"] == sorted(each["id"] for each in judgments if each["response_set_id"] == "clear")
    assert reasons(tmp_path) == {"even": "tie", "copies": "identical-responses", "alone": "fewer-than-two-responses"}
    assert server.count == 4, "identical responses are not worth a call"
    assert result.ok
    tally = result.tally
    assert (tally.sets, tally.with_pairs, tally.pairs, tally.judgments) == (4, 1, 1, 4)
    assert tally.sets == tally.with_pairs + sum(tally.dropped.values())


def test_judgments_are_unswapped_and_keep_the_order_shown_and_the_raw_text(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", SETS[:1])
    with Server(judging(longer)) as server:
        judged(tmp_path, server)
        texts = [shown(request) for request in server.requests]
        answers = {shown(request)[0]: said(request, longer(*shown(request))) for request in server.requests}
    first, second = read(tmp_path / "p.judgments.jsonl")
    assert (first["order"], first["shown"], second["order"], second["shown"]) == (0, ["r0", "r1"], 1, ["r1", "r0"])
    assert first["ranking"] == second["ranking"] == [["r1"], ["r0"]]
    assert first["raw"] == f"I think so. {answers['short']}"
    assert second["raw"] == f"I think so. {answers['a longer one']}"
    assert sorted(texts) == [("a longer one", "short"), ("short", "a longer one")]
    for judgment in (first, second):
        assert judgment["judge"]["kind"] == "llm"
        assert len(judgment["judge"]["template_sha256"]) == 64
        assert judgment["usage"]["prompt_tokens"] == 10
        assert judgment["created_at"].endswith("+00:00")


def test_a_judge_that_follows_the_order_makes_no_pair_and_is_found_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", SETS[:1])
    with Server(judging(lambda first, second: "A")) as server:
        done = run_here(
            capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", f"llm:m@{server.url}"
        )
    assert done.code == 0
    assert reasons(tmp_path) == {"clear": "inconsistent-orders"}
    assert "both orders agree in 0.0% of 1; the response shown first wins 100.0% of 2" in done.err


def test_one_order_is_drawn_by_seed_and_not_always_the_same(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row(f"s{number}", "a", "bb") for number in range(40)])
    with Server(judging(longer)) as server:
        result = judged(tmp_path, server, orders="one", seed=1)
        orders = [judgment["order"] for judgment in read(tmp_path / "p.judgments.jsonl")]
        judged(tmp_path, server, orders="one", seed=1, overwrite=True)
        assert [judgment["order"] for judgment in read(tmp_path / "p.judgments.jsonl")] == orders
        judged(tmp_path, server, orders="one", seed=2, overwrite=True)
        assert [judgment["order"] for judgment in read(tmp_path / "p.judgments.jsonl")] != orders
    assert 8 < sum(orders) < 32
    assert result.tally.pairs == 40


def test_unreadable_answers_and_failed_calls_are_never_votes(tmp_path: Path) -> None:
    def answer(request: Request, count: int) -> Reply:
        first, second = shown(request)
        if "mumble" in (first, second) and first != "mumble":
            return completion("Hard to say.")
        if "poison" in (first, second) and first == "poison":
            return failure(400, "this one is too long")
        return judging(longer)(request, count)

    write(tmp_path / "r.jsonl", [row("m", "mumble", "x"), row("p", "poison", "x"), row("ok", "yes", "x")])
    with Server(answer) as server:
        result = judged(tmp_path, server)
        assert [pair["chosen"] for pair in read(tmp_path / "p.jsonl")] == ["yes"]
        assert reasons(tmp_path) == {"m": "unreadable-verdict", "p": "call-failed"}
        assert "too long" in read(tmp_path / "p.dropped.jsonl")[1]["detail"]
        assert (result.ok, result.tally.failed, result.tally.unreadable) == (False, 1, 1)
        flags = [judgment.get("flags") for judgment in read(tmp_path / "p.judgments.jsonl")]
        assert flags == [None, ["unreadable"], ["call_failed"], None, None, None]


def test_where_no_verdict_at_all_can_be_read_the_way_out_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row("s", "a", "b")])
    command = ("judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl")
    with Server(lambda request, count: completion("Both are nice.")) as server:
        mumbled = run_here(capfd, *command, "--judge", f"llm:m@{server.url}")
    assert "--reparse" in mumbled.err
    with Server(judging(longer)) as server:
        clear = run_here(capfd, *command, "--judge", f"llm:m@{server.url}", "--overwrite")
    assert "--reparse" not in clear.err


def test_pairing_the_judgments_later_comes_to_the_same_pairs(tmp_path: Path) -> None:
    rows = [
        row(f"s{number}", "a" * (number % 3 + 1), "b" * (number % 4 + 1), "c" * (number % 5)) for number in range(30)
    ]
    write(tmp_path / "r.jsonl", [*rows, row("poison", "poison", "x")])

    def answer(request: Request, count: int) -> Reply:
        return failure(400) if shown(request)[0] == "poison" else judging(longer)(request, count)

    with Server(answer) as server:
        judged(tmp_path, server, strategy="all")
    prefdata.pair(tmp_path / "r.jsonl", tmp_path / "p.judgments.jsonl", output=tmp_path / "again.jsonl", strategy="all")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "p.jsonl").read_bytes()
    assert len(read(tmp_path / "p.jsonl")) > 30


def test_of_n_responses_all_are_compared_and_the_strategy_picks(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row("s", "bb", "dddd", "a", "ccc")])
    with Server(judging(longer)) as server:
        judged(tmp_path, server)
        assert [(pair["chosen"], pair["rejected"]) for pair in read(tmp_path / "p.jsonl")] == [("dddd", "a")]
        assert server.count == 12
        judged(tmp_path, server, strategy="adjacent", overwrite=True)
        pairs = {(pair["chosen"], pair["rejected"]) for pair in read(tmp_path / "p.jsonl")}
        assert pairs == {("dddd", "ccc"), ("ccc", "bb"), ("bb", "a")}
        assert server.count == 12, "another strategy asks nothing again"


def test_a_jury_of_models_and_rules_decides_by_majority(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row("s", "long but wrong", "4", reference="4")])
    with Server(judging(longer)) as one, Server(judging(lambda a, b: longer(b, a))) as other:
        judges = [f"llm:one=m@{one.url}", f"llm:two=m@{other.url}", "rule:exact-match"]
        result = judged(tmp_path, one, judge=judges)
        assert (one.count, other.count) == (2, 2)
    assert read(tmp_path / "p.jsonl")[0]["chosen"] == "4"
    assert {judgment["judge"]["name"] for judgment in read(tmp_path / "p.judgments.jsonl")} == {
        "one",
        "two",
        "exact-match",
    }
    assert {name: counts.consistency for name, counts in result.tally.orders.items()} == {
        "one": 1.0,
        "two": 1.0,
        "exact-match": None,
    }


def test_conversations_are_judged_with_the_shared_context_once(tmp_path: Path) -> None:
    context = [{"role": "user", "content": "A room in Lyon?"}]
    call = {"type": "function", "function": {"name": "book", "arguments": {"city": "Lyon"}}}
    booked = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "done"}]
    talked = [{"role": "assistant", "content": "No."}]
    write(tmp_path / "r.jsonl", [row("s", booked, talked, prompt=context)])
    with Server(judging(longer)) as server:
        judged(tmp_path, server)
    text = last_words(server.requests[0])
    assert text.count("A room in Lyon?") == 1
    assert 'book({"city":"Lyon"})' in text
    (pair,) = read(tmp_path / "p.jsonl")
    assert (pair["prompt"], pair["rejected"]) == (context, talked)
    assert [turn["role"] for turn in pair["chosen"]] == ["assistant", "tool"]


def test_lines_that_are_no_response_sets_are_dropped_with_line_and_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [SETS[0], b"{oops", b"", b'"\xff"', b"[]", {"prompt": {"prompt": "x"}}, SETS[0], SETS[1]]
    twins = {**row("t", "a", "b"), "responses": [{"id": "x", "response": "a"}, {"id": "x", "response": "b"}]}
    write(tmp_path / "r.jsonl", [*rows, twins])
    with Server(judging(longer)) as server:
        command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", f"llm:m@{server.url}"]
        done = run_here(capfd, *command, "--format", "json")
    assert done.code == 1
    document = json.loads(done.out)
    counts = document["counts"]
    assert (counts["lines"], counts["sets"], counts["invalid_lines"], counts["dropped"]) == (8, 2, 6, {"tie": 1})
    assert counts["lines"] == counts["sets_with_pairs"] + sum(counts["dropped"].values()) + counts["invalid_lines"]
    drops = [drop for drop in read(tmp_path / "p.dropped.jsonl") if drop["reason"] == "invalid-line"]
    assert [drop["line"] for drop in drops] == [2, 4, 5, 6, 7, 9]
    words = ["not JSON", "not UTF-8", "not a JSON object", "/responses", "line 1", "share an id"]
    for drop, word in zip(drops, words, strict=True):
        assert word in drop["detail"]
    assert drops[0]["raw"] == "{oops"
    assert drops[1]["raw"] == '"\\xff"'


def test_nothing_is_paid_twice_and_finished_work_is_never_overwritten_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", SETS)
    with Server(judging(longer)) as server:
        judged(tmp_path, server)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        with pytest.raises(OutputExistsError):
            judged(tmp_path, server)
        result = judged(tmp_path, server, overwrite=True)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
        assert (server.count, result.calls.made, result.calls.reused) == (4, 0, 4)
        other = tmp_path / "precious.jsonl"
        other.write_text("mine\n")
        (tmp_path / "p.jsonl").unlink()
        with pytest.raises(OutputExistsError, match="precious"):
            judged(tmp_path, server, judgments=other)
        assert other.read_text() == "mine\n"
    assert sorted(path.name for path in (tmp_path / "p.jsonl.state").iterdir()) == ["ledger.jsonl", "lock"]


def test_a_mistake_in_a_later_command_does_not_cost_what_earlier_ones_paid_for(tmp_path: Path) -> None:
    """A run that comes to nothing removes its state folder, but not the answers that lie there."""
    write(tmp_path / "r.jsonl", SETS)
    (tmp_path / "broken.yaml").write_text("m: 3\n")
    with Server(judging(longer)) as server:
        judged(tmp_path, server)
        for mistake in ({"prices": tmp_path / "typo.yaml"}, {"prices": tmp_path / "broken.yaml"}):
            with pytest.raises(PrefdataError):
                judged(tmp_path, server, overwrite=True, **mistake)
        ledger = tmp_path / "p.jsonl.state" / "ledger.jsonl"
        kept = ledger.read_bytes()
        ledger.unlink()
        ledger.mkdir()  # as when another user's, it cannot be opened
        with pytest.raises(PrefdataError, match=r"ledger.jsonl"):
            judged(tmp_path, server, overwrite=True)
        assert ledger.is_dir()
        ledger.rmdir()
        ledger.write_bytes(kept)
        result = judged(tmp_path, server, overwrite=True)
        assert (server.count, result.calls.made, result.calls.reused) == (4, 0, 4)


def test_a_run_killed_while_its_files_were_moved_into_place_is_finished_by_the_next(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", SETS)
    files = [tmp_path / name for name in ("p.judgments.jsonl", "p.dropped.jsonl", "p.jsonl")]
    with Server(judging(longer)) as server:
        judged(tmp_path, server)
        before = [path.read_bytes() for path in files]
        files[2].unlink()
        marker = tmp_path / "p.jsonl.state" / "publishing.json"
        marker.write_text(json.dumps([str(path) for path in files]))
        judged(tmp_path, server)
        assert [path.read_bytes() for path in files] == before
        assert not marker.exists()


def test_failed_calls_are_made_again_when_asked(tmp_path: Path) -> None:
    broken = True

    def answer(request: Request, count: int) -> Reply:
        return failure(500) if broken and "short" in last_words(request) else judging(longer)(request, count)

    write(tmp_path / "r.jsonl", SETS)
    with Server(answer) as server:
        assert judged(tmp_path, server, concurrency=1).tally.failed == 2
        assert judged(tmp_path, server, overwrite=True).tally.failed == 2
        broken = False
        result = judged(tmp_path, server, retry_failed=True)
        assert (result.ok, result.tally.pairs, result.calls.made, result.calls.reused) == (True, 1, 2, 2)


def test_response_sets_go_in_and_pairs_come_out_without_a_file() -> None:
    sets = [response_set_from(each) for each in SETS]
    with Server(judging(longer)) as server:
        pairs = list(prefdata.judge(iter(sets), judge=f"llm:m@{server.url}"))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("a longer one", "short")]
    assert pairs[0].metadata["response_set_id"] == "clear"


def test_every_flag_can_be_given_by_file_and_by_environment(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "r.jsonl", [row("s", "a", "bb", "ccc")])
    (tmp_path / "score.py").write_text("def score(prompt, response, reference):\n    return len(response)\n")
    monkeypatch.setenv("PREFDATA_JUDGE_JUDGE", f"rule:python:{tmp_path}/score.py:score")
    monkeypatch.setenv("PREFDATA_JUDGE_STRATEGY", "all")
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl"]
    assert run_here(capfd, *command).code == 0
    assert len(read(tmp_path / "p.jsonl")) == 3
    monkeypatch.delenv("PREFDATA_JUDGE_STRATEGY")
    (tmp_path / "flags.yaml").write_text("strategy: adjacent\noverwrite: true\nconcurrency: 9\n")
    assert run_here(capfd, *command, "--config", tmp_path / "flags.yaml").code == 0
    assert len(read(tmp_path / "p.jsonl")) == 2
    assert run_here(capfd, *command, "--overwrite", "--concurrency", "many").code == 2
    monkeypatch.delenv("PREFDATA_JUDGE_JUDGE")
    for judges in ("rule:length:3-", "[rule:length:3-]"):  # a flag that may be repeated is a list, or one alone
        (tmp_path / "flags.yaml").write_text(f"judge: {judges}\noverwrite: true\n")
        done = run_here(capfd, *command, "--config", tmp_path / "flags.yaml")
        assert (done.code, len(read(tmp_path / "p.jsonl"))) == (0, 1), done.err


def test_an_option_that_does_not_exist_is_not_swallowed() -> None:
    with pytest.raises(TypeError, match="startegy"):
        prefdata.judge([], judge="rule:length:1-", startegy="all")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="in memory"):
        prefdata.judge([], "p.jsonl", judge="rule:length:1-")  # type: ignore[call-overload]


def test_a_pair_of_output_names_that_would_destroy_something_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", SETS)
    options = {"judge": "rule:length:1-3", "overwrite": True}
    for output, extra in [
        (path, {}),
        (tmp_path / "p.jsonl", {"judgments": path}),
        (tmp_path / "p.jsonl", {"dropped": tmp_path / "p.jsonl"}),
        (tmp_path / "p.jsonl.gz", {}),
    ]:
        with pytest.raises(UsageError):
            prefdata.judge(path, output, **options, **extra)  # type: ignore[arg-type]
    assert read(path) == SETS


@pytest.mark.parametrize(
    ("judges", "words"),
    [
        ([], "no judge"),
        (["gpt-4"], "names no judge"),
        (["llm:"], "names no judge"),
        (["oracle:m"], "names no judge"),
        (["rule:length:1-2", "rule:length:1-2"], "same name"),
        (["llm:m@http://a/v1", "llm:m=other@http://b/v1"], "same name"),
    ],
)
def test_judges_that_cannot_be_meant_are_explained(tmp_path: Path, judges: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prefdata.judge(write(tmp_path / "r.jsonl", SETS), tmp_path / "p.jsonl", judge=judges)


def test_without_a_key_openai_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ServiceError, match="no key"):
        prefdata.judge(write(tmp_path / "r.jsonl", SETS), tmp_path / "p.jsonl", judge="llm:gpt-x")
    assert not list(tmp_path.glob("p*"))


def test_what_makes_no_call_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (write(tmp_path / "r.jsonl", SETS), tmp_path / "p.jsonl")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert estimate(*files, judge="llm:gpt-x").endpoints[0].to_make > 0


def test_the_two_runs_of_one_command_differ_in_their_time_alone(tmp_path: Path) -> None:
    files = []
    with Server(judging(longer)) as server:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            write(tmp_path / name / "r.jsonl", SETS)
            judged(tmp_path / name, server)
            files.append(
                [timeless(tmp_path / name / file) for file in ("p.jsonl", "p.judgments.jsonl", "p.dropped.jsonl")]
            )
    assert files[0] == files[1]
