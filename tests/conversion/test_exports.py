"""Pairs in foreign formats: documented shapes, and the same pairs when they are read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefdata as api
from prefdata.conversion.convert import ConvertResult
from prefdata.conversion.registry import EXPORTS, FORMATS
from prefdata.errors import InputError, OutputExistsError, ServiceError, UsageError
from prefdata.records.codec import pair_from, pair_record
from prefdata.types import PreferencePair
from tests.here import run_here

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2]}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


def turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


TEXT = {
    "id": "mine",
    "prompt": "Sum?",
    "chosen": "BETTER",
    "rejected": "WORSE",
    "margin": 2.5,
    "probability": 0.75,
    "judgment_ids": ["j1", "j2"],
    "source": "people",
    "metadata": {"model": "m", "nested": {"a": [1, None]}},
}
CHAT = {
    "prompt": [turn("system", "Be brief."), turn("user", "Hi"), turn("assistant", "Hello."), turn("user", "Sum?")],
    "chosen": [turn("assistant", "BETTER")],
    "rejected": [turn("assistant", "WORSE")],
}
SINGLE = {
    "prompt": [turn("user", "Sum?")],
    "chosen": [turn("assistant", "BETTER")],
    "rejected": [turn("assistant", "WORSE")],
    "metadata": {"form": "chat, though it could be text"},
}
SAME_START = {
    "prompt": [turn("user", "Sum?")],
    "chosen": [turn("assistant", "Let me see."), turn("user", "Go on."), turn("assistant", "BETTER")],
    "rejected": [turn("assistant", "Let me see."), turn("user", "Go on."), turn("assistant", "WORSE")],
}
TOOLS = {
    "prompt": [turn("user", "Sum?")],
    "chosen": [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
    "rejected": [turn("assistant", "WORSE")],
    "tools": [TOOL],
}
EVERY = {"text": TEXT, "chat": CHAT, "single": SINGLE, "same-start": SAME_START, "tools": TOOLS}
HELD = {
    "trl": {*EVERY},
    "trl-implicit": {*EVERY} - {"text"},
    "openai": {*EVERY} - {"same-start"},
    "llamafactory-alpaca": {"text", "chat", "single"},
    "llamafactory-sharegpt": {"text", "chat", "single", "tools"},
    "axolotl": {*EVERY} - {"same-start"},
    "kto": {*EVERY},
    "parquet": {*EVERY},
}
"""What each format can hold; openai's assistant-and-tool rule leaves out a side with a user turn."""


def written(path: Path, *records: Any) -> Path:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


def read(path: Path) -> list[Any]:
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def export(tmp_path: Path, to: str, *records: Any, **options: Any) -> tuple[ConvertResult, Path]:
    out = tmp_path / f"out.{'parquet' if to == 'parquet' else 'jsonl'}"
    return api.convert(written(tmp_path / "pairs.jsonl", *records), output=out, to=to, **options), out


def row(tmp_path: Path, to: str, record: Any) -> Any:
    _, out = export(tmp_path, to, record)
    (only,) = read(out)
    only.pop("prefdata", None)
    return only


def told(pair: PreferencePair) -> dict[str, Any]:
    """A pair but for the place that it was read from."""
    record = pair_record(pair)
    metadata = {key: value for key, value in pair.metadata.items() if not key.startswith("source_")}
    return {**record, "metadata": metadata}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("to", EXPORTS)
def test_read_again_they_are_the_same_pairs(tmp_path: Path, to: str, name: str) -> None:
    result, out = export(tmp_path, to, EVERY[name])
    if name not in HELD[to]:
        assert dict(result.counts.dropped) == {"no-place": 1}
        assert (result.counts.kept, result.counts.pairs) == (0, 0)
        return
    assert (result.counts.kept, result.counts.pairs) == (1, 1)
    (before,) = api.convert(tmp_path / "pairs.jsonl").pairs
    (again,) = api.convert(out).pairs
    if to == "openai":  # its columns are all that it may have, and it knows chat only
        assert again.chosen == (api.Message("assistant", before.chosen),) if name == "text" else before.chosen
        assert again.tools == before.tools
        return
    expected = told(before)
    if to == "llamafactory-sharegpt" and name == "tools":  # sharegpt calls have no id
        expected["chosen"][0]["tool_calls"][0].pop("id")
    assert told(again) == expected
    second = api.convert(out, output=tmp_path / f"again{out.suffix}", to=to)
    assert second.counts.pairs == 1
    unplaced = [{k: v for k, v in one.items() if k != "prefdata"} for one in read(out)]
    if to != "parquet":
        assert [
            {k: v for k, v in one.items() if k != "prefdata"} for one in read(tmp_path / f"again{out.suffix}")
        ] == unplaced


