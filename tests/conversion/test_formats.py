"""Each format by its own examples: it is recognised, and BETTER is preferred to WORSE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

import prefdata as api
from prefdata.conversion.convert import ConvertResult
from prefdata.conversion.registry import FORMATS
from prefdata.records.codec import judgment_record, pair_record, response_set_record
from prefdata.schema import violations
from prefdata.types import Content, PreferencePair


def convert(tmp_path: Path, *rows: Any, **options: Any) -> ConvertResult:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return api.convert(path, **options)


def one(tmp_path: Path, row: Any, **options: Any) -> PreferencePair:
    (pair,) = convert(tmp_path, row, **options).pairs
    return pair


def reasons(tmp_path: Path, *rows: Any, **options: Any) -> dict[str, int]:
    result = convert(tmp_path, *rows, **options)
    assert result.counts.preferences == result.counts.kept + sum(result.counts.dropped.values())
    return dict(result.counts.dropped)


def last(content: Content) -> str:
    return content if isinstance(content, str) else content[-1].content or ""


def example(name: str, **changes: Any) -> dict[str, Any]:
    return {**FORMATS[name].examples[0], **changes}


@pytest.mark.parametrize("name", FORMATS)
def test_examples_are_recognised_and_keep_their_polarity(tmp_path: Path, name: str) -> None:
    format_ = FORMATS[name]
    chosen = name if name.startswith("pku") else "auto"  # two labels in one file: the user must choose
    result = convert(tmp_path, *format_.examples, from_=chosen)
    assert result.format == name
    assert result.counts.rows == len(format_.examples)
    expected = 1 if format_.group else len(format_.examples)
    assert len(result.pairs) == expected
    assert result.ok
    for pair in result.pairs:
        assert (last(pair.chosen), last(pair.rejected)) == ("BETTER", "WORSE")
        assert last(pair.prompt) in ("Sum?", "Sum?\n1 and 2")
        assert pair.metadata["source_line"] in range(1, len(format_.examples) + 1)
        assert pair.source == name
        assert list(violations("preference_pair", pair_record(pair))) == []


@pytest.mark.parametrize("name", [name for name, format_ in FORMATS.items() if format_.ranked])
def test_ranked_formats_become_responses_and_judgments(tmp_path: Path, name: str) -> None:
    result = convert(tmp_path, *FORMATS[name].examples, from_=name, to="responses")
    assert result.response_sets
    assert {judgment.response_set_id for judgment in result.judgments} == {one.id for one in result.response_sets}
    for response_set in result.response_sets:
        contents = {response.id: last(response.content) for response in response_set.responses}
        own = [judgment for judgment in result.judgments if judgment.response_set_id == response_set.id]
        best = [contents[judgment.ranking[0][0]] for judgment in own if judgment.ranking]
        assert best[0] == "BETTER"
        assert response_set.prompt.metadata["source_file"].endswith("rows.jsonl")
        assert list(violations("response_set", response_set_record(response_set))) == []
        assert all(list(violations("judgment", judgment_record(judgment))) == [] for judgment in own)


def test_every_format_is_apart_from_every_other() -> None:
    for name, format_ in FORMATS.items():
        for row in format_.examples:
            sure = {other for other, candidate in FORMATS.items() if candidate.detect(row) > 0.85}
            assert sure == ({"pku-better", "pku-safer"} if name.startswith("pku") else {name})


@pytest.mark.parametrize("value", [None, 1, [], {}, "", True, [1], {"messages": 1}])
def test_detection_and_reading_survive_any_value(tmp_path: Path, value: Any) -> None:
    """A column that holds nonsense is a broken row with a reason, never a traceback."""
    for format_ in FORMATS.values():
        for column in format_.examples[0]:
            row = {**format_.examples[0], column: value}
            assert all(0 <= candidate.detect(row) <= 1 for candidate in FORMATS.values())
            result = convert(tmp_path, *format_.examples, *format_.examples, row, from_=format_.name)
            assert result.counts.preferences == result.counts.kept + sum(result.counts.dropped.values())


TIES = {
    "ultrafeedback-binarized": {"score_chosen": 5.5},
    "argilla": {"chosen_avg_rating": 2.0},
    "orca": {"status": "tie"},
    "pandalm": {"annotator1": 0},
    "lmsys": {"winner_model_b": 0, "winner_tie": 1},
    "arena": {"winner": "tie"},
    "helpsteer3": {"overall_preference": 0},
    "webgpt": {"score_0": 0, "score_1": 0},
}


@pytest.mark.parametrize("name", TIES)
def test_ties_are_dropped_with_their_reason(tmp_path: Path, name: str) -> None:
    tie = example(name, **TIES[name])
    assert reasons(tmp_path, tie, from_=name) == {"tie": 1}
    with pytest.raises(api.PrefdataError, match=r"a tie: .*line 1"):
        convert(tmp_path, tie, from_=name, tie="fail")
    for policy in ("keep", "soft"):
        (kept,) = convert(tmp_path, tie, from_=name, tie=policy).pairs
        assert kept.metadata["tie"] == "tie"
        if policy == "keep" or name != "pandalm":  # where one of three people has a preference, soft says so
            assert (kept.margin, kept.probability) == (0, 0.5)
        else:
            assert kept.probability == pytest.approx(2 / 3)
        assert {last(kept.chosen), last(kept.rejected)} == {"BETTER", "WORSE"}


def test_ties_stay_in_judgments(tmp_path: Path) -> None:
    (judgment,) = convert(tmp_path, example("helpsteer3", overall_preference=0), to="responses").judgments
    assert judgment.ranking == (("1", "2"),)


def test_both_bad_is_no_tie(tmp_path: Path) -> None:
    assert reasons(tmp_path, example("arena", winner="both_bad")) == {"both-bad": 1}


def test_fields_without_a_place_go_to_the_metadata(tmp_path: Path) -> None:
    pair = one(tmp_path, example("argilla", source="wiki", nothing=None))
    assert pair.metadata["fields"] == {"source": "wiki"}
    ranked = one(tmp_path, example("shp", domain="askbaking"))
    assert ranked.metadata["prompt_metadata"] == {"domain": "askbaking"}


def test_trl_keeps_what_has_a_place(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    row = example("trl", id=7, margin=0.5, score_chosen=1, tools=tools, metadata={"a": 1}, source="web", label=[3])
    pair = one(tmp_path, row)
    assert (pair.id, pair.margin, pair.tools, pair.source) == ("7", 0.5, tuple(tools), "web")
    assert pair.metadata["a"] == 1
    assert pair.metadata["fields"] == {"label": [3]}
    odd = one(tmp_path, example("trl", margin="wide", metadata="m", tools="t"))
    assert (odd.margin, odd.tools) == (None, ())
    assert odd.metadata["fields"] == {"margin": "wide", "metadata": "m", "tools": "t"}


def test_trl_repeated_prompt_is_taken_off_both_sides(tmp_path: Path) -> None:
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "Sum?"}]
    better, worse = ({"role": "assistant", "content": said} for said in ("BETTER", "WORSE"))
    pair = one(tmp_path, {"prompt": prompt, "chosen": [*prompt, better], "rejected": [*prompt, worse]})
    assert [len(pair.prompt), len(pair.chosen), len(pair.rejected)] == [2, 1, 1]
    half = {"prompt": prompt, "chosen": [*prompt, better], "rejected": [worse]}
    result = convert(tmp_path, half, example("trl"))
    assert result.dropped[0]["detail"] == "one side repeats the prompt and the other does not"
    assert not result.ok


def test_trl_text_without_a_prompt_is_not_split_by_guess(tmp_path: Path) -> None:
    result = convert(tmp_path, example("trl"), {"chosen": "Sum? 3", "rejected": "Sum? 4"}, from_="trl")
    assert result.dropped[0]["reason"] == "wrong-shape"
    assert "no prompt" in result.dropped[0]["detail"]


def test_single_turn_text_stays_text(tmp_path: Path) -> None:
    for name in ("trl", "argilla", "llamafactory-alpaca", "shp", "pandalm", "helpsteer2"):
        pairs = convert(tmp_path, *FORMATS[name].examples[: 2 if name == "helpsteer2" else 1]).pairs
        assert isinstance(pairs[0].prompt, str)
        assert isinstance(pairs[0].chosen, str)


def test_identical_sides_and_no_shared_context(tmp_path: Path) -> None:
    assert reasons(tmp_path, example("trl"), example("trl", rejected="BETTER")) == {"identical-sides": 1}
    turns = [[{"role": "user", "content": ask}, {"role": "assistant", "content": "a"}] for ask in ("x", "y")]
    rows = FORMATS["trl"].examples[2], {"chosen": turns[0], "rejected": turns[1]}
    assert reasons(tmp_path, *rows) == {"no-shared-context": 1}


def test_trajectories_may_part_early_and_end_apart(tmp_path: Path) -> None:
    ask, answer = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    pair = one(tmp_path, {"chosen": [ask, answer], "rejected": [ask, answer, ask, answer]})
    assert (len(pair.prompt), len(pair.chosen), len(pair.rejected)) == (1, 1, 3)


def test_dialects_of_messages(tmp_path: Path) -> None:
    call = {"from": "function_call", "value": '{"name": "add", "arguments": {"x": 1}}'}
    row = {
        "system": "s",
        "tools": '[{"name": "add"}]',
        "conversations": [
            {"from": "human", "value": "Sum?"},
            call,
            {"from": "observation", "value": "3"},
        ],
        "chosen": {"from": "gpt", "value": "BETTER"},
        "rejected": {"from": "gpt", "value": "WORSE"},
    }
    pair = one(tmp_path, row)
    assert not isinstance(pair.prompt, str)
    assert [message.role for message in pair.prompt] == ["system", "user", "assistant", "tool"]
    assert pair.prompt[2].tool_calls[0]["function"] == {"name": "add", "arguments": {"x": 1}}
    assert pair.tools == ({"type": "function", "function": {"name": "add"}},)
    broken = {**row, "chosen": {"from": "gpt", "value": None}}
    assert reasons(tmp_path, row, broken) == {"wrong-shape": 1}
    image = example("arena")
    image["conversation_a"] = [{"role": "user", "content": [{"type": "image", "image": "x"}]}]
    result = convert(tmp_path, example("arena"), image)
    assert "only text can be paired" in result.dropped[0]["detail"]


def test_llamafactory_history(tmp_path: Path) -> None:
    pair = one(tmp_path, example("llamafactory-alpaca", history=[["Hi", "Hello."]]))
    assert not isinstance(pair.prompt, str)
    assert [message.content for message in pair.prompt] == ["Hi", "Hello.", "Sum?\n1 and 2"]


def test_openai_keeps_tools_and_the_rest_of_input(tmp_path: Path) -> None:
    row = example("openai")
    pair = one(tmp_path, {**row, "input": {**row["input"], "tools": [{"type": "function", "function": {"name": "f"}}]}})
    assert len(pair.tools) == 1
    assert pair.metadata["fields"] == {"input": {"parallel_tool_calls": True}}


def test_helpsteer2_groups_neighbours_and_reads_its_marks(tmp_path: Path) -> None:
    prompt = "Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nSum?"
    rows = [{**row, "prompt": prompt} for row in FORMATS["helpsteer2"].examples]
    result = convert(tmp_path, *FORMATS["helpsteer2"].examples, *rows, rows[0] | {"prompt": "alone"})
    assert (result.counts.rows, result.counts.preferences, len(result.pairs)) == (5, 3, 2)
    assert dict(result.counts.dropped) == {"fewer-than-two-responses": 1}
    assert not isinstance(result.pairs[1].prompt, str)
    assert [message.role for message in result.pairs[1].prompt] == ["user", "assistant", "user"]
    assert result.pairs[1].metadata["source_line"] == 3
    assert result.pairs[1].margin == 3


def test_ultrafeedback_ranks_by_the_fine_grained_score(tmp_path: Path) -> None:
    pair = one(tmp_path, example("ultrafeedback"))
    assert (pair.margin, pair.metadata["chosen_model"], pair.metadata["rejected_model"]) == (3.25, "c", "a")
    assert len(convert(tmp_path, example("ultrafeedback"), strategy="all").pairs) == 3


def test_unranked_replies_are_kept_but_not_judged(tmp_path: Path) -> None:
    row = example("oasst")
    fresh = {"message_id": "4", "role": "assistant", "text": "unranked", "replies": []}
    row["prompt"] = {**row["prompt"], "replies": [*row["prompt"]["replies"], fresh]}
    result = convert(tmp_path, row, to="responses")
    assert [response.id for response in result.response_sets[0].responses] == ["1", "2", "3", "4"]
    assert result.judgments[0].ranking == (("2",), ("3",), ("1",))
    assert len(convert(tmp_path, row, strategy="adjacent").pairs) == 2


def test_pku_labels_can_conflict(tmp_path: Path) -> None:
    row = example("pku-better", better_response_id=0, safer_response_id=1)
    assert one(tmp_path, row, from_="pku-better").chosen == "WORSE"
    assert one(tmp_path, row, from_="pku-safer").chosen == "BETTER"
    with pytest.raises(api.PrefdataError, match="could be pku-better"):
        convert(tmp_path, row)


TURNS = [{"role": "user", "content": "Sum?"}]
GOOD, BAD = ({"role": "assistant", "content": said} for said in ("BETTER", "WORSE"))
LOOK_ALIKES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "skywork": ("trl", [{"chosen": [*TURNS, GOOD], "rejected": [*TURNS, BAD], "source": "magpie"}]),
    "argilla dpo-mix-7k": (
        "trl",
        [
            {
                "dataset": "argilla/distilabel-capybara-dpo-7k-binarized",
                "chosen": [*TURNS, GOOD],
                "rejected": [*TURNS, BAD],
                "chosen_rating": 5.0,
                "rejected_rating": 2.0,
            }
        ],
    ),
    "distilabel orca": (
        "orca",
        [
            {
                "system": "",
                "input": "Sum?",
                "chosen": "BETTER",
                "rejected": "WORSE",
                "status": "swapped",
                "rating": [2, 9],
            }
        ],
    ),
    "whole conversations beside messages": (
        "trl",
        [{"messages": [*TURNS, GOOD], "chosen": [*TURNS, GOOD], "rejected": [*TURNS, BAD]}],
    ),
    "axolotl with lists": ("axolotl", [{"messages": TURNS, "chosen": [GOOD], "rejected": [BAD]}]),
    "together with tools": (
        "openai",
        [
            {
                "input": {"messages": TURNS, "tools": [{"type": "function", "function": {"name": "f"}}]},
                "preferred_output": [GOOD],
                "non_preferred_output": [BAD],
            }
        ],
    ),
    "KTO with messages": (
        "kto",
        [
            {"prompt": TURNS, "completion": [BAD], "label": False},
            {"prompt": TURNS, "completion": [GOOD], "label": True},
        ],
    ),
    "LLaMA-Factory KTO sharegpt": (
        "llamafactory-kto",
        [
            {
                "conversations": [{"from": "human", "value": "Sum?"}, {"from": "gpt", "value": said}],
                "kto_tag": said == "BETTER",
            }
            for said in ("WORSE", "BETTER")
        ],
    ),
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_in_their_documented_shape(tmp_path: Path, name: str) -> None:
    expected, rows = LOOK_ALIKES[name]
    result = convert(tmp_path, *rows)
    (pair,) = result.pairs
    assert (result.format, last(pair.prompt), last(pair.chosen), last(pair.rejected)) == (
        expected,
        "Sum?",
        "BETTER",
        "WORSE",
    )
    if name == "skywork":
        assert pair.source == "magpie"
    if name == "together with tools":
        assert pair.tools[0]["function"] == {"name": "f"}


def test_every_format_stands_in_the_documentation() -> None:
    from prefdata.conversion.registry import EXPORTS

    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    missing = [name for name in (*FORMATS, *EXPORTS) if f"`{name}`" not in page]
    assert missing == []


def test_alpaca_eval_gathers_the_people_of_one_comparison(tmp_path: Path) -> None:
    row = example("alpaca-eval")
    said = [(3, 2), ("gpt", 1.25), (4, 0), ("claude", None), (5, 2)]
    rows = [{**row, "annotator": who, "preference": preference} for who, preference in said]
    result = convert(tmp_path, *rows[:2], example("alpaca-eval", instruction="Other?"), *rows[2:], to="responses")
    assert (result.counts.response_sets, result.counts.judgments) == (2, 6)
    own = [one for one in result.judgments if one.response_set_id == result.response_sets[0].id]
    assert [(one.judge.kind, one.judge.name) for one in own] == [
        ("human", "annotator3"),
        ("llm", "gpt"),
        ("human", "annotator4"),
        ("llm", "claude"),
        ("human", "annotator5"),
    ]
    assert [one.ranking for one in own] == [
        (("2",), ("1",)),
        (("1",), ("2",)),
        (("1", "2"),),
        None,
        (("2",), ("1",)),
    ]
    assert [one.probability for one in own] == [None, 0.75, None, None, None]
    assert own[3].flags == ("unreadable",)
    turned = convert(tmp_path, {**row, "shown_first": "output_2"}, to="responses").judgments[0]
    assert (turned.shown, turned.order, turned.probability) == (("2", "1"), 1, pytest.approx(0.97))
    assert reasons(tmp_path, row, {**row, "preference": 3}) == {"wrong-shape": 1}


def test_a_response_that_is_no_text_is_kept_with_what_people_said_of_it(tmp_path: Path) -> None:
    """One of two or of many; pairs come of the others only."""
    two = example("pandalm", response1=True)
    result = convert(tmp_path, two, to="responses")
    assert (result.ok, result.counts.broken_responses, len(result.judgments)) == (True, 1, 3)
    assert result.response_sets[0].responses[0].content == "true"
    assert reasons(tmp_path, two) == {"broken-response": 1}
    four = example("ultrafeedback")
    four["completions"] = [*four["completions"], {"model": "d", "response": 7, "fine-grained_score": 5.0}]
    pair = one(tmp_path, four)
    assert (pair.chosen, pair.rejected) == ("BETTER", "WORSE")
    assert reasons(tmp_path, example("shp"), example("shp", human_ref_A=None)) == {"wrong-shape": 1}


def test_a_broken_row_leaves_the_rest_of_its_group_alone(tmp_path: Path) -> None:
    """Neighbours in helpsteer2; scattered ones are gathered in kto, where a lone kind is listed with all its rows."""
    better = FORMATS["helpsteer2"].examples
    result = convert(tmp_path, better[0], {**better[0], "helpfulness": "very"}, better[1])
    assert ([pair.chosen for pair in result.pairs], dict(result.counts.dropped)) == (["BETTER"], {"wrong-shape": 1})
    assert (result.counts.rows, result.dropped[0]["line"]) == (3, 2)
    liked = [{"prompt": "Sum?", "completion": said, "label": True} for said in ("one", "two")]
    (lost,) = convert(tmp_path, *liked).dropped
    assert lost["reason"] == "unpaired"
    assert [(row["line"], orjson.loads(row["raw"])["completion"]) for row in lost["rows"]] == [(1, "one"), (2, "two")]


def test_pairs_of_ranked_formats_lose_nothing_of_their_row(tmp_path: Path) -> None:
    """What the file says of the two responses, and of how they were judged, is in the pair."""
    pair = convert(tmp_path, *FORMATS["helpsteer2"].examples).pairs[0]
    (judged,) = pair.metadata["judgments"]
    assert (judged["judge"], judged["ranking"]) == ({"kind": "human", "name": "helpsteer2"}, [["1"], ["0"]])
    assert judged["ratings"]["1"] == {"helpfulness": 4, "correctness": 4, "verbosity": 1}
    record = example("webgpt")
    pair = one(tmp_path, record)
    assert pair.metadata["chosen_metadata"]["quotes"] == record["quotes_0"]
    people = one(tmp_path, example("pandalm", annotator2=2)).metadata["judgments"]
    assert [each["judge"]["name"] for each in people] == ["annotator1", "annotator2", "annotator3"]
    raw = convert(tmp_path, *FORMATS["helpsteer2"].examples, output=tmp_path / "out.jsonl")
    assert raw.counts.pairs == 1
    written = orjson.loads((tmp_path / "out.jsonl").read_bytes())
    assert (written["score_chosen"], written["score_rejected"], written["margin"]) == (4, 1, 3)


def test_ratings_by_aspect_are_criteria(tmp_path: Path) -> None:
    record = example("ultrafeedback")
    for place, completion in enumerate(record["completions"]):
        said = {"honesty": {"Rating": str(5 - place), "Rationale": "…"}, "helpfulness": {"Rating": "N/A"}}
        record["completions"][place] = {**completion, "annotations": said}
    convert(tmp_path, record, output=tmp_path / "r.jsonl", to="responses")
    best = api.pair(tmp_path / "r.jsonl", tmp_path / "r.judgments.jsonl", criterion="honesty").pairs[0]
    whole = api.pair(tmp_path / "r.jsonl", tmp_path / "r.judgments.jsonl").pairs[0]
    assert (whole.chosen, best.chosen, best.margin) == ("BETTER", "WORSE", 2)


def test_of_nothing_nothing_is_said(tmp_path: Path) -> None:
    """UltraFeedback has rows without a completion: a judgment of none would be a line that no command reads."""
    rows = [{**example("ultrafeedback"), "completions": []}, example("ultrafeedback")]
    result = convert(tmp_path, *rows, to="responses", output=tmp_path / "out.jsonl")
    assert (result.counts.response_sets, result.counts.judgments) == (2, 1)
    paired = api.pair(tmp_path / "out.jsonl", tmp_path / "out.judgments.jsonl")
    assert (paired.ok, paired.counts.pairs, paired.counts.invalid_lines) == (True, 1, 0)


def test_two_replies_of_one_id_are_a_broken_row(tmp_path: Path) -> None:
    tree = orjson.loads(orjson.dumps(example("oasst")))
    tree["prompt"]["replies"][2]["message_id"] = "1"
    result = convert(tmp_path, tree, example("oasst"))
    assert [pair.chosen[0].content for pair in result.pairs] == ["BETTER"]  # type: ignore[union-attr]
    assert [(lost["reason"], lost["detail"]) for lost in result.dropped] == [
        ("wrong-shape", "two responses have the same id")
    ]
