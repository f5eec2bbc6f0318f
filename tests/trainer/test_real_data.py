"""Anthropic's HH-RLHF preferences, converted, validated and trained on: many turns, long prompts, empty replies."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefdata_trainer import train_dpo

import prefdata


@pytest.mark.shared
def test_hh_rlhf_trains(shared_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    pairs, dataset = tmp_path / "pairs.jsonl", tmp_path / "dataset"
    prefdata.convert(shared_data / "hh_rlhf_harmless_base.jsonl.gz", output=pairs, from_="hh")
    prefdata.validate(pairs, output=dataset)
    plan = train_dpo(dataset, tmp_path / "adapter", model=str(tiny_model), dry_run=True).document()
    dropped = {reason: len(ids) for reason, ids in plan["pairs"]["dropped"].items()}
    assert plan["pairs"]["kept"] + sum(dropped.values()) == 1152, "what validate kept of 1,156 lines"
    assert set(dropped) == {"too-long"}, "the tiny model reads 512 tokens; nothing else is lost"
    outcome = train_dpo(
        dataset,
        tmp_path / "adapter",
        model=str(tiny_model),
        learning_rate=2e-3,
        limit=48,
        max_length=256,
        truncation="cut-prompt",
    )
    told = outcome.document()
    assert told["results"]["first_loss"] == pytest.approx(0.693147, abs=1e-4)
    assert told["results"]["margin_after"] > 0
    assert told["pairs"]["longest"] <= 256
