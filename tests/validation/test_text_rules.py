"""Rules over text and over the contrast of two sides: what they find, and what only looks like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.validation.cycles import cycles
from prefdata.validation.duplicates import KEY_COLUMNS
from prefdata.validation.validate import validate
from tests.validation.rows import chat, read, text, turns, write

LONG = "Now that we know the weather of both cities, we look at "


def found(path: Path, **options: Any) -> dict[str, int]:
    return {total.code: total.findings for total in validate(path, **options).totals}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("4<|im_end|>", {"TXT001": 1}),
        ("[INST] 4 [/INST]", {"TXT001": 1}),
        ("<<SYS>> Be brief <</SYS>>", {"TXT001": 1}),
        ("<s>4</s>", {"TXT001": 1}),
        ("4<\uff5cend\u2581of\u2581sentence\uff5c>", {"TXT001": 1}),
        ("<start_of_turn>model", {"TXT001": 1}),
        ("if a < b and c | d > e: <b>bold</b> <p>x</p> <s>struck</s> out", {}),
        ("x[i] and [link](url) [INFO] <|", {}),
        ("4\n\nHuman: Thanks!", {"TXT002": 1}),
        ("4\n### Response:\n5", {"TXT002": 1}),
        ("Human: 4", {"TXT002": 1}),
        ("A human: 4. The User: 5. Dear Assistant: hello", {}),
        ("It\u00e2\u20ac\u2122s 4", {"TXT003": 1}),
        ("caf\u00c3\u00a9", {"TXT003": 1}),
        ("\u00d0\u00bf\u00d1\u20ac\u00d0\u00b8\u00d0\u00b2\u00d0\u00b5\u00d1\u201a", {"TXT003": 1}),
        ("S\u00c3O PAULO, \u00c2ngela, \u00d1and\u00fa, d\u00e9j\u00e0 vu, CAF\u00c9\u00bb", {}),
        ("4\ufffd", {"TXT004": 1}),
        ("\x1b[1m4", {"TXT004": 1}),
        ("4\x00", {"TXT004": 1}),
        ("4\x7f", {"TXT004": 1}),
        ("a\x08b", {"TXT004": 1}),
        ("a\tb\r\nc \\beta \\frac \u200d \u2028", {}),
        (LONG + "the", {"TXT005": 1}),
        (LONG + "Rome, Paris, ", {"TXT005": 1}),
        ("```python\nprint(4)\n", {"TXT005": 1}),
        ("```python\nprint(4)\n```", {}),
        (LONG + "what it is made of", {}),
        ("see the", {}),
    ],
)
def test_text(chosen: str, expected: dict[str, int], tmp_path: Path) -> None:
    rows = [text(chosen=chosen), chat(turns("2+2"), turns(chosen, first="assistant"))]
    for row in rows:
        assert found(write(tmp_path / "in.jsonl", row)) == expected


def test_marks_of_templates_are_found_however_json_writes_them_and_are_marked(tmp_path: Path) -> None:
    lines = [
        b'{"prompt": "2+2?", "chosen": "a long answer%b", "rejected": "5"}' % mark
        for mark in (b"<|im_end|>", b"\\u003c|im_end|>")
    ]
    lines.append(lines[1].replace(b"3c", b"3C"))
    result = validate(write(tmp_path / "in.jsonl", *lines), ignore=["PRF003"])
    assert [finding.line for finding in result.findings if finding.code == "TXT001"] == [1, 2, 3]
    first, second, _ = (example for example in result.examples if example.finding.code == "TXT001")
    assert first.excerpt[slice(*first.mark)] == "<|im_end|>"
    assert second.excerpt[slice(*second.mark)] == "\\u003c|im_end|>"


def test_a_transcript_in_a_prompt_of_strings_is_no_fault(tmp_path: Path) -> None:
    assert found(write(tmp_path / "in.jsonl", text("Human: 2+2?\n\nAssistant:", "4"))) == {}


ENGLISH, RUSSIAN = "The capital of France is Paris.", "Столица Франции — город Париж."


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((ENGLISH + "?", ENGLISH, RUSSIAN), {"TXT006": 1}),
        ((RUSSIAN + "?", ENGLISH, RUSSIAN), {"TXT006": 1}),
        (("Translate into Russian: " + ENGLISH, RUSSIAN, "Париж — столица страны."), {}),
        ((ENGLISH + "?", ENGLISH, "Paris (Париж)."), {}),
        ((ENGLISH + "?", "法国的首都是巴黎，它是一座城市。", "The capital is London."), {"TXT006": 1}),
        ((ENGLISH + "?", "4", RUSSIAN), {}),
    ],
)
def test_another_script_on_one_side_only(sides: tuple[str, str, str], expected: dict[str, int], tmp_path: Path) -> None:
    assert found(write(tmp_path / "in.jsonl", text(*sides))) == expected


ASKED = "What should I do with the apples that are left, and how long can they be kept?"
KEPT = "You can keep them for about three weeks, but they should be in a cool place, and they must not be wet."
BAKED = "There is a cake that my mother would make of them, which you can have with cream or just as it is."
SPANISH = "Puedes guardarlas unas tres semanas, pero deben estar en un lugar fresco y no se pueden mojar por la lluvia."
GERMAN = "Man kann sie etwa drei Wochen lang aufheben, aber sie müssen kühl liegen und dürfen nicht nass werden."
SPANISH_TOO = (
    "Con las manzanas que sobran se puede hacer una tarta, que es como la de mi madre, y no lleva mucho tiempo."
)
CODE = "```python\nfor de in la:\n    if que is not le: print(un, en, se)\n```"


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((ASKED, KEPT, SPANISH), {"TXT006": 1}),
        ((ASKED, SPANISH, KEPT), {"TXT006": 1}),
        ((SPANISH_TOO + " ¿Qué más?", SPANISH, GERMAN), {"TXT006": 1}),
        ((SPANISH_TOO + " ¿Qué más?", SPANISH, KEPT), {"TXT006": 1}),
        ((SPANISH_TOO + " ¿Qué más?", SPANISH, SPANISH_TOO), {}),
        ((ASKED, KEPT, BAKED), {}),
        (("Say it in Spanish: " + KEPT, SPANISH, SPANISH_TOO), {}),
        ((SPANISH_TOO + " ¿Qué más?", SPANISH, CODE), {}),
        ((ASKED, KEPT, "De la Torre, El Greco, Los Angeles"), {}),
        ((ASKED, KEPT, "Sí."), {}),
    ],
)
def test_another_language_of_latin_letters_on_one_side_only(
    sides: tuple[str, str, str], expected: dict[str, int], tmp_path: Path
) -> None:
    assert found(write(tmp_path / "in.jsonl", text(*sides))) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (text(chosen="It is 4.", rejected="It  is 4. "), {"PRF005": 1}),
        (text(chosen="It is 4.", rejected="it IS 4."), {"PRF005": 1}),
        (text(chosen="\ufb01ne", rejected="fine"), {"PRF005": 1}),
        (text(chosen="e\u0301", rejected="\u00e9"), {"PRF005": 1}),
        (text(chosen="4", rejected="\u200b4"), {"PRF005": 1}),
        (text(chosen="It is 4.", rejected="It is 4!"), {}),
        (chat(chosen=turns("It is 4", first="assistant"), rejected=turns("it is 4", first="assistant")), {"PRF005": 1}),
        (text(chosen="4", rejected="4, or is it?"), {"PRF011": 1}),
        (text(chosen="4, or is it?", rejected="4"), {"PRF011": 1}),
        (chat(chosen=turns("4", first="assistant"), rejected=turns("4, no?", first="assistant")), {"PRF011": 1}),
        (chat(chosen=turns("4", "Sure?", "Yes", first="assistant")), {}),
        (text(score_chosen=1, score_rejected=2), {"PRF006": 1}),
        (text(probability=0.2), {"PRF006": 1}),
        (text(score_chosen=1, score_rejected=1.0), {"PRF007": 1}),
        (text(score_chosen=None, score_rejected=None), {}),
        (text(score_chosen=2, score_rejected=1, probability=0.9), {}),
        (text(chosen="I\u2019m sorry, but I can\u2019t help with that."), {"PRF008": 1}),
        (text(rejected="Sorry, I cannot assist with this request."), {"PRF009": 1}),
        (text(chosen="I cannot assist you.", rejected="I can't help you."), {}),
        (text(chosen="I'm sorry to hear that. Have you seen a doctor?"), {}),
        (text("What is the sum of 2 and 2?", "4", "What is the sum of 2 and 2? 5"), {"PRF010": 1}),
        (text("What is the sum of 2 and 2?", "4", "What is the sum of 2 and 2?"), {"PRF010": 1}),
        (
            chat(
                turns("What is the sum of 2 and 2?"), rejected=turns("What is the sum of 2 and 2? 5", first="assistant")
            ),
            {"PRF010": 1},
        ),
        (text("2+2", "2+2 is 4", "5"), {}),
    ],
)
def test_contrast(row: dict[str, Any], expected: dict[str, int], tmp_path: Path) -> None:
    assert found(write(tmp_path / "in.jsonl", row)) == expected


def test_a_circle_is_refused_with_its_lines(tmp_path: Path) -> None:
    ways = ["AB", "BC", "AD", "CA", "DE", "AB"]
    rows = [text("Tea?", *way) for way in ways] + [text("Or?", "A", "B"), text("Or?", "C", "A")]
    result = validate(write(tmp_path / "in.jsonl", *rows), output=tmp_path / "out")
    told = {finding.line: finding.message for finding in result.findings if finding.code == "PRF012"}
    assert set(told) == {1, 2, 4}
    assert told[1].startswith("A > B > C > A")
    assert told[1].endswith("in.jsonl:2, " + str(tmp_path / "in.jsonl") + ":4")
    assert result.counts.quarantined_by_code == {"PRF012": 3}
    assert result.counts.dropped_by_code == {"PRF003": 1}
    assert {record["line"] for record in read(tmp_path / "out" / "quarantine.jsonl")} == {1, 2, 4}


def test_two_ways_of_one_pair_are_a_contradiction_and_no_circle(tmp_path: Path) -> None:
    rows = [text("Tea?", *way) for way in ("AB", "BA")]
    assert found(write(tmp_path / "in.jsonl", *rows)) == {"PRF004": 2}


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_circles_are_those_that_a_search_of_all_ways_finds(rows: list[tuple[int, int, int]]) -> None:
    rows = list(dict.fromkeys((p, a, b) for p, a, b in rows if a != b))
    keys = np.zeros((len(rows), KEY_COLUMNS), np.uint64)
    for index, row in enumerate(rows):
        keys[index, :3] = [number + 2**60 for number in row]
    one_way = {row for row in rows if (row[0], row[2], row[1]) not in rows}
    expected = {rows.index((p, a, b)) for p, a, b in one_way if reaches(one_way, p, b, a)}
    told = list(cycles(keys))
    assert {cycle.ordinals[0] for cycle in told} == expected
    for cycle in told:
        way = [rows[ordinal] for ordinal in cycle.ordinals]
        assert len(way) >= 3
        assert all(one[2] == after[1] for one, after in zip(way, [*way[1:], way[0]], strict=True))


def reaches(rows: set[tuple[int, int, int]], prompt: int, start: int, goal: int) -> bool:
    reached, grown = {start}, True
    while grown:
        more = {b for p, a, b in rows if p == prompt and a in reached} - reached
        reached, grown = reached | more, bool(more)
    return goal in reached


def test_an_id_that_two_different_pairs_share_is_told(tmp_path: Path) -> None:
    rows = [text(id="a"), text("3+3?", id="a"), text("4+4?", id="b"), text(id="a"), text("5+5?"), text("6+6?")]
    result = validate(write(tmp_path / "in.jsonl", *rows))
    assert [(f.code, f.line) for f in result.findings] == [("PRF014", 2), ("PRF003", 4)]


SHARED = turns("Hello!", "2+2?", first="assistant")


@pytest.mark.parametrize("repeated", [False, True])
def test_shared_messages_after_the_prompt_are_told_and_moved(repeated: bool, tmp_path: Path) -> None:
    prompt = turns("Hi")
    sides = [[*(prompt if repeated else []), *SHARED, *turns(end, first="assistant")] for end in "45"]
    path = write(tmp_path / "in.jsonl", chat(prompt, *sides))
    assert found(path) == {"CNV013": 1}
    result = validate(path, output=tmp_path / "out", fix="safe")
    assert not result.totals
    assert read(path)[0]["prompt"] == [*prompt, *SHARED]
    assert [len(read(path)[0][side]) for side in ("chosen", "rejected")] == ([4, 4] if repeated else [1, 1])


def test_what_both_sides_say_last_stays_an_answer(tmp_path: Path) -> None:
    row = chat(
        chosen=turns("4", "Sure?", "Yes", first="assistant"), rejected=turns("4", "Sure?", "No", first="assistant")
    )
    path = write(tmp_path / "in.jsonl", row)
    validate(path, fix="safe")
    assert [len(read(path)[0][side]) for side in ("prompt", "chosen", "rejected")] == [3, 1, 1]


def test_unsafe_fixes_swap_by_score_and_cut_marks(tmp_path: Path) -> None:
    rows = [
        text(score_chosen=1, score_rejected=2),
        text("3+3?", score_chosen=1, score_rejected=2, margin=1.0),
        text("4+4?", "4<|im_end|>\x00"),
        text("5+5?", "Itâ€™s 4"),
        text("6+6?", "<|im_end|>"),
    ]
    path = write(tmp_path / "in.jsonl", *rows)
    validate(path, fix="safe")
    assert read(path) == rows
    validate(path, fix="unsafe")
    swapped, margin, cut, letters, mark = read(path)
    assert (swapped["chosen"], swapped["rejected"], swapped["score_chosen"]) == ("5", "4", 2)
    assert margin == rows[1], "a margin that speaks for chosen leaves doubt"
    assert (cut["chosen"], letters["chosen"], mark["chosen"]) == ("4", "It’s 4", "<|im_end|>")


def test_the_first_byte_in_which_a_repeated_prompt_differs_is_told(tmp_path: Path) -> None:
    prompt = turns("Hi", "Né à Paris", "2+2?")
    changed = turns("Hi", "Né a Paris", "2+2?", "4")
    result = validate(write(tmp_path / "in.jsonl", chat(prompt, changed, [*prompt, *turns("5", first="assistant")])))
    told = next(finding for finding in result.findings if finding.code == "CNV001")
    assert told.message.endswith("message 1 differs from byte 4 of its content on")
    assert told.json_path == "/chosen/1"
