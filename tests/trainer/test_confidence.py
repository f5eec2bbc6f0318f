"""Margins and probabilities in the loss, against the formulas of docs/training.md computed here in 64 bits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from prefdata_trainer import train_dpo
from prefdata_trainer.confidence import losses
from prefdata_trainer.settings import DpoSettings
from transformers import AutoTokenizer

from prefdata.errors import UsageError
from tests.trainer.conftest import MakeDataset, chat_pairs, text_pairs
from tests.trainer.test_loss import equation_7, merged

BETA = 0.3


def rows() -> list[dict[str, Any]]:
    return [{**row, "margin": 0.5 + at, "probability": 0.55 + 0.08 * at} for at, row in enumerate(chat_pairs(6))]


def nll(margin: float) -> float:
    """-log sigmoid."""
    return math.log1p(math.exp(-margin))


def by_hand(settings: dict[str, Any], margins: list[float]) -> float:
    """The mean over all pairs, each with its weight, its smoothing and its offset."""
    total, told = 0.0, rows()
    worth = {
        "margin": [row["margin"] for row in told],
        "probability": [2 * row["probability"] - 1 for row in told],
        None: [1.0] * len(told),
    }[settings.get("weight_by")]
    for row, margin, value in zip(told, margins, worth, strict=True):
        offset = 0.0
        if alpha := settings.get("margin_offset"):
            offset = alpha * (row["margin"] if settings.get("offset_of") == "linear" else math.log(row["margin"]))
        rate = 0.0
        if settings.get("smoothing"):
            rate = settings.get("disagreement", 1 - row["probability"])
        right, wrong = nll(margin - offset), nll(offset - margin)
        loss = (1 - rate) * right + rate * wrong
        if settings.get("smoothing") == "robust":
            loss = ((1 - rate) * right - rate * wrong) / (1 - 2 * rate)
        total += value / (sum(worth) / len(worth)) * loss
    return total / len(told)


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_by": "margin"},
        {"weight_by": "probability", "smoothing": "conservative", "disagreement": 0.12},
        {"smoothing": "robust"},
        {"margin_offset": 0.4},
        {"margin_offset": 0.1, "offset_of": "linear", "smoothing": "conservative", "weight_by": "probability"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_the_reported_loss_is_the_formula(
    settings: dict[str, Any], tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    outcome = train_dpo(
        make_dataset(rows()), tmp_path / "adapter", model=str(tiny_model), beta=BETA, learning_rate=1e-12,
        batch_size=6, gradient_accumulation=1, lora_dropout=0.0, loss_type=("sigmoid", "sft"), loss_weights=(0.8, 0.0),
        passed={"init_lora_weights": ("false",)}, **settings,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    policy, reference = merged(tiny_model, tmp_path / "adapter"), merged(tiny_model, None)
    plain, margins = equation_7(policy, reference, tokenizer, rows(), beta=BETA)
    expected = by_hand(settings, margins.tolist())
    assert abs(expected - plain) > 1e-3, "the confidence must change the loss for this test to mean anything"
    found = outcome.document()
    assert found["results"]["first_loss"] == pytest.approx(0.8 * expected, abs=1e-5)
    assert found["expected_first_loss"] is None


def test_a_weight_scales_the_gradient_of_its_pair_alone() -> None:
    margins = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    losses(margins, torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), None).sum().backward()
    assert margins.grad is not None
    assert margins.grad.tolist() == pytest.approx([-2 / (1 + math.exp(0.3)), 0.0])


def test_a_column_that_is_needed_and_missing_is_named(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    some = [{**row, "margin": 1.0} if at else row for at, row in enumerate(text_pairs(3))]
    dataset, model = make_dataset(some), str(tiny_model)
    with pytest.raises(UsageError, match="1 of 3 pairs have no margin"):
        train_dpo(dataset, tmp_path / "a", model=model, weight_by="margin")
    with pytest.raises(UsageError, match="3 of 3 pairs have no probability") as refused:
        train_dpo(dataset, tmp_path / "a", model=model, smoothing="robust")
    assert "--disagreement" in (refused.value.hint or "")
    assert not (tmp_path / "a.state").exists()


def test_a_margin_of_nought_has_no_logarithm(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    dataset = make_dataset([{**row, "margin": float(at)} for at, row in enumerate(text_pairs(3))])
    with pytest.raises(UsageError, match="has no logarithm"):
        train_dpo(dataset, tmp_path / "a", model=str(tiny_model), margin_offset=1.0)


@pytest.mark.parametrize(
    "passed", [{"ld_alpha": ("0.5",)}, {"use_weighting": ()}, {"f_divergence_type": ("js_divergence",)}]
)
def test_what_changes_the_sigmoid_loss_otherwise_is_refused_beside_a_confidence(passed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no formula has both"):
        DpoSettings(model="m", weight_by="margin", passed=passed)
    DpoSettings(model="m", passed=passed)
    as_they_are = {"use_weighting": ("false",), "f_divergence_type": ("reverse_kl",), "label_smoothing": ("0.1",)}
    DpoSettings(model="m", weight_by="margin", passed=as_they_are)


def test_settings_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="not among the losses"):
        DpoSettings(model="m", loss_type=("ipo",), weight_by="margin")
    with pytest.raises(UsageError, match="but not how"):
        DpoSettings(model="m", disagreement=0.1)
