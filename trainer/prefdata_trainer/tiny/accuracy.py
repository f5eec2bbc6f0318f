"""Held-out pair accuracy: how often an adapter prefers the chosen side, measured apart from the trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from prefdata.errors import InputError
from prefdata_trainer.quiet import hushed

BATCH = 128


def pair_accuracy(folder: Path, adapter: Path, pairs: Path) -> tuple[int, int]:
    """How many chat pairs of a JSONL file have a positive implicit reward margin, and how many pairs there are.

    The margin is log p(chosen) - log p(rejected) under the adapter less the same under the model alone (Rafailov et al.
    2023, equation 5, without beta, which does not change the sign). Zero counts as wrong.
    """
    from peft import PeftModel

    rows = [orjson.loads(line) for line in pairs.read_bytes().splitlines() if line.strip()]
    if not rows or any(isinstance(row["prompt"], str) for row in rows):
        raise InputError(f"{pairs} holds no pairs of conversations")
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with hushed():
        model: Any = PeftModel.from_pretrained(base, adapter)
    model.eval()
    policy = _margins(model, tokenizer, rows)
    with model.disable_adapter():
        reference = _margins(model, tokenizer, rows)
    return int((policy > reference).sum()), len(rows)


def _margins(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """log p(chosen) - log p(rejected), float64 [rows]."""
    sides = [torch.tensor(list(_logps(model, tokenizer, rows, side))) for side in ("chosen", "rejected")]
    return sides[0] - sides[1]


@torch.inference_mode()
def _logps(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]], side: str) -> Iterator[float]:
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        prompts = [
            tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False) for row in part
        ]
        wholes = [tokenizer.apply_chat_template(row["prompt"] + row[side], return_dict=False) for row in part]
        length = max(map(len, wholes))
        ids = torch.tensor([whole + [0] * (length - len(whole)) for whole in wholes])
        mask = torch.tensor([[1] * len(whole) + [0] * (length - len(whole)) for whole in wholes])
        logps = torch.log_softmax(model(input_ids=ids, attention_mask=mask).logits[:, :-1].double(), dim=-1)
        told = logps.gather(2, ids[:, 1:, None])[..., 0]
        for row, (prompt, whole) in enumerate(zip(prompts, wholes, strict=True)):
            yield float(told[row, len(prompt) - 1 : len(whole) - 1].sum())
