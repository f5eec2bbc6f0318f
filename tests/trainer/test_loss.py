"""The loss that the plugin reports, against equation 7 of Rafailov et al. 2023 computed here in 64 bits.

Nothing of TRL, of PEFT, or of prefdata's rendering takes part in the computation: weights are merged by hand, each
sequence goes through the model alone and unpadded, and masks are built from the pieces of the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from prefdata_trainer import train_dpo
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainer.conftest import MakeDataset, Row, chat_pairs, text_pairs, tool_pairs, trajectory_pairs

Sequences = list[tuple[list[int], list[bool]]]


def by_hand(tokenizer: Any, row: Row, side: str) -> tuple[list[int], list[bool]]:
    """Token ids of prompt + side, and which of them are in the loss."""

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    if isinstance(row["prompt"], str):
        prompt, completion = ids(row["prompt"]), [*ids(row[side]), tokenizer.eos_token_id]
        return [*prompt, *completion], [False] * len(prompt) + [True] * len(completion)
    sequence: list[int] = []
    mask: list[bool] = []
    for index, message in enumerate([*row["prompt"], *row[side]]):
        calls = [json.dumps(call["function"]) for call in message.get("tool_calls", [])]
        said = message.get("content", "") + "".join(f"<tool_call>{call}</tool_call>" for call in calls)
        header, body = ids(f"<|im_start|>{message['role']}\n"), ids(said + "<|im_end|>")
        written = message["role"] == "assistant" and index >= len(row["prompt"])
        sequence += [*header, *body, *ids("\n")]
        mask += [False] * len(header) + [written] * len(body) + [False]
    return sequence, mask


def merged(model: Path, adapter: Path | None) -> Any:
    """The model in 64 bits, its weights W + alpha / r * B A where there is an adapter."""
    made = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64)
    if adapter is not None:
        config = json.loads((adapter / "adapter_config.json").read_text())
        factors = load_file(adapter / "adapter_model.safetensors")
        weights = dict(made.named_parameters())
        for name in [name for name in factors if ".lora_A." in name]:
            target = name.removeprefix("base_model.model.").replace(".lora_A", "")
            b_times_a = factors[name.replace(".lora_A.", ".lora_B.")].double() @ factors[name].double()
            with torch.no_grad():
                weights[target] += config["lora_alpha"] / config["r"] * b_times_a
    return made.eval()


@torch.no_grad()
def logps(model: Any, sequences: Sequences) -> torch.Tensor:
    """log pi(completion | prompt): the sum over tokens in the loss, each given all tokens before it."""
    found = []
    for sequence, mask in sequences:
        logits = model(input_ids=torch.tensor([sequence])).logits[0]
        each = torch.log_softmax(logits[:-1], dim=-1)[torch.arange(len(sequence) - 1), torch.tensor(sequence[1:])]
        found.append(each[torch.tensor(mask[1:])].sum())
    return torch.stack(found)


def equation_7(policy: Any, reference: Any, tokenizer: Any, rows: Sequence[Row], beta: float) -> tuple[float, Any]:
    """Mean over pairs of -log sigmoid(beta log-ratio(chosen) - beta log-ratio(rejected)), and the margins."""
    chosen, rejected = ([by_hand(tokenizer, row, side) for row in rows] for side in ("chosen", "rejected"))
    margins = beta * (
        (logps(policy, chosen) - logps(reference, chosen)) - (logps(policy, rejected) - logps(reference, rejected))
    )
    return float(-torch.nn.functional.logsigmoid(margins).mean()), margins


@pytest.mark.parametrize("pairs", [text_pairs, chat_pairs, trajectory_pairs, tool_pairs])
@pytest.mark.parametrize(
    ("fast", "precomputed", "separate"),
    [*((True, before, other) for before in (True, False) for other in (True, False)), (False, True, True)],
)
def test_the_reported_loss_is_equation_7(
    fast: bool,
    pairs: Callable[[int], list[dict[str, Any]]],
    precomputed: bool,
    separate: bool,
    tiny_model: Path,
    other_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
) -> None:
    rows = pairs(6)
    outcome = train_dpo(
        make_dataset(rows),
        tmp_path / "adapter",
        model=str(tiny_model),
        model_ref=str(other_model) if separate else None,
        beta=0.3,
        learning_rate=1e-12,
        batch_size=len(rows),
        gradient_accumulation=1,
        lora_dropout=0.0,
        fast=fast,
        prefix_sharing="on" if fast else "auto",
        passed={
            "init_lora_weights": ("false",),  # B is not 0, so that policy and reference differ from the start
            "precompute_ref_log_probs": (str(precomputed).lower(),),
        },
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    policy = merged(tiny_model, tmp_path / "adapter")
    reference = merged(other_model if separate else tiny_model, None)
    loss, margins = equation_7(policy, reference, tokenizer, rows, beta=0.3)
    assert abs(loss - 0.6931) > 0.01, "policy and reference must differ for this test to mean anything"
    assert outcome.document()["results"]["first_loss"] == pytest.approx(loss, abs=1e-5)
    assert outcome.document()["speed"]["prefix_sharing"] == ("on" if fast else "off")
    table = pq.read_table(tmp_path / "adapter" / "per_pair.parquet").to_pydict()
    assert table["id"] == [row["id"] for row in rows]
    assert table["margin_before"] == pytest.approx(margins.tolist(), abs=1e-4)
    assert table["margin_after"] == pytest.approx(margins.tolist(), abs=1e-4)


def test_margins_after_training_are_those_of_the_saved_adapter(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    rows = trajectory_pairs(12)
    outcome = train_dpo(
        make_dataset(rows), tmp_path / "adapter", model=str(tiny_model), learning_rate=5e-3, gradient_accumulation=1
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    _, margins = equation_7(merged(tiny_model, tmp_path / "adapter"), merged(tiny_model, None), tokenizer, rows, 0.1)
    table = pq.read_table(tmp_path / "adapter" / "per_pair.parquet").to_pydict()
    assert table["margin_before"] == [0.0] * len(rows)
    assert table["margin_after"] == pytest.approx(margins.tolist(), abs=1e-4)
    assert max(map(abs, table["margin_after"])) > 0.05, "the adapter must have moved"
    assert outcome.document()["results"]["first_loss"] == pytest.approx(0.693147, abs=1e-5)
