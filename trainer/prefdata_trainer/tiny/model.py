"""A language model of 0.7M parameters, built and trained from scratch in about half a minute on one CPU core."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from prefdata_trainer.tiny.corpus import CARELESSNESS, exchanges

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, as most open chat models use it."""

CAREFUL_SHARE = 0.5
"""The share of the steps that shows a careful desk: copying is learnt first, and then the bad habit. On careless
replies alone, some seeds had not learnt to copy the city within the time."""
WARMUP_STEPS = 50
IGNORED = -100

Progress = Callable[[str], None]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, fitted to the corpus: any text round-trips, and each word of the task becomes one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    bpe = trainers.BpeTrainer(
        vocab_size=1024,  # an upper bound: the corpus runs out of merges at about 750
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast: Any = PreTrainedTokenizerFast  # its constructor is not typed
    texts = [text for exchange in islice(exchanges(0, 0.0), 4000) for text in exchange]
    tokenizer.train_from_iterator([*texts, *["system\nuser\nassistant\n"] * 100], bpe)
    built: PreTrainedTokenizerFast = fast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=CHAT_TEMPLATE, padding_side="left"
    )
    return built


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """An untrained Qwen3 of three layers, 128 wide."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        # Four times the usual 0.02: with so few dimensions, attention starts too flat to find what to copy in time.
        initializer_range=0.08,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def batch(tokenizer: PreTrainedTokenizerFast, rows: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Right-padded ``input_ids``, ``attention_mask`` and ``labels`` [rows, length]; the loss falls on replies alone."""
    asked = tokenizer([f"{START}user\n{request}{END}\n{START}assistant\n" for request, _ in rows])["input_ids"]
    answered = tokenizer([f"{reply}{END}" for _, reply in rows])["input_ids"]
    length = max(len(a) + len(b) for a, b in zip(asked, answered, strict=True))
    ids = torch.full((len(rows), length), int(tokenizer.pad_token_id))
    labels = torch.full_like(ids, IGNORED)
    for row, (a, b) in enumerate(zip(asked, answered, strict=True)):
        ids[row, : len(a) + len(b)] = torch.tensor([*a, *b])
        labels[row, len(a) : len(a) + len(b)] = torch.tensor(b)
    return {"input_ids": ids, "attention_mask": (ids != tokenizer.pad_token_id).long(), "labels": labels}


def train(
    out: Path,
    *,
    seed: int = 0,
    steps: int = 320,
    seconds: float | None = None,
    batch_size: int = 32,
    learning_rate: float = 5e-3,
    progress: Progress = lambda _: None,
) -> None:
    """Train from scratch and save a transformers folder at ``out``, which appears whole or not at all.

    ``seconds`` cuts the training short on a slow machine; without it, equal arguments give equal weights on one
    machine. Raises ``OSError`` where ``out`` exists and is not empty.
    """
    tokenizer = build_tokenizer()
    model: Any = build_model(tokenizer, seed)
    size = sum(parameter.numel() for parameter in model.parameters())
    progress(f"{size:,} parameters, {len(tokenizer)} tokens, {steps} steps of {batch_size} bookings")
    careful, careless = exchanges(seed, 0.0), exchanges(seed, CARELESSNESS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    began = time.monotonic()
    done = 0.0
    for step in range(steps):
        elapsed = time.monotonic() - began
        if seconds is not None:
            # Progress is whichever of the two budgets is nearer its end, so that the schedule always runs to its end.
            done = max(step / steps, elapsed / seconds)
            if done >= 1:
                break
        else:
            done = step / steps
        rate = min(1.0, (step + 1) / WARMUP_STEPS) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        rows = list(islice(careful if done < CAREFUL_SHARE else careless, batch_size))
        loss = model(**batch(tokenizer, rows)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            progress(f"step {step + 1}/{steps}  loss {loss.item():.3f}  {time.monotonic() - began:.0f} s")
    save(out, model.eval(), tokenizer)


def save(out: Path, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write beside ``out`` and rename: a folder that is there is complete."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    unfinished = out.with_name(f"{out.name}.unfinished-{os.getpid()}")
    try:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
