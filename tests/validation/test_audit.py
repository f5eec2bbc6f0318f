"""The shortcut audit, those who stand out, and leakage."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefdata as library
from prefdata.errors import InputError, UsageError
from prefdata.stats.clustered import clustered_means
from prefdata.validation import sampling
from prefdata.validation.audit import Audit
from prefdata.validation.validate import validate
from tests.here import run_here
from tests.validation.rows import chat, text, turns, write

OTHER = ["a", "b", "c", "d", "e", "f", "g", "h"]


def answers(rng: random.Random, longer: bool) -> tuple[str, str]:
    short, long = " ".join(rng.sample(OTHER, 3)), " ".join(rng.choices(OTHER, k=9))
    return (long, short) if longer else (short, long)


def audit_of(path: Path, **options: Any) -> Audit:
    audit = validate(path, fail_on="never", **options).audit
    assert audit is not None
    return audit


def lengths(folder: Path, count: int, share: float, prompts: int | None = None) -> Path:
    rng = random.Random(3)
    rows = []
    for number in range(count):
        chosen, rejected = answers(rng, number < share * count)
        rows.append(text(f"Q{number % (prompts or count)}?", f"{chosen} {number}", rejected))
    return write(folder / f"{count}-{share}.jsonl", *rows)


def test_the_audit_measures_how_well_length_predicts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = lengths(tmp_path, 1000, 0.8)
    (length, *others) = audit_of(path).shortcuts
    assert (length.name, length.guess) == ("length", "the longer answer")
    assert length.accuracy.value == pytest.approx(0.8, abs=0.001)
    assert length.accuracy.low is not None
    assert length.accuracy.high is not None
    assert 0.77 < length.accuracy.low < 0.79
    assert 0.81 < length.accuracy.high < 0.83
    for other in others:
        assert other.accuracy.value == 0.5
    done = run_here(capfd, "validate", path, "-o", tmp_path / "out", "--fail-on", "warning", "--select", "AUD")
    assert "choosing the longer answer is right for 80% of the pairs" in done.out
    assert done.code == 1
    assert "1 finding of severity warning or worse about the data set as a whole" in done.out
    manifest = library.open_dataset(tmp_path / "out").manifest
    assert manifest["statistics"]["audit"]["shortcuts"]["length"]["value"] == 0.8
    reverse = audit_of(lengths(tmp_path, 1000, 0.2)).shortcuts[0]
    assert reverse.guess == "the shorter answer"
    assert reverse.accuracy.value == pytest.approx(0.8, abs=0.001)


def test_a_balanced_data_set_has_no_shortcut(tmp_path: Path) -> None:
    result = validate(lengths(tmp_path, 1000, 0.5), select=["AUD"])
    assert not result.totals
    few = audit_of(lengths(tmp_path, 20, 1))
    assert (few.rows, few.shortcuts) == (20, ())


def test_refusals_markdown_lists_and_the_place_shown_are_measured(tmp_path: Path) -> None:
    rows = []
    for number in range(200):
        pair = [
            f"I'm sorry, but I can't help with that {number}.",
            f"**Sure**\n- one {number}\n- two, and more so it is",
        ]
        if number % 10 == 0:
            pair.reverse()
        first = number % 4 != 0
        rows.append(text(f"Q{number}?", pair[1], pair[0], metadata={"chosen_shown_first": first}))
    found = {one.name: one for one in audit_of(write(tmp_path / "in.jsonl", *rows)).shortcuts}
    assert found["refusal"].guess == "the one that does not refuse"
    assert found["refusal"].accuracy.value == pytest.approx(0.9)
    assert found["markdown"].accuracy.value == pytest.approx(0.9)
    assert found["lists"].guess == "the one with more list items"
    assert found["first_shown"].accuracy.value == pytest.approx(0.75)
    assert found["first_shown"].guess == "the one that the judge saw first"


def test_a_sample_is_the_same_in_any_number_of_processes_and_knows_what_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefdata.validation.inputs.PART_BYTES", 4000)
    path = lengths(tmp_path, 2000, 0.7)
    path.write_bytes(path.read_bytes() + path.read_bytes()[:20000].rpartition(b"\n")[0])
    one, two = (validate(path, jobs=jobs, fail_on="never") for jobs in (1, 2))
    assert one.audit == two.audit
    assert one.audit is not None
    assert (one.audit.rows, one.audit.of) == (2000, 2000)
    assert one.counts.dropped > 100


def test_a_large_data_set_is_sampled_evenly_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "ROWS", 256)
    audit = audit_of(lengths(tmp_path, 4000, 0.7))
    assert 100 < audit.rows <= 256
    low, high = audit.shortcuts[0].accuracy.low, audit.shortcuts[0].accuracy.high
    assert low is not None
    assert high is not None
    assert low < 0.72
    assert high > 0.68


def test_pairs_of_one_prompt_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 50).astype(float)[:, None]
    (apart,) = clustered_means(values, np.arange(2000, dtype=np.uint64))
    (together,) = clustered_means(values, np.repeat(np.arange(40, dtype=np.uint64), 50))
    assert apart.value == together.value
    assert apart.low is not None
    assert apart.high is not None
    assert together.low is not None
    assert together.high is not None
    assert together.high - together.low > 5 * (apart.high - apart.low)
    expected = 2 * 1.96 * np.sqrt(0.25 / 40)
    assert together.high - together.low == pytest.approx(expected, rel=0.25)
    empty, full = clustered_means(np.array([[np.nan, 1.0]]), np.zeros(1, np.uint64))
    assert (empty.value, full.value) == (None, 1.0)


def grouped(key: str, odd: Iterable[str]) -> list[dict[str, Any]]:
    rng, rows = random.Random(5), []
    for number in range(600):
        name = "abc"[number % 3]
        chosen, rejected = answers(rng, longer=name in odd)
        rows.append(text(f"Q{number}?", f"{chosen} {number}", rejected, metadata={key: name}))
    return rows


@pytest.mark.parametrize(("key", "code"), [("source", "AUD002"), ("annotator", "AUD003")])
def test_a_group_that_prefers_otherwise_is_named(key: str, code: str, tmp_path: Path) -> None:
    result = validate(write(tmp_path / "in.jsonl", *grouped(key, "c")), fail_on="never", select=["AUD"])
    found = [finding.message for finding in result.findings if finding.code == code]
    assert any(f"{key} 'c': the longer answer is chosen in 100%" in message for message in found)
    assert all(finding.file is None for finding in result.findings)
    assert len(found) == 1, "the two that differ from the rest by it alone are not named"


def test_prompts_of_an_eval_set_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tell = "Tell me everything about the capital of France, please."
    rows = [
        text("What is 2+2?"),
        text("something else"),
        chat(turns("HELLO\n there")),
        chat([{"role": "system", "content": "Be brief."}, *turns("Hi", "Hello!", tell)]),
        chat(turns("Hi", "Hello!", "So?")),
    ]
    path = write(tmp_path / "in.jsonl", *rows)
    strings = write(tmp_path / "strings.jsonl", "what IS 2+2?", "Hi")
    messages = write(tmp_path / "chat.jsonl", {"messages": turns("hello there", "Hi!")}, {"turns": [tell, "Go on."]})
    done = run_here(
        capfd, "validate", path, "--chat", "-o", tmp_path / "out", "--against", strings, "--against", messages
    )
    assert done.code == 1
    assert f"{path}:1: AUD004 the prompt also stands in {strings}:1" in done.out
    assert f"{path}:4: AUD004 the prompt also stands in {messages}:2" in done.out
    handle = library.open_dataset(tmp_path / "out")
    assert handle.manifest["counts"]["quarantined_by_code"] == {"AUD004": 3}
    assert sorted(row["source_line"] for row in handle.rows()) == [2, 5]
    kept = validate(path, chat=True, against=[strings, messages], severity={"AUD004": "warning"})
    assert (kept.ok, kept.counts.kept) == (True, 5)


def test_a_file_without_prompts_is_no_eval_set(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", text())
    for lines in ([b"{"], [{"a": 1}], [], [3]):
        with pytest.raises(InputError):
            validate(path, against=write(tmp_path / "eval.jsonl", *lines))
    with pytest.raises(InputError):
        validate(path, against=tmp_path / "none.jsonl")
    with pytest.raises(UsageError):
        validate(path, against="-")


def test_conversations_cut_at_several_turns_are_told(tmp_path: Path) -> None:
    rows = [
        chat(turns(f"Hi {number % 20}", "Hello!", f"And {number}?"), turns("yes", first="assistant"))
        for number in range(200)
    ]
    path = write(tmp_path / "in.jsonl", *rows)
    result = validate(path, eval_fraction=0.3, output=tmp_path / "out")
    assert result.audit is not None
    assert result.audit.shared_openings == library.open_dataset(tmp_path / "out").rows_in("eval")
    assert "AUD005" in {finding.code for finding in result.findings}


def test_the_place_shown_comes_with_pairs_of_judgments(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A judge that takes what it sees first, in one order only: the audit of its pairs says so."""
    sets, judgments = [], []
    for number in range(60):
        sets.append(
            {
                "prompt": {"id": f"p{number}", "prompt": f"Q{number}?"},
                "id": f"s{number}",
                "responses": [{"id": "r0", "response": f"one {number}"}, {"id": "r1", "response": f"two {number}"}],
            }
        )
        shown = ["r0", "r1"] if number % 2 else ["r1", "r0"]
        best = shown[0] if number % 10 else shown[1]
        judgments.append(
            {
                "id": f"j{number}",
                "response_set_id": f"s{number}",
                "shown": shown,
                "ranking": [[best], [next(one for one in shown if one != best)]],
                "judge": {"kind": "llm", "name": "first"},
            }
        )
    responses, verdicts = write(tmp_path / "r.jsonl", *sets), write(tmp_path / "j.jsonl", *judgments)
    assert run_here(capfd, "pair", responses, verdicts, "-o", tmp_path / "pairs.jsonl").code == 0
    found = {one.name: one for one in audit_of(tmp_path / "pairs.jsonl").shortcuts}
    assert found["first_shown"].guess == "the one that the judge saw first"
    assert found["first_shown"].accuracy.value == pytest.approx(0.9)
