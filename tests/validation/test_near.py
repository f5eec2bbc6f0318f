"""``--near-duplicates``: what is told is nearly the same, and nearly all that is so is told."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.errors import UsageError
from prefdata.validation.near import SIDES, _compared, _Sides
from tests.here import run_here
from tests.validation.rows import as_chat_pair, text, write

Capture = pytest.CaptureFixture[str]
WORDS = "".join(chr(97 + n) for n in range(26))


def sentence(rng: random.Random, words: int) -> str:
    return " ".join("".join(rng.choices(WORDS, k=rng.randint(2, 8))) for _ in range(words))


def near(path: Path, **options: Any) -> dict[int, str]:
    result = prefdata.validate(path, near_duplicates=0.8, fail_on="never", ignore=["AUD"], examples=1000, **options)
    return {f.line or 0: f.message for f in result.findings if f.code == "PRF015"}


@pytest.mark.parametrize("words", [12, 60, 900])
def test_nearly_all_rows_that_a_comparison_of_all_with_all_finds_are_told_and_no_others(
    words: int, tmp_path: Path
) -> None:
    rng = random.Random(words)
    rows = []
    for _ in range(50 if words < 900 else 12):
        row = {side: sentence(rng, words) for side in SIDES}
        rows.append(row)
        for _ in range(rng.randint(0, 3)):
            changed = dict(row)
            for side in SIDES:
                letters = list(changed[side])
                for _ in range(rng.randint(0, max(1, len(letters) // 60))):
                    letters[rng.randrange(len(letters))] = rng.choice(WORDS)
                changed[side] = "".join(letters)
            if rng.random() < 0.3:
                changed["chosen"], changed["rejected"] = changed["rejected"], changed["chosen"]
            rows.append(changed)
    path = write(tmp_path / "in.jsonl", *rows)
    sides = [_Sides(line) for line in path.read_bytes().splitlines()]
    expected = set()
    for later in range(len(rows)):
        for earlier in range(later):
            exact = {frozenset((rows[n]["chosen"], rows[n]["rejected"], rows[n]["prompt"])) for n in (later, earlier)}
            alike = _compared(later, earlier, sides[later], sides[earlier], 0.8, show=False)
            if alike is not None and len(exact) > 1:
                expected.add(later + 1)
    told = set(near(path))
    assert told <= expected
    assert len(expected) > 5
    assert len(told) >= 0.95 * len(expected)


LONG = sentence(random.Random(1), 40)


def test_a_cluster_is_told_with_the_row_that_each_is_like_and_the_place_where_they_part(tmp_path: Path) -> None:
    rows = [
        text(LONG, LONG + " one", LONG[::-1]),
        text(LONG, LONG + " two", LONG[::-1] + "."),
        text(),
        text(LONG, "4", "5"),
    ]
    rows.append(text(LONG + "!", LONG[::-1], LONG + " one"))
    for path in (
        write(tmp_path / "text.jsonl", *rows),
        write(tmp_path / "chat.jsonl", *map(as_chat_pair, rows)),
    ):
        told = near(path)
        assert set(told) == {2, 5}
        assert told[2].startswith(f"nearly the same row as {path}:1 (prompt 100%, chosen")
        assert "the other way round in" in told[5]
        assert all("3 rows hang together" in message for message in told.values())
    result = prefdata.validate(path, near_duplicates=0.8, ignore=["AUD"])
    example = next(example for example in result.examples if example.finding.code == "PRF015")
    assert example.parts is not None
    ours, theirs = example.parts
    assert ours[: example.parting] == theirs[: example.parting]
    assert {ours[example.parting], theirs[example.parting]} == {"o", "t"}


def test_many_pairs_of_one_prompt_that_share_an_answer_are_no_near_duplicates(tmp_path: Path) -> None:
    rng = random.Random(3)
    answers = [sentence(rng, 60) for _ in range(5)]
    rows = [text(LONG, one, other) for number, one in enumerate(answers) for other in answers[number + 1 :]]
    assert near(write(tmp_path / "in.jsonl", *rows)) == {}


def test_exact_duplicates_are_told_by_their_own_rule_only(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", text(LONG), text(LONG), text(LONG, "5", "4"))
    assert near(path) == {}


def test_the_flag_takes_a_share_or_none(tmp_path: Path, capfd: Capture) -> None:
    path = write(tmp_path / "in.jsonl", text(LONG, LONG + " one", "no"), text(LONG, LONG + " two", "no"))
    assert "PRF015" in run_here(capfd, "validate", path, "--near-duplicates").out
    assert "PRF015" not in run_here(capfd, "validate", path, "--near-duplicates", "0.99").out
    assert "PRF015" not in run_here(capfd, "validate", path).out
    with pytest.raises(UsageError, match=r"0\.5 to 1"):
        prefdata.validate(path, near_duplicates=0.2)