@pytest.mark.parametrize("to", [to for to in EXPORTS if to != "openai"])
@pytest.mark.parametrize("name", FORMATS)
def test_from_any_format_to_any_other_and_back(tmp_path: Path, name: str, to: str) -> None:
    """import → export → import: what a format can hold comes back whole, ids, margins and metadata too."""
    source = written(tmp_path / "foreign.jsonl", *FORMATS[name].examples)
    first = api.convert(source, from_=name, output=tmp_path / "pairs.jsonl")
    out = tmp_path / f"out.{'parquet' if to == 'parquet' else 'jsonl'}"
    made = api.convert(tmp_path / "pairs.jsonl", output=out, to=to)
    lost = made.counts.dropped["no-place"]
    assert (made.counts.pairs + lost, made.counts.dropped.total()) == (first.counts.pairs, lost)
    if made.counts.pairs:
        before = [told(pair) for pair in api.convert(tmp_path / "pairs.jsonl").pairs]
        again = [told(pair) for pair in api.convert(out).pairs]
        assert len(again) == made.counts.pairs
        for record in again:
            before.remove(record)  # raises where it is not among them


def test_a_tie_is_not_exported_as_a_preference(tmp_path: Path) -> None:
    tie = {**TEXT, "margin": 0.0, "probability": 0.5, "metadata": {"tie": "tie"}}
    for to in EXPORTS:
        result, _ = export(tmp_path, to, tie, TEXT, overwrite=True)
        assert result.counts.dropped["no-place"] >= 1
        assert result.counts.pairs == (to != "trl-implicit")
    assert [pair.probability for pair in api.convert(tmp_path / "pairs.jsonl").pairs] == [0.5, 0.75]


def test_an_empty_system_turn_is_not_lost_in_a_column_where_empty_means_none(tmp_path: Path) -> None:
    """Chat templates tell the two apart: without a system turn many write one of their own."""
    silent = {
        "prompt": [{"role": "system", "content": ""}, {"role": "user", "content": "Sum?"}],
        "chosen": [{"role": "assistant", "content": "BETTER"}],
        "rejected": [{"role": "assistant", "content": "WORSE"}],
    }
    for to in ("llamafactory-alpaca", "llamafactory-sharegpt"):
        result, _ = export(tmp_path, to, silent, overwrite=True)
        assert (result.counts.pairs, dict(result.counts.dropped)) == (0, {"no-place": 1})
    _, out = export(tmp_path, "axolotl", silent, overwrite=True)
    assert [turn.content for turn in api.convert(out).pairs[0].prompt] == ["", "Sum?"]  # type: ignore[union-attr]


def test_documented_shapes(tmp_path: Path) -> None:
    assert row(tmp_path / "", "trl", {**TEXT}) == {"prompt": "Sum?", "chosen": "BETTER", "rejected": "WORSE"}
    (tmp_path / "i").mkdir()
    implicit = row(tmp_path / "i", "trl-implicit", CHAT)
    assert implicit == {side: [*CHAT["prompt"], *CHAT[side]] for side in ("chosen", "rejected")}


def test_openai_holds_its_columns_only_and_arguments_as_text(tmp_path: Path) -> None:
    made = row(tmp_path, "openai", {**TOOLS, "margin": 1.0, "metadata": {"a": 1}})
    assert made == {
        "input": {"messages": [turn("user", "Sum?")], "tools": [TOOL]},
        "preferred_output": [
            {
                "role": "assistant",
                "tool_calls": [{**CALL, "function": {"name": "add", "arguments": '{"a":1,"b":[2]}'}}],
            }
        ],
        "non_preferred_output": [turn("assistant", "WORSE")],
    }


