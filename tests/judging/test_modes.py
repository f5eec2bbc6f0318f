"""Scores, rankings, levels, samples, adaptive orders, and what is asked before a prompt is judged."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import prefdata
from prefdata.endpoint.calls import Choice
from prefdata.errors import InputError, UsageError
from prefdata.judging.template import load_template
from prefdata.judging.verdict import read_answer, read_verdict
from tests.here import run_here
from tests.judging.sets import judged, longer, names, read, reasons, row, said, shown, write
from tests.servers import Reply, Request, Server, completion, failure, last_words, token


def choice(text: str) -> Choice:
    return Choice(text, None, "stop", (), ())


def scored(request: Request, count: int) -> Reply:
    """A score by length, one more for usefulness."""
    text = last_words(request)
    nonce = re.findall(r"<response (\w+)>", text)[0]
    response = text.split(f"<response {nonce}>\n")[1].split(f"\n</response {nonce}>")[0]
    if response == "mumble":
        return completion("I would rather not say.")
    return completion(f"[[10]] is too much. [[{nonce}: {len(response) + ('usefulness' in text)}]]")


def ranked(request: Request, count: int) -> Reply:
    """A ranking by length; equal lengths are tied."""
    text = last_words(request)
    found = re.findall(r"<response (\S+)>\n(.*?)\n</response", text)
    lengths = sorted({len(response) for _, response in found}, reverse=True)
    tiers = [" = ".join(name for name, response in found if len(response) == length) for length in lengths]
    return completion(f"The first says [[A > B]]. So: [[{' > '.join(tiers)}]]")


def test_scores_are_means_over_the_criteria_and_rank_the_responses(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row("s", "aaa", "bbbbb", "c"), row("lost", "aa", "mumble", "c"), row("one", "a")])
    with Server(scored) as server:
        result = judged(tmp_path, server, template="pointwise", strategy="all")
        assert server.count == 3 * 3 + 3 * 3
    judgments = read(tmp_path / "p.judgments.jsonl")
    assert judgments[0]["ranking"] == [["r1"], ["r0"], ["r2"]]
    assert judgments[0]["scores"] == pytest.approx({"r0": 10 / 3, "r1": 16 / 3, "r2": 4 / 3})
    assert judgments[0]["usage"]["prompt_tokens"] == 90
    assert judgments[0]["ratings"]["r1"] == {"instruction following": 5, "correctness": 5, "usefulness": 6}
    assert "criterion" not in judgments[0]
    pairs = {(pair["chosen"], pair["rejected"]): pair["margin"] for pair in read(tmp_path / "p.jsonl")}
    assert pairs == pytest.approx({("bbbbb", "aaa"): 2, ("bbbbb", "c"): 4, ("aaa", "c"): 2, ("aa", "c"): 1})
    assert (result.tally.unreadable, reasons(tmp_path)) == (1, {"one": "fewer-than-two-responses"})


def test_a_judgment_by_one_criterion_names_it_and_pairs_the_same_later(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row("s", "aaa", "bbbbb", "c")])
    (tmp_path / "c.txt").write_text("rhyme: it rhymes")
    with Server(scored) as server:
        judged(tmp_path, server, template="pointwise", criteria=tmp_path / "c.txt")
    (judgment,) = read(tmp_path / "p.judgments.jsonl")
    assert (judgment["criterion"], judgment["ratings"]["r1"]) == ("rhyme", {"rhyme": 5})
    prefdata.pair(tmp_path / "r.jsonl", tmp_path / "p.judgments.jsonl", output=tmp_path / "again.jsonl")
    (again,), (pair,) = read(tmp_path / "again.jsonl"), read(tmp_path / "p.jsonl")
    assert again["metadata"].pop("criterion") == "rhyme"
    assert again == pair


def test_a_score_off_the_scale_or_without_the_nonce_is_none() -> None:
    template = load_template("pointwise").drawn_for(["x"])
    said = [read_answer(choice(text.replace("N", template.nonce)), template).score for text in
            ("[[N: 7]]", "[[N: 7.5]] no [[N:8]]", "[[N: 11]]", "[[7]]", "")]  # fmt: skip
    assert said == [7.0, 8.0, None, None, None]


def test_all_responses_are_ranked_in_one_call_and_both_orders_must_agree(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row("s", "aa", "bbbb", "c", "dd"), row("copies", "x", "x")])
    with Server(ranked) as server:
        judged(tmp_path, server, template="listwise")
        assert server.count == 2
    first, second = read(tmp_path / "p.judgments.jsonl")
    assert (first["shown"], second["shown"]) == (["r0", "r1", "r2", "r3"], ["r3", "r2", "r1", "r0"])
    assert first["ranking"] == [["r1"], ["r0", "r3"], ["r2"]]
    assert [pair["chosen"] for pair in read(tmp_path / "p.jsonl")] == ["bbbb"]
    with Server(
        lambda request, count: completion(f"[[{' > '.join(re.findall(r'<response (.+)>', last_words(request))[::1])}]]")
    ) as server:
        biased = judged(tmp_path, server, template="listwise", overwrite=True)
    assert reasons(tmp_path)["s"] == "inconsistent-orders"
    counts = biased.tally.orders["m"]
    assert (counts.first_preferred, counts.decisive, counts.consistency, counts.compared) == (1.0, 12, 0.0, 6)


@pytest.mark.parametrize("text", ["[[A > B]]", "[[A > B > C > A]]", "[[A > B > D]]", "A > B > C", "[[A, B, C]]"])
def test_a_ranking_that_does_not_name_every_response_once_is_unreadable(text: str) -> None:
    template = load_template("listwise").drawn_for(["x"], labels={"0": "A", "1": "B", "2": "C"})
    drawn = re.sub(r"\b([A-D])\b", rf"\1-{template.nonce}", text)
    assert read_answer(choice(drawn), template).flags == ("unreadable",)
    good = re.sub(r"\b([A-D])\b", rf"\1-{template.nonce}", "[[C > A = B]]")
    assert read_answer(choice(good), template).tiers == ((2,), (0, 1))


@pytest.mark.parametrize(
    ("text", "side", "strength"),
    [
        ("[[A>>B]]", "a", 2),
        ("[[A>B]]", "a", 1),
        ("[[A=B]]", "tie", 0),
        ("[[B>A]]", "b", 1),
        ("[[B>>A]]", "b", 2),
        ("[[A<<B]]", "b", 2),
        ("[[A>A]]", None, None),
        ("[[A]]", None, None),
    ],
)
def test_five_levels_have_a_side_and_a_strength(text: str, side: str | None, strength: float | None) -> None:
    template = load_template("arena-hard").drawn_for(["x"])
    drawn = text.replace("A", template.labels["a"]).replace("B", template.labels["b"])
    verdict = read_verdict(choice(drawn), template)
    assert (verdict.side, verdict.strength) == (side, strength)


def test_metrics_and_a_reference_are_asked_for_once_a_prompt(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: Request, count: int) -> Reply:
        text = last_words(request)
        if "<response" not in text:
            asked.append(text)
            if "poison" in text:
                return failure(400, "no")
            return completion("Is it long?" if "questions" in text else "THE ANSWER")
        assert "Is it long?" in text
        assert ("THE ANSWER" in text) != ("given" in text), "the prompt's own reference comes first"
        return completion(said(request, longer(*shown(request))))

    rows = [row("s", "a", "bb", "ccc"), row("ref", "a", "bb", reference="given"), row("poison", "a", "bb")]
    write(tmp_path / "r.jsonl", rows)
    with Server(answer) as server:
        result = judged(tmp_path, server, template="rules-metrics-reference")
        assert server.count == (2 + 6) + (1 + 2) + 1
        assert len(asked) == 4
        again = judged(tmp_path, server, template="rules-metrics-reference", reparse=True)
        assert (server.count, again.tally.pairs) == (12, result.tally.pairs)
    assert [pair["chosen"] for pair in read(tmp_path / "p.jsonl")] == ["ccc", "bb"]
    assert reasons(tmp_path) == {"poison": "call-failed"}
    assert "metrics: bad-request" in read(tmp_path / "p.dropped.jsonl")[0]["detail"]


def test_criteria_of_ones_own_are_shown_and_make_another_template(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [row("s", "aaa", "bbbbb")])
    (tmp_path / "c.txt").write_text("- rhyme: it rhymes\n\nmetre\n")
    (tmp_path / "c.yaml").write_text("rhyme: it rhymes\nmetre:\n")
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--template", "pointwise"]
    with Server(scored) as server:
        for name in ("c.txt", "c.yaml"):
            url = f"llm:m@{server.url}"
            done = run_here(capfd, *command, "--judge", url, "--criteria", tmp_path / name, "--overwrite")
            assert (done.code, server.count) == (0, 4)
        assert {"The criterion is rhyme: it rhymes", "The criterion is metre"} <= {
            line for request in server.requests for line in last_words(request).splitlines()
        }
    with pytest.raises(UsageError, match="shows no criteria"):
        judged(tmp_path, server, template="pairwise", criteria=tmp_path / "c.txt", overwrite=True)
    for content, words in (("", "no criteria"), ("a: x\na: y", "twice"), (": x", "no name")):
        (tmp_path / "bad.txt").write_text(content)
        with pytest.raises(UsageError, match=words):
            judged(tmp_path, server, template="listwise", criteria=tmp_path / "bad.txt", overwrite=True)
    with pytest.raises(InputError, match="no such criteria file"):
        judged(tmp_path, server, template="listwise", criteria=tmp_path / "none.txt", overwrite=True)


def test_of_several_samples_the_majority_counts_and_all_are_recorded(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def answer(request: Request, count: int) -> Reply:
        first = shown(request)[0]
        seen[first] = seen.get(first, 0) + 1
        better = longer(*shown(request))
        return completion(said(request, better if seen[first] != 2 else {"A": "B", "B": "A"}[better]))

    write(tmp_path / "r.jsonl", [row("s", "a", "bb")])
    with Server(answer) as server:
        judged(tmp_path, server, samples=3, concurrency=1)
        assert server.count == 6
        assert sorted(request["temperature"] for request in server.requests) == [0, 0, 1, 1, 1, 1]
        judgments = read(tmp_path / "p.judgments.jsonl")
        assert len({judgment["id"] for judgment in judgments}) == 6
        assert len({tuple(judgment["ranking"][0]) for judgment in judgments}) == 2
        assert [pair["chosen"] for pair in read(tmp_path / "p.jsonl")] == ["bb"]
        judged(tmp_path, server, samples=1, overwrite=True)
        assert server.count == 6, "the first sample is the one that a run without samples makes"


def odds(request: Request, p_longer: float) -> Reply:
    one, two = (name.split()[0] for name in names(request))
    p = p_longer if longer(*shown(request)) == "A" else 1 - p_longer
    best = one if p > 0.5 else two
    return completion(best, logprobs=[token(best, **{one: math.log(p), two: math.log(1 - p)})], finish_reason="length")


def test_adaptive_orders_swap_only_where_the_first_verdict_is_close(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [row("clear", "a", "bb"), row("close", "a", "bbb"), row("failed", "a", "poison")]
    write(tmp_path / "r.jsonl", rows)

    def answer(request: Request, count: int) -> Reply:
        if "poison" in last_words(request):
            return failure(400)
        return odds(request, 0.95 if "bbb" not in last_words(request) else 0.7)

    with Server(answer) as server:
        judge = ["--judge", f"llm:m@{server.url}", "--template", "pairwise-logprob", "--orders", "adaptive"]
        done = run_here(capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", *judge)
        assert (done.code, server.count) == (1, 1 + 2 + 1)
        assert "adaptive orders did without 2 calls" in done.err
    assert sorted(pair["chosen"] for pair in read(tmp_path / "p.jsonl")) == ["bb", "bbb"]
    assert reasons(tmp_path) == {"failed": "call-failed"}


def test_adaptive_orders_ask_for_more_samples_only_where_the_orders_disagree(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", [row("plain", "a", "bb"), row("biased", "same", "size")])

    def answer(request: Request, count: int) -> Reply:
        biased = "same" in shown(request)
        return completion(said(request, "A" if biased else longer(*shown(request))))

    with Server(answer) as server:
        result = judged(tmp_path, server, orders="adaptive", samples=3)
        assert (server.count, result.tally.spared) == (2 + 6, 4)
    assert reasons(tmp_path) == {"biased": "inconsistent-orders"}


def test_adaptive_juries_hear_the_next_judge_only_about_what_is_open(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """ "one" is sure of all but what says "close", "two" knows, "three" is asked where these two do not decide."""
    write(tmp_path / "r.jsonl", [row("clear", "a", "bb"), row("split", "a", "close"), row("three", "a", "bb", "close")])
    asked: list[tuple[str, str]] = []

    def answer(request: Request, count: int) -> Reply:
        model, texts = request["model"], shown(request)
        asked.append((model, " ".join(sorted(texts))))
        close = "close" in texts
        if model == "one" and close:
            return completion(said(request, "A"))  # whatever stands first
        return completion(said(request, longer(*texts)))

    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--orders", "adaptive"]
    with Server(answer) as server:
        for model in ("one", "two", "three"):
            command += ["--judge", f"llm:{model}@{server.url}"]
        done = run_here(capfd, *command)
        assert done.code == 0, done.err
        by_model = {
            model: sorted({texts for name, texts in asked if name == model}) for model in ("one", "two", "three")
        }
        assert by_model["one"] == ["a bb", "a close", "bb close"]
        assert by_model["two"] == by_model["three"] == ["a close", "bb close"], "half a vote against a winner is open"
        assert "adaptive orders did without 8 calls" in done.err
        before = (tmp_path / "p.jsonl").read_bytes(), (tmp_path / "p.judgments.jsonl").read_bytes()
        again = run_here(capfd, *command, "--reparse")
        assert again.code == 0
        assert before == ((tmp_path / "p.jsonl").read_bytes(), (tmp_path / "p.judgments.jsonl").read_bytes())
        dry = run_here(capfd, *command, "--dry-run", "--overwrite")
        assert " 0 to make" in dry.out
    assert sorted(pair["chosen"] for pair in read(tmp_path / "p.jsonl")) == ["bb", "close", "close"]
    with Server(answer) as server:  # a rule that ties everything leaves "clear" open until two judges agree
        asked.clear()
        judges = [f"llm:{model}@{server.url}" for model in ("one", "two", "three")]
        judged(tmp_path, server, judge=[*judges, "rule:length:1-"], orders="adaptive", overwrite=True)
        by_model = {model: {texts for name, texts in asked if name == model} for model in ("one", "two", "three")}
        assert by_model["two"] == {"a bb", "a close", "bb close"}
        assert by_model["three"] == {"a close", "bb close"}
    judges_of = [each["judge"]["name"] for each in read(tmp_path / "p.judgments.jsonl")]
    assert judges_of[:5] == ["one", "one", "two", "two", "rule:length:1-".removeprefix("rule:")]
