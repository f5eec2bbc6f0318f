"""Every rule finds what its page says, and nothing in rows that are right; screens miss nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata import schema
from prefdata.errors import UsageError
from prefdata.validation.batch import Batch, ChatBatch, TextBatch
from prefdata.validation.lines import MAX_LINE_BYTES
from prefdata.validation.registry import PREFIXES, Rule, all_rules, rule_of, selected
from prefdata.validation.row import row_of
from prefdata.validation.validate import validate
from tests.validation.rows import as_chat_pair, chat, chat_pairs, read, spoilt_pairs, text, text_pairs, turns, write
from tests.validation.tokenizers import saved_tokenizer

RULES = all_rules()


def codes_in(path: Path, **options: Any) -> dict[str, int]:
    return {total.code: total.findings for total in validate(path, **options).totals}


def options_of(rule: Rule, folder: Path) -> dict[str, Any]:
    """What has to be asked for so that a rule runs on its examples."""
    if rule.flag == "--eval-fraction":
        return {"eval_fraction": 0.5}
    if rule.flag == "--against":
        return {"against": write(folder / "eval.jsonl", {"question": "what is  2+2?"})}
    if rule.flag == "--near-duplicates":
        return {"near_duplicates": 0.8}
    if rule.flag == "--tokenizer":
        options: dict[str, Any] = {"tokenizer": saved_tokenizer(folder / "tokenizer")}
        if rule.code in ("TOK003", "TOK004", "TOK005"):
            options |= {"trainer": "trl", "max_length": 20}
        return options
    return {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_bad_example_of_a_rule_breaks_it_and_the_good_one_breaks_none(rule: Rule, tmp_path: Path) -> None:
    bad = (b'{"prompt": "' + b"x" * MAX_LINE_BYTES + b'"}',) if rule.name == "overlong-line" else rule.bad
    end = b"" if rule.name == "invalid-json" else b"\n"
    options = options_of(rule, tmp_path)
    assert rule.code in codes_in(write(tmp_path / "bad.jsonl", *bad, end=end), **options)
    found = codes_in(write(tmp_path / "good.jsonl", *rule.good), **options)
    assert not found or (rule.name == "mixed-forms" and set(found) == {"CNV010"})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_what_a_rule_says_about_itself_is_in_order(rule: Rule) -> None:
    assert rule.code[:3] in PREFIXES
    assert rule.code[3:].isdigit()
    assert rule.severity != "error" or rule.action == "quarantine"
    assert not rule.guard or rule.action == "quarantine", "a guard refuses rows"
    assert "\n" not in rule.message + rule.hint + rule.why
    assert len(rule.why) > 60


def test_codes_and_names_are_unique() -> None:
    assert len({rule.code for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)


def found_with_and_without_screens(batch: Batch) -> None:
    for rule in RULES:
        if rule.stage != "row" or rule.screen is None or rule.name == "mixed-forms":
            continue
        screened = set(rule.screen(batch))
        for index in range(len(batch)):
            hits = list(rule.check(batch.row(index)))
            assert not hits or index in screened, f"the screen of {rule.code} misses {batch.documents[index]}"


def in_both_writings(kind: type[Batch], documents: list[dict[str, Any]]) -> None:
    """A batch that was read from UTF-8, and one that was read from escapes."""
    if documents:
        found_with_and_without_screens(kind(documents))
        written = [json.dumps(document, ensure_ascii=False).encode() for document in documents]
        found_with_and_without_screens(kind(documents, written, b"\n".join(written) + b"\n{unfinished"))


@given(st.lists(text_pairs | spoilt_pairs, min_size=1, max_size=4))
def test_no_screen_misses_a_row_of_strings(documents: list[dict[str, Any]]) -> None:
    in_both_writings(TextBatch, documents)


@given(st.lists(chat_pairs() | spoilt_pairs.map(as_chat_pair), min_size=1, max_size=4))
def test_no_screen_misses_a_conversation(documents: list[dict[str, Any]]) -> None:
    is_valid = schema.validator("preference_pair").is_valid
    in_both_writings(ChatBatch, [document for document in documents if is_valid(document)])


@given(st.lists(chat_pairs() | text_pairs, min_size=1, max_size=4), st.booleans())
def test_a_row_is_the_same_alone_and_in_a_batch(documents: list[dict[str, Any]], convert: bool) -> None:
    documents = [document for document in documents if schema.validator("preference_pair").is_valid(document)]
    batches: list[Batch] = [
        ChatBatch([d for d in documents if convert or isinstance(d["prompt"], list)], convert=convert)
    ]
    if not convert:
        batches.append(TextBatch([d for d in documents if isinstance(d["prompt"], str)]))
    for batch in batches:
        for index in range(len(batch)):
            assert batch.row(index) == row_of(batch.documents[index], chat=convert)


HI = turns("Hi", "Hello!")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (chat(), {}),
        (chat([*HI, *turns("2+2?")], [*HI, *turns("2+2?", "4")], [*HI, *turns("2+2?", "5")]), {}),
        (chat([{"role": "system", "content": "Be brief."}, *turns("2+2?")]), {}),
        (chat(HI, turns("2+2?", "4"), turns("2+2?", "5")), {"CNV013": 1}),
        # A completion may start with the words of an earlier turn, as long as it can follow the prompt.
        (chat(HI, turns("Hi", "4"), turns("Hi", "5")), {"CNV013": 1}),
        (chat(turns("2+2?"), turns("2+2?", "4")), {"CNV001": 1}),
        (chat([*HI, *turns("2+2?")], [*HI, *turns("2+3?", "4")], [*HI, *turns("2+3?", "5")]), {"CNV001": 2}),
        (chat([*turns("a"), *turns("b")]), {"CNV002": 1}),
        (chat(turns("a"), turns("b", "c")), {"CNV002": 1}),
        (chat(turns("Hi", first="assistant") + turns("2+2?")), {"CNV002": 1}),
        (chat(chosen=turns("4", "Sure?", first="assistant")), {"CNV004": 1}),
        (chat(chosen=[]), {"PRF002": 1}),
        (chat(chosen=turns(" \n", first="assistant")), {"PRF002": 1}),
        (chat(chosen=turns("4", "So?", "", first="assistant")), {"PRF002": 1}),
        (chat(chosen=turns("", "So?", "4", first="assistant")), {"CNV005": 1}),
        (chat(turns("2+2?"), turns("2+2?"), turns("2+2?")), {"PRF001": 1, "PRF002": 2}),
        (chat([]), {"CNV012": 1}),
        (chat([{"role": "system", "content": ""}]), {"CNV002": 2, "CNV012": 1}),
        (text("2+2=", "2+2=4", "2+2=5"), {"CNV011": 1}),
        (text("2+2=", "2+2=4", "5"), {}),
        (text(" "), {"CNV012": 1}),
        (text(chosen=""), {"PRF002": 1}),
        (text(chosen="5"), {"PRF001": 1}),
    ],
)
def test_conversations_and_preferences(row: dict[str, Any], expected: dict[str, int], tmp_path: Path) -> None:
    assert codes_in(write(tmp_path / "in.jsonl", row)) == expected


def call(*ids: str | None, arguments: Any = "{}") -> dict[str, Any]:
    made = [{"type": "function", "function": {"name": "f", "arguments": arguments}, "id": id} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def said(id: str | None = None) -> dict[str, Any]:
    return {"role": "tool", "content": "4", **({"tool_call_id": id} if id else {})}


ANSWER = {"role": "assistant", "content": "4"}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([call("a")], {}),
        ([call("a"), said("a"), ANSWER], {}),
        ([call("a", "b"), said("b"), said("a"), ANSWER], {}),
        ([call(None), said(), ANSWER], {}),
        ([call("a"), said(), ANSWER], {}),
        ([call("a", "b"), said("b"), ANSWER], {"CNV006": 1}),
        ([call("a"), said("b"), ANSWER], {"CNV006": 1, "CNV007": 1}),
        ([said("b"), ANSWER], {"CNV007": 1}),
        ([call("a"), said("a")], {"CNV004": 1}),
        ([call("a"), ANSWER], {"CNV002": 1, "CNV006": 1}),
        ([call("a"), said("a"), *turns("Thanks", "Welcome")], {"CNV002": 1}),
        ([call("a", arguments="{")], {"CNV008": 1}),
        ([call("a", arguments="[1]")], {"CNV008": 1}),
        ([call("a", arguments={"x": 1})], {}),
    ],
)
def test_tool_calls_and_results(chosen: list[dict[str, Any]], expected: dict[str, int], tmp_path: Path) -> None:
    assert codes_in(write(tmp_path / "in.jsonl", chat(chosen=chosen))) == expected


def test_calls_that_wait_at_the_end_of_the_prompt_are_answered_in_both_completions(tmp_path: Path) -> None:
    prompt = [*turns("2+2?"), call("a")]
    row = chat(prompt, [said("a"), ANSWER], [said("a"), {"role": "assistant", "content": "5"}])
    assert codes_in(write(tmp_path / "in.jsonl", row)) == {"CNV013": 1}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"prompt": "a", "chosen": "b"', "SYN001"),
        (b"\x00\x00\x00", "SYN001"),
        (b"{'prompt': 'a'}", "SYN001"),
        (b'{"prompt": "a"} {"prompt": "a"}', "SYN001"),
        (b"[" * 2000, "SYN001"),
        (b'{"prompt": "\xff"}', "SYN002"),
        (b'{"prompt": "a", "prompt": "b", "chosen": "c", "rejected": "d"}', "SYN004"),
        (b'{"prompt" : "a", "prompt"\t: "b", "chosen"  : "c", "rejected": "d"}', "SYN004"),
        (b'{"prompt": "a", "chosen": "c", "rejected": "d", "metadata": {"x\\\\": 1, "x\\\\": 2}}', "SYN004"),
        (b'{"prompt": [{"role": "user", "role": "user", "content": "a"}], "chosen": [], "rejected": []}', "SYN004"),
        (b'{"margin": -Infinity}', "SYN005"),
        (b'{"margin": 1e999, "prompt": "a", "chosen": "b", "rejected": "c"}', "SYN006"),
        (b'{"margin": -9223372036854775809, "prompt": "a", "chosen": "b", "rejected": "c"}', "SYN006"),
        (b'{"prompt": "\\ud800 \\\\ud800"}', "SYN007"),
        (b"3", "SYN008"),
        (b"null", "SYN008"),
    ],
)
def test_syntax(line: bytes, code: str, tmp_path: Path) -> None:
    result = validate(write(tmp_path / "in.jsonl", text(), line))
    assert code in {total.code for total in result.totals}
    assert (result.counts.kept, result.counts.quarantined) == (1, 1)
    assert {finding.line for finding in result.findings} == {2}
    syntax = {total.code for total in result.totals if total.code.startswith("SYN")}
    assert syntax == {code}, "one cause, one code"


def test_text_that_looks_like_keys_is_no_duplicate(tmp_path: Path) -> None:
    awkward = ['{"a": 1, "a": 2}', 'x\\":', '"\\\\":', ":", '"":', "\\"]
    rows = [text(prompt=prompt, metadata={"k": prompt}) for prompt in awkward]
    assert codes_in(write(tmp_path / "in.jsonl", *rows)) == {}


def test_numbers_that_are_kept_exactly_are_not_found(tmp_path: Path) -> None:
    numbers = [2**64 - 1, -(2**63), 1e300, 0.1, 5.0]
    assert codes_in(write(tmp_path / "in.jsonl", *[text(str(n), metadata={"n": n}) for n in numbers])) == {}


def test_a_byte_order_mark_is_taken_off_wherever_two_files_were_joined(tmp_path: Path) -> None:
    lines = [b"\xef\xbb\xbf" + line for line in (b'{"prompt":"a","chosen":"b","rejected":"c"}', b'{"prompt":"d"}')]
    result = validate(write(tmp_path / "in.jsonl", *lines), output=tmp_path / "out")
    assert {total.code: total.findings for total in result.totals} == {"SYN003": 2, "SCH001": 2}
    assert result.counts.kept == 1
    assert read(tmp_path / "out" / "quarantine.jsonl")[0]["raw"].startswith("\ufeff")


@pytest.mark.parametrize(
    ("row", "pointer", "message", "hint"),
    [
        ({"prompt": "a", "chosen": "b"}, "/rejected", '"rejected" is missing', "prompt, chosen and rejected"),
        ({**text(), "rejected": True}, "/rejected", "true is not of type", "prompt is a string"),
        ({"prompt": "a", "chosen": "b", "rejectd": "c"}, "/rejected", "missing", "rejectd"),
        ({"chosen": turns("a", "b"), "rejected": turns("a", "c")}, "/prompt", "missing", "--from trl"),
        (chat([{"role": "usr", "content": "a"}]), "/prompt/0/role", '"usr"', "did you mean 'user'?"),
        (chat([{"role": "human", "content": "a"}]), "/prompt/0/role", '"human"', "did you mean 'user'?"),
        (chat([{"from": "human", "value": "a"}]), "/prompt/0/role", "missing", "ShareGPT"),
        (chat([{"role": "user", "content": [{"type": "text", "text": "a"}]}]), "/prompt/0/content", "", "typed parts"),
        (chat([{"role": "user", "content": None}]), "/prompt/0/content", "null", "tool_calls"),
        (chat([{"role": "user", "tool_calls": call("a")["tool_calls"]}]), "/prompt/0/role", "only the assistant", ""),
        ({**text(), "chosen": turns("a")}, "/chosen", "is not of type", "prompt is a string"),
    ],
)
def test_the_schema_speaks_plainly(row: Any, pointer: str, message: str, hint: str, tmp_path: Path) -> None:
    findings = validate(write(tmp_path / "in.jsonl", row)).findings
    found = next(finding for finding in findings if finding.json_path == pointer)
    assert found.code.startswith("SCH")
    assert message in found.message
    assert hint in (found.hint or "")


def test_every_violation_of_a_row_is_told(tmp_path: Path) -> None:
    row = chat([{"role": "usr", "content": 1}], [{"role": "assistant"}], metadata=[], id="")
    findings = validate(write(tmp_path / "in.jsonl", row)).findings
    assert {finding.json_path for finding in findings} == {
        "/prompt/0/role",
        "/prompt/0/content",
        "/chosen/0/content",
        "/metadata",
        "/id",
    }


def test_unknown_fields_are_told_and_left_out(tmp_path: Path) -> None:
    message = {"role": "user", "content": "a", "weight": 0}
    result = validate(write(tmp_path / "in.jsonl", chat([message], margn=1)), output=tmp_path / "out")
    assert [(finding.json_path, finding.severity) for finding in result.findings] == [
        ("/margn", "warning"),
        ("/prompt/0/weight", "warning"),
    ]
    assert "margin" in (result.findings[0].hint or "")
    assert result.ok


def test_rules_are_selected_by_code_prefix_and_name() -> None:
    guards = {rule.code for rule in RULES if rule.guard}
    assert {rule.code for rule in selected()} == {rule.code for rule in RULES if rule.flag is None}
    assert {rule.code for rule in selected(["PRF"])} == guards | {
        rule.code for rule in RULES if rule.code.startswith("PRF") and rule.flag is None
    }
    assert {rule.code for rule in selected(["empty-side"])} == guards | {"PRF002"}
    assert "PRF003" not in {rule.code for rule in selected((), ["prf003"])}
    assert {rule.code for rule in selected((), ["CNV"])} >= {c for c in guards if c.startswith("CNV")}


@pytest.mark.parametrize("name", ["SCH001", "identical-sides", "CNV001"])
def test_guards_cannot_be_ignored(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be ignored"):
        selected((), [name])


@pytest.mark.parametrize("name", ["XYZ", "PRF0011", ""])
def test_a_rule_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="there is no rule"):
        selected([name])


def test_the_nearest_rule_is_proposed() -> None:
    with pytest.raises(UsageError) as raised:
        rule_of("identical-side")
    assert "PRF001" in (raised.value.hint or "")