def test_llamafactory_shapes_and_dataset_info(tmp_path: Path) -> None:
    info = tmp_path / "dataset_info.json"
    info.write_text('{"theirs": {"file_name": "theirs.json"}}')
    assert row(tmp_path, "llamafactory-alpaca", CHAT) == {
        "instruction": "Sum?",
        "input": "",
        "system": "Be brief.",
        "history": [["Hi", "Hello."]],
        "chosen": "BETTER",
        "rejected": "WORSE",
    }
    known = json.loads(info.read_text())
    assert known["theirs"] == {"file_name": "theirs.json"}
    assert (known["out"]["file_name"], known["out"]["ranking"]) == ("out.jsonl", True)
    assert known["out"]["columns"]["query"] == "input"
    with pytest.raises(OutputExistsError, match="has another data set 'out'"):
        api.convert(tmp_path / "pairs.jsonl", output=tmp_path / "out.jsonl", to="llamafactory-sharegpt")
    made, out = export(tmp_path, "llamafactory-sharegpt", TOOLS, overwrite=True)
    assert made.counts.pairs == 1
    (only,) = read(out)
    assert only["conversations"] == [{"from": "human", "value": "Sum?"}]
    assert only["chosen"] == {"from": "function_call", "value": '{"name":"add","arguments":{"a":1,"b":[2]}}'}
    assert only["rejected"] == {"from": "gpt", "value": "WORSE"}
    assert json.loads(only["tools"]) == [TOOL["function"]]
    entry = json.loads(info.read_text())["out"]
    assert (entry["formatting"], entry["columns"]["messages"]) == ("sharegpt", "conversations")
    info.write_text("[]")
    with pytest.raises(InputError, match="is no JSON object"):
        export(tmp_path, "llamafactory-sharegpt", TOOLS, overwrite=True)


def test_axolotl_and_kto_shapes(tmp_path: Path) -> None:
    made = row(tmp_path, "axolotl", CHAT)
    assert made == {"messages": CHAT["prompt"], "chosen": CHAT["chosen"][0], "rejected": CHAT["rejected"][0]}
    _, out = export(tmp_path, "kto", TEXT, overwrite=True)
    rows = [{k: v for k, v in one.items() if k != "prefdata"} for one in read(out)]
    assert rows == [
        {"prompt": "Sum?", "completion": "BETTER", "label": True},
        {"prompt": "Sum?", "completion": "WORSE", "label": False},
    ]


def test_parquet_holds_one_form_and_says_what_it_left_out(tmp_path: Path) -> None:
    result, out = export(tmp_path, "parquet", CHAT, TEXT, TOOLS)
    assert (result.counts.pairs, dict(result.counts.dropped)) == (2, {"no-place": 1})
    (dropped,) = read(tmp_path / "out.parquet.dropped.jsonl")
    assert "this pair is text and the Parquet file holds chat" in dropped["detail"]
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows[0]["chosen"][0]["content"] == "BETTER"
    with pytest.raises(UsageError, match="needs an output"):
        api.convert(tmp_path / "pairs.jsonl", to="parquet")


