"""The demo end to end, at a size that takes half a minute: every command runs, and the files tell one story."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefdata.demo.run import demo
from prefdata.demo.shuffle import shuffle
from prefdata.demo.steps import Size
from prefdata.errors import OutputExistsError
from prefdata.records.dataset import open_dataset

SMALL = Size(prompts=40, held_out=10, samples=4, steps=40)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_whole_road(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "demo"
    result = demo(folder, said.append, size=SMALL)

    commands = [line.removeprefix("$ ") for text in said for line in text.splitlines() if line.startswith("$ ")]
    for step in ("collect", "judge", "validate", "train dpo"):
        assert any(command.startswith(f"prefdata {step} ") for command in commands), step
    assert len(rows(folder / "responses.jsonl")) == 40
    pairs = rows(folder / "pairs.jsonl")
    dataset = open_dataset(folder / "dataset")
    assert 0 < len(pairs) <= 40
    assert dataset.manifest["counts"]["lines"] == len(pairs)
    assert result.pairs == dataset.rows_in("train") == result.chosen_correct.total
    for adapter in ("tuned", "control"):
        assert dataset.sha256 in (folder / adapter / "README.md").read_text()
    assert {name: share.total for name, share in result.correct.items()} == dict.fromkeys(result.correct, 10)
    assert set(result.correct) == {"base", "tuned", "control"}

    # What the table counts is what the answers say: recounted from the files, without the rule.
    reference = {row["id"]: row["reference"] for row in rows(folder / "held-out.jsonl")}
    for model, share in result.correct.items():
        right = sum(
            response["response"][0]["content"].strip() == reference[row["prompt"]["id"]][0]
            for row in rows(folder / "answers.jsonl")
            for response in row["responses"]
            if response["model"] == model
        )
        assert share.count == right, model

    with pytest.raises(OutputExistsError, match="not empty"):
        demo(folder, said.append, size=SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(OutputExistsError):
        demo(tmp_path / "mine", said.append, size=SMALL, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_shuffled_labels_swap_about_half_and_lose_nothing(tmp_path: Path) -> None:
    pairs = [{"id": str(n), "prompt": "p", "chosen": f"c{n}", "rejected": f"r{n}"} for n in range(400)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    swapped, total = shuffle(tmp_path / "pairs.jsonl", tmp_path / "out.jsonl", seed=3)
    out = rows(tmp_path / "out.jsonl")
    assert total == len(out) == 400
    assert 160 < swapped < 240
    assert swapped == sum(str(row["chosen"]).startswith("r") for row in out)
    for pair, row in zip(pairs, out, strict=True):
        assert {pair["chosen"], pair["rejected"]} == {row["chosen"], row["rejected"]}
