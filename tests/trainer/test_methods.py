"""ORPO, KTO and reward models: one contract, one kind of folder, and figures that an independent computation gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from prefdata_trainer import train_kto, train_orpo, train_reward
from prefdata_trainer.quiet import hushed
from transformers import AutoTokenizer

from prefdata.errors import UsageError
from tests.trainer.conftest import MakeDataset, trajectory_pairs
from tests.trainer.test_loss import by_hand, equation_7, merged

FOLDER = {
    "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "curves.png",
    "metrics.jsonl", "per_pair.parquet", "prefdata_config.yaml", "results.json", "tokenizer.json",
    "tokenizer_config.json",
}  # fmt: skip


def per_pair(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = pq.read_table(folder / "per_pair.parquet").to_pydict()
    return found


def mean_logps(model: Any, tokenizer: Any, rows: list[dict[str, Any]], side: str) -> tuple[torch.Tensor, int]:
    """Mean log-probability of a side's tokens in the loss, in 64 bits, and how many there are in all."""
    means, count = [], 0
    for row in rows:
        sequence, mask = by_hand(tokenizer, row, side)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([sequence])).logits[0]
        each = torch.log_softmax(logits[:-1], dim=-1)[torch.arange(len(sequence) - 1), torch.tensor(sequence[1:])]
        scored = each[torch.tensor(mask[1:])]
        means.append(scored.mean())
        count += len(scored)
    return torch.stack(means), count


def test_orpo(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    """The loss before the first step is equations 6 and 7 of Hong et al. 2024 on the tokens of the assistant."""
    rows, tokenizer = trajectory_pairs(6), AutoTokenizer.from_pretrained(tiny_model)
    outcome = train_orpo(
        make_dataset(rows), tmp_path / "adapter", model=str(tiny_model), beta=0.25, batch_size=6,
        gradient_accumulation=1, learning_rate=5e-3, epochs=8, lora_dropout=0.0,
    )  # fmt: skip
    model = merged(tiny_model, None)
    chosen, tokens = mean_logps(model, tokenizer, rows, "chosen")
    rejected, _ = mean_logps(model, tokenizer, rows, "rejected")
    log_odds = [p - torch.log1p(-p.exp()) for p in (chosen, rejected)]
    preference = -torch.nn.functional.logsigmoid(log_odds[0] - log_odds[1]).mean()
    lengths = torch.tensor([sum(by_hand(tokenizer, row, "chosen")[1]) for row in rows])
    imitation = -(chosen * lengths).sum() / tokens
    found = outcome.document()["results"]
    assert found["first_loss"] == pytest.approx(float(imitation + 0.25 * preference), abs=1e-5)
    assert found["last_loss"] < found["first_loss"]
    assert found["margin_after"] > found["margin_before"]
    table = per_pair(tmp_path / "adapter")
    assert table["margin_before"] == pytest.approx((chosen - rejected).tolist(), abs=1e-5)
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == FOLDER
    assert "Hong et al. 2024" in (tmp_path / "adapter" / "README.md").read_text()


def test_kto(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    """It starts at 1 - sigmoid(0), and the margins that it reports are those of the adapter that it saved."""
    rows, tokenizer = trajectory_pairs(8), AutoTokenizer.from_pretrained(tiny_model)
    outcome = train_kto(
        make_dataset(rows), tmp_path / "adapter", model=str(tiny_model), batch_size=4, gradient_accumulation=1,
        learning_rate=5e-3, epochs=4,
    )  # fmt: skip
    found = outcome.document()
    assert found["steps"] == 4 * 4  # 8 pairs are 16 sides, 4 in a batch
    assert found["expected_first_loss"] == 0.5
    assert found["results"]["first_loss"] == pytest.approx(0.5, abs=1e-5)
    assert found["results"]["margin_after"] > 0.05
    _, margins = equation_7(merged(tiny_model, tmp_path / "adapter"), merged(tiny_model, None), tokenizer, rows, 0.1)
    assert per_pair(tmp_path / "adapter")["margin_after"] == pytest.approx(margins.tolist(), abs=1e-4)
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == FOLDER


def test_kto_needs_two_sides_in_a_batch(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 sides or more"):
        train_kto(make_dataset(trajectory_pairs(2)), tmp_path / "a", model=str(tiny_model), batch_size=1)


def test_reward(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    """The saved adapter and head, loaded afresh, give the rewards that were reported; the margin enters the loss."""
    rows = [{**row, "margin": 1.5} for row in trajectory_pairs(8)]
    dataset, tokenizer = make_dataset(rows), AutoTokenizer.from_pretrained(tiny_model)
    settings: dict[str, Any] = {"model": str(tiny_model), "batch_size": 8, "gradient_accumulation": 1}
    settings |= {"learning_rate": 5e-3, "epochs": 10, "lora_dropout": 0.0, "merge": True}
    outcome = train_reward(dataset, tmp_path / "adapter", use_margin=True, **settings)
    found, table = outcome.document()["results"], per_pair(tmp_path / "adapter")
    before = torch.tensor(table["margin_before"], dtype=torch.float64)
    assert found["first_loss"] == pytest.approx(float(-torch.nn.functional.logsigmoid(before - 1.5).mean()), abs=1e-5)
    assert found["accuracy_after"] > 0.9
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {*FOLDER, "merged"}
    with hushed():
        loaded = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "adapter", num_labels=1)
    for row, reward in zip(rows, table["chosen_reward_after"], strict=True):
        sequence, mask = by_hand(tokenizer, row, "chosen")
        end = max(at for at, in_loss in enumerate(mask) if in_loss) + 1
        with torch.no_grad():
            assert float(loaded(input_ids=torch.tensor([sequence[:end]])).logits) == pytest.approx(reward, abs=1e-4)
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "AutoPeftModelForSequenceClassification" in card
    assert "text-classification" in card


def test_the_list_of_trainers_loads_nothing_heavy(prefdata: Any) -> None:
    done = prefdata("train")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["dpo", "kto", "orpo", "reward"]


def test_a_plan_of_any_method(make_dataset: MakeDataset, tiny_model: Path) -> None:
    told = train_orpo(make_dataset(trajectory_pairs(4)), "x", model=str(tiny_model), dry_run=True, preview=1).document()
    assert told["method"] == "orpo"
    assert told["preview"][0]["chosen"]["trained"] > 0
    assert told["memory"]["total"] > told["memory"]["weights"] > 0