def test_pairs_of_one_prompt_stay_apart_through_kto(tmp_path: Path) -> None:
    pairs = [{"prompt": "Sum?", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(3)]
    _, out = export(tmp_path, "kto", *pairs)
    lines = out.read_bytes().splitlines()
    out.write_bytes(b"\n".join([*lines[1::2], *lines[::2]]))  # unpaired data is often shuffled
    again = api.convert(out)
    assert sorted((pair.chosen, pair.rejected) for pair in again.pairs) == [(f"good {n}", f"bad {n}") for n in range(3)]


words = st.text(min_size=1, max_size=8)
turns = st.lists(st.tuples(words, words), max_size=2)


@given(st.booleans(), st.none() | words, turns, words, words, words, st.sampled_from(sorted({*HELD} - {"openai"})))
def test_any_pair_comes_back(
    text: bool, system: str | None, before: list[tuple[str, str]], asked: str, good: str, bad: str, to: str
) -> None:
    if good == bad:
        return
    if text:
        record: dict[str, Any] = {"id": "p", "prompt": asked, "chosen": good, "rejected": bad}
    else:
        context = [turn("system", system)] if system else []
        for question, answer in before:
            context += [turn("user", question), turn("assistant", answer)]
        sides = {"chosen": [turn("assistant", good)], "rejected": [turn("assistant", bad)]}
        record = {"id": "p", "prompt": [*context, turn("user", asked)], **sides}
    if to == "parquet" or (text and to == "trl-implicit"):
        return
    from prefdata.conversion.carrying import carried, restore
    from prefdata.conversion.outcomes import Paired
    from prefdata.conversion.registry import FORMATS

    rows = EXPORTS[to].write(record)
    (outcome,) = FORMATS[EXPORTS[to].reads].read(rows)
    assert isinstance(outcome, Paired)
    assert restore(outcome.record, carried(rows[0])) == record


def test_a_validated_dataset_is_exported(tmp_path: Path) -> None:
    api.validate(written(tmp_path / "pairs.jsonl", CHAT, TOOLS), output=tmp_path / "dataset")
    made = api.convert(tmp_path / "dataset", output=tmp_path / "out.jsonl", to="openai")
    assert (made.counts.rows, made.counts.pairs) == (2, 2)
    assert read(tmp_path / "out.jsonl")[0]["preferred_output"] == CHAT["chosen"]
    (first, _) = api.convert(tmp_path / "dataset").pairs
    assert (first.id, first.prompt) == (pair_from(CHAT).id, pair_from(CHAT).prompt)
    assert first.metadata["fields"]["source_line"] == 1
    with pytest.raises(UsageError, match="has no split 'test'"):
        api.convert(tmp_path / "dataset", split="test")


def test_command_and_mistakes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = written(tmp_path / "pairs.jsonl", TEXT, TOOLS)
    done = run_here(capfd, "convert", pairs, "-o", tmp_path / "a.jsonl", "--to", "llamafactory-alpaca")
    assert (done.code, "1 pairs from 1 of 2" in done.err, "no-place" in done.err) == (0, True, True)
    with pytest.raises(UsageError, match="do not fit"):
        api.convert(pairs, output=tmp_path / "p.jsonl", to="parquet")
    with pytest.raises(UsageError, match="do not fit"):
        api.convert(pairs, output=tmp_path / "p.parquet")
    with pytest.raises(UsageError, match="no output format 'alpaca'"):
        api.convert(pairs, to="alpaca")


def test_card_and_failed_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    from prefdata.conversion.hub import Card

    result, out = export(tmp_path, "kto", TEXT, {**TEXT, "rejected": "BETTER"})
    card = Card("me/mine", out.name, "kto", result.format, result.reason, ("a/pairs.jsonl",), result.counts).text()
    _, front, body = card.split("---\n", 2)
    settings = yaml.safe_load(front)
    assert settings["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.jsonl"}]
    assert settings["size_categories"] == ["n<1K"]
    assert "1 pairs" in body
    assert "`pairs.jsonl`" in body
    assert "| identical-sides | 1 |" in body
    assert 'load_dataset("me/mine", split="train")' in body
    with pytest.raises(UsageError, match="'mine' is no hub name"):
        export(tmp_path, "kto", TEXT, push_to_hub="mine", overwrite=True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="was not uploaded"):
        export(tmp_path, "kto", TEXT, push_to_hub="me/mine", overwrite=True)
    assert len(read(out)) == 2


def test_pairs_without_a_place_are_counted_beside_those_with_one(tmp_path: Path) -> None:
    """Three responses, two of them tied: kept as a record, the tie has no place in TRL's file."""
    row = {"prompt": "\n\nHuman: Sum?\n\nAssistant: ", "answers": []}
    row["answers"] = [{"answer": said, "rank": rank} for said, rank in (("a", 1), ("b", 2), ("c", 2))]  # type: ignore[assignment]
    source = written(tmp_path / "n.jsonl", row)
    result = api.convert(source, output=tmp_path / "out.jsonl", to="trl", tie="keep", strategy="all")
    counts = result.counts
    assert (counts.preferences, counts.kept, counts.pairs, counts.unplaced_pairs) == (1, 1, 2, 1)
    (listed,) = read(tmp_path / "out.dropped.jsonl")
    assert (listed["reason"], listed["line"]) == ("no-place", 1)
