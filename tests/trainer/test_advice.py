"""Warnings with advice, from logged figures; and a run whose loss is no number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from prefdata_trainer import train_dpo
from prefdata_trainer.advice import advice

from prefdata.errors import PrefdataError
from tests.trainer.conftest import MakeDataset, chat_pairs


def history(**series: list[float]) -> list[dict[str, Any]]:
    """Log entries of steps 1, 2, … with the given figures."""
    names = {name.replace("__", "/"): values for name, values in series.items()}
    count = len(next(iter(names.values())))
    healthy = {"loss": 0.5, "rewards/margins": 0.4, "rewards/accuracies": 0.8, "logratios/chosen": 0.1}
    return [{**healthy, "step": at + 1, **{name: values[at] for name, values in names.items()}} for at in range(count)]


def names(entries: list[dict[str, Any]], steps: int = 20) -> list[str]:
    return [found.name for found in advice(entries, math.log(2), steps)]


def test_a_healthy_run_is_left_alone() -> None:
    assert names(history(loss=[0.69 - 0.02 * at for at in range(20)])) == []


def test_chosen_answers_that_become_unlikely() -> None:
    assert names(history(logratios__chosen=[-1.0 * at for at in range(12)])) == ["chosen-falls"]
    assert names(history(logratios__chosen=[-6.0, 0, 0, 0, 0, 0])) == []


def test_a_saturated_margin() -> None:
    assert names(history(rewards__margins=[8.0] * 8, rewards__accuracies=[1.0] * 8)) == ["margin-saturated"]
    assert names(history(rewards__margins=[8.0] * 8, rewards__accuracies=[0.9] * 8)) == []
    assert names(history(rewards__margins=[0.0] * 16 + [9.0] * 4, rewards__accuracies=[1.0] * 20)) == []


def test_a_loss_that_does_not_move() -> None:
    assert names(history(loss=[0.693] * 8)) == ["loss-flat"]
    assert names(history(loss=[0.693] * 6), steps=100) == [], "too early to say"


def test_each_is_said_once_with_what_to_do() -> None:
    found = advice(history(loss=[0.693] * 20), math.log(2), 20)
    assert len(found) == 1
    assert "--learning-rate" in found[0].hint
    assert "at step 7 of 20" in found[0].message


def test_a_loss_that_is_no_number_stops_the_run(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(PrefdataError, match="the loss is nan at step") as refused:
        train_dpo(
            make_dataset(chat_pairs(8)), tmp_path / "a", model=str(tiny_model), learning_rate=1e30,
            gradient_accumulation=1, epochs=3,
        )  # fmt: skip
    assert "--learning-rate" in (refused.value.hint or "")
    assert not (tmp_path / "a").exists()


def test_warnings_are_recorded(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path, capsys: Any) -> None:
    outcome = train_dpo(
        make_dataset(chat_pairs(8)), tmp_path / "a", model=str(tiny_model), learning_rate=1e-12,
        gradient_accumulation=1, epochs=2, quiet=False,
    )  # fmt: skip
    assert "where it began" in outcome.document()["warnings"][0]
    assert "**Warning:**" in (tmp_path / "a" / "README.md").read_text()
    assert capsys.readouterr().err.count("warning: at step") == 1
