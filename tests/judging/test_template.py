"""Templates: what is sent, and what is wrong with one that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from prefdata.errors import InputError, UsageError
from prefdata.judging.template import Template, built_in, checked, load_template

SHOWN = {"prompt": "P", "response_a": "first", "response_b": "second", "reference": "R"}


def document(**changes: Any) -> dict[str, Any]:
    base = {
        "name": "mine",
        "user": "{{prompt}} | {{response_a}} | {{response_b}}",
        "labels": {"a": "A", "b": "B"},
        "verdict": {"kind": "regex", "pattern": r"\[\[(A|B)\]\]"},
    }
    return {**base, **changes}


@pytest.mark.parametrize("name", list(built_in()))
def test_every_built_in_template_shows_all_that_a_judge_needs(name: str) -> None:
    template = load_template(name)
    assert template.name == name
    assert template.document["description"]
    names = None if template.mode == "pairwise" else {"0": "A", "1": "B"}
    drawn = template.drawn_for(list(SHOWN.values()), labels=names)
    block = drawn.item("A", "first") + drawn.item("B", "second") if template.mode == "listwise" else ""
    more = {"response": "first second", "responses": block, "criterion": "C", "labels": "A", "metrics": "M"}
    system, user = drawn.messages({**SHOWN, **more})
    assert (system["role"], user["role"]) == ("system", "user")
    for text in ("P", "first", "second", drawn.nonce):
        assert text in user["content"]
    if template.mode == "pairwise":
        assert drawn.labels["a"] in user["content"]
        assert drawn.labels["b"] in user["content"]
    assert "{{" not in system["content"] + user["content"]


def test_what_a_response_holds_is_never_filled_in_again() -> None:
    template = checked(document(), "mine")
    shown = {"prompt": "{{response_b}}", "response_a": "{{prompt}} {{label_b}} {{nothing}}", "response_b": "\\1 \\g<0>"}
    (message,) = template.messages({**shown, "reference": ""})
    assert message["content"] == "{{response_b}} | {{prompt}} {{label_b}} {{nothing}} | \\1 \\g<0>"


def test_text_in_single_braces_and_json_examples_are_left_alone() -> None:
    template = checked(document(user='{{response_a}}{{ response_b }} {"a": {"b": 1}} {{"x"}} {prompt}'), "mine")
    assert template.messages(SHOWN)[0]["content"] == 'firstsecond {"a": {"b": 1}} {{"x"}} {prompt}'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": "{{response_a}} {{response_b}} {{respone}}"}, ["unknown placeholder {{respone}}", "/user"]),
        ({"user": "{{response_a}} {{response_b}} {{label_tie}}"}, ["{{label_tie}} has no label"]),
        ({"user": "{{prompt}} {{response_a}}"}, ["{{response_b}} is not shown"]),
        ({"labels": {"a": "A", "b": "A"}}, ["two of them are the same"]),
        ({"labels": {"a": True, "b": "B"}}, ["/labels/a"]),
        ({"verdict": {"kind": "regex", "pattern": "["}}, ["no regular expression"]),
        ({"verdict": {"kind": "regex", "pattern": "A|B"}}, ["needs a group"]),
        ({"verdict": {"kind": "regex", "pattern": "({{label_tie}})"}}, ["unknown placeholder {{label_tie}}"]),
        ({"verdict": {"kind": "regex"}}, ["/verdict/pattern"]),
        ({"verdict": {"kind": "dice"}}, ["/verdict/kind"]),
        ({"verdict": {"kind": "logprobs"}, "labels": {"a": "Output (a)", "b": "Output (b)"}}, ["first character"]),
        ({"parameters": {"n": 3}}, ["/parameters/n"]),
        ({"draw": "suffix"}, ["/verdict/pattern", "{{label_a}}"]),
        ({"draw": "suffix", "verdict": {"kind": "logprobs"}}, ["/draw", "letters"]),
        ({"user": "{{nonce}} {{response_a}} {{response_b}}"}, ["{{nonce}} needs /draw"]),
        ({"user": "{{criteria}} {{response_a}} {{response_b}}"}, ["/criteria"]),
        ({"prepare": [{"name": "prompt", "user": "{{response_a}}"}]}, ["/prepare/0/user", "name of something else"]),
        ({"prepare": [{"name": "x", "user": "y", "parameters": {"n": 1}}]}, ["/prepare/0/parameters/n"]),
        ({"mode": "pointwise"}, ["/labels"]),
        ({"mode": "listwise"}, ["item"]),
        ({"colour": "red"}, ["colour"]),
        ({"name": None, "labels": {"a": ""}}, ["/name", "/labels/a", "/labels/b"]),
    ],
)
def test_every_problem_of_a_template_is_named(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        checked(document(**changes), "mine.yaml")
    assert "mine.yaml" in error.value.message
    for word in words:
        assert word in error.value.message


def test_a_file_of_ones_own_is_read_and_its_content_alone_makes_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document()))
    template = load_template(str(path))
    path.write_text("# a remark\n" + yaml.safe_dump(document(), sort_keys=False))
    assert load_template(str(path)).sha256 == template.sha256 == Template(document()).sha256
    path.write_text(yaml.safe_dump(document(user="{{prompt}}: {{response_a}} | {{response_b}}")))
    assert load_template(str(path)).sha256 != template.sha256


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"user: [\n", "not YAML at line 2"), (b"\xff\xfe", "not UTF-8"), (b"just text", "object"), (b"", "object")],
)
def test_a_file_that_is_no_template_is_named_and_explained(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises((UsageError, InputError), match=words):
        load_template(str(path))


def test_a_name_that_is_no_template_lists_those_that_are() -> None:
    with pytest.raises(UsageError, match="no template 'pairwize'") as error:
        load_template("pairwize")
    assert "pairwise-json" in str(error.value.hint)
    with pytest.raises(InputError, match="no such template file"):
        load_template("nowhere/mine.yaml")


def test_the_request_asks_for_what_the_verdict_is_read_from() -> None:
    labels = {"a": "A", "b": "B", "tie": "tie"}
    asked = checked(document(labels=labels, verdict={"kind": "json", "field": "best"}), "mine").request()
    schema = asked["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"best": {"enum": ["A", "B", "tie"]}}
    asked = checked(document(verdict={"kind": "logprobs", "top_logprobs": 7}, parameters={"seed": 1}), "mine").request()
    assert asked == {"seed": 1, "logprobs": True, "top_logprobs": 7}
