"""A run with a held-out split: evaluations, early stopping, and what the finished folder says about every pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
import torch
from peft import AutoPeftModelForCausalLM
from prefdata_trainer import train_dpo
from prefdata_trainer.quiet import hushed
from transformers import AutoModelForCausalLM, AutoTokenizer

import prefdata as api
from prefdata.errors import DatasetError, UsageError
from prefdata.schema import violations
from prefdata.validation.trained import trained_pair
from tests.trainer.conftest import MakeDataset, chat_pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Path, Any]:
    """One run that stops early, merges and lists what is disputed: its folder and its outcome."""
    folder = tmp_path_factory.mktemp("evaluated")
    rows = [{**row, "source": "one" if at % 3 else "two"} for at, row in enumerate(chat_pairs(30))]
    (folder / "pairs.jsonl").write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    api.validate(folder / "pairs.jsonl", output=folder / "dataset", eval_fraction=0.3)
    outcome = train_dpo(
        folder / "dataset", folder / "adapter", model=str(tiny_model), learning_rate=1e-2, gradient_accumulation=1,
        epochs=30, eval_steps=5, early_stopping=2, merge=True, disputed=4, lora_dropout=0.0,
    )  # fmt: skip
    return folder, outcome


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / "adapter" / "metrics.jsonl").read_bytes().splitlines()]


def test_it_stops_early_and_keeps_the_best(run: tuple[Path, Any]) -> None:
    folder, outcome = run
    logged = metrics(folder)
    losses = {entry["step"]: entry["eval_loss"] for entry in logged if "eval_loss" in entry}
    found, last = outcome.document(), max(entry["step"] for entry in logged)
    assert last < found["steps"]
    assert last == found["best_step"] + 2 * 5
    assert losses[found["best_step"]] == min(losses.values())
    assert found["results"]["eval_loss"] == pytest.approx(min(losses.values()), abs=1e-6)
    assert not any(name.endswith(("_runtime", "_per_second")) for entry in logged for name in entry)


def test_accuracies_count_ties_half_and_the_divergence_is_told(run: tuple[Path, Any]) -> None:
    folder, outcome = run
    first, found = metrics(folder)[0], outcome.document()["results"]
    assert first["rewards/accuracies"] == 0.5, "at the first step all margins are 0"
    assert found["kl_to_reference"] > 0
    assert {"kl/reference", "logps/chosen", "logps/rejected", "rewards/margins", "logratios/chosen"} <= set(first)


def test_every_pair_of_both_splits_is_told(run: tuple[Path, Any]) -> None:
    folder, outcome = run
    table = pq.read_table(folder / "adapter" / "per_pair.parquet").to_pydict()
    assert sorted(table["id"]) == sorted(f"t{at}" for at in range(30))
    assert set(table["split"]) == {"train", "eval"}
    assert set(table["source"]) == {"one", "two"}
    assert set(table["turn_depth"]) == {1}
    assert table["length_difference"] == [
        c - r for c, r in zip(table["chosen_tokens"], table["rejected_tokens"], strict=True)
    ]
    held_out = [margin for margin, split in zip(table["margin_after"], table["split"], strict=True) if split == "eval"]
    assert outcome.document()["results"]["eval_margin_after"] == pytest.approx(sum(held_out) / len(held_out))
    card = (folder / "adapter" / "README.md").read_text()
    assert "Over the held-out pairs." in card
    for name in ("| one |", "| two |", "| chosen is longer |", "**held out**"):
        assert name in card


def test_the_merged_model_is_the_adapted_one(run: tuple[Path, Any]) -> None:
    folder, _ = run
    with hushed():
        adapted = AutoPeftModelForCausalLM.from_pretrained(folder / "adapter")
        merged = AutoModelForCausalLM.from_pretrained(folder / "adapter" / "merged")
    tokenizer = AutoTokenizer.from_pretrained(folder / "adapter" / "merged")
    ids = torch.tensor([tokenizer("one two three")["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(adapted(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-4)


def test_the_most_disputed_pairs_are_response_sets(run: tuple[Path, Any]) -> None:
    folder, _ = run
    sets = [orjson.loads(line) for line in (folder / "adapter" / "disputed.jsonl").read_bytes().splitlines()]
    table = pq.read_table(folder / "adapter" / "per_pair.parquet").to_pydict()
    margins = dict(zip(table["id"], table["margin_after"], strict=True))
    assert [found["id"] for found in sets] == sorted(margins, key=lambda id: margins[id])[:4]
    assert all(next(violations("response_set", found), None) is None for found in sets)
    rows = {row["id"]: row for row in chat_pairs(30)}
    for found in sets:
        sides = {response["metadata"]["side"]: response["response"] for response in found["responses"]}
        assert sides == {side: rows[found["id"]][side] for side in ("chosen", "rejected")}


def test_explain_follows_a_pair_back(run: tuple[Path, Any], prefdata: Any) -> None:
    folder, _ = run
    done = prefdata("explain", folder / "adapter", "t7")
    assert done.returncode == 0, done.stderr
    assert f"{folder / 'pairs.jsonl'}:8" in done.stdout
    assert "0.0000 before" in done.stdout
    told = json.loads(prefdata("explain", folder / "adapter", "t7", "--format", "json").stdout)
    assert told["trained"]["id"] == told["row"]["id"] == "t7"


def test_explain_refuses_what_it_cannot_know(run: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = run
    assert trained_pair(folder / "dataset", "t7") is None
    with pytest.raises(UsageError, match="trained on no pair"):
        trained_pair(folder / "adapter", "absent")
    other = tmp_path / "adapter"
    other.mkdir()
    (other / "per_pair.parquet").write_bytes((folder / "adapter" / "per_pair.parquet").read_bytes())
    told = orjson.loads((folder / "adapter" / "results.json").read_bytes())
    (other / "results.json").write_bytes(orjson.dumps({**told, "dataset_sha256": "0" * 64}))
    with pytest.raises(DatasetError, match="its hash is another"):
        trained_pair(other, "t7")


def test_early_stopping_needs_a_split(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a split eval") as refused:
        train_dpo(make_dataset(chat_pairs(3)), tmp_path / "a", model=str(tiny_model), early_stopping=1)
    assert "--eval-fraction" in (refused.value.hint or "")
