"""What rendering says of stock TRL is what TRL's own trainer does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl import DPOConfig, DPOTrainer

from prefdata.rendering.stock import stock_pair
from tests.rendering.conftest import CHATML, build

USER, LONG = {"role": "user", "content": "Sure?"}, "Sure, let me search. " * 5


def said(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


TEXTS = [
    {"id": "plain", "prompt": "2+2?\n", "chosen": "4", "rejected": "5"},
    {"id": "merged", "prompt": "Book me a ho", "chosen": "tel", "rejected": "liday"},
    {"id": "ended", "prompt": "2+2? ", "chosen": "4<|im_end|>", "rejected": LONG},
    {"id": "no room", "prompt": LONG, "chosen": "4", "rejected": "5"},
]
CHATS = [
    {"id": "one turn", "prompt": [USER], "chosen": [said("Yes.")], "rejected": [said("No.")]},
    {
        "id": "more turns",
        "prompt": [{"role": "system", "content": "Be brief."}, USER],
        "chosen": [said("4"), USER, said(LONG)],
        "rejected": [said("5")],
    },
]


@pytest.mark.parametrize(("rows", "bos"), [(TEXTS, False), (TEXTS, True), (CHATS, False)])
def test_tokens_masks_and_cuts_are_those_of_trl(rows: list[dict[str, Any]], bos: bool, tmp_path: Path) -> None:
    tokenizer = build(CHATML, bos=bos)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    model.save_pretrained(tmp_path / "model")
    model.config._name_or_path = str(tmp_path / "model")  # a model card is begun from it
    length = 30
    config = DPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        max_length=length,
        report_to=[],
        activation_checkpointing=False,
        disable_tqdm=True,
    )
    data = Dataset.from_list([{key: row[key] for key in ("id", "prompt", "chosen", "rejected")} for row in rows])
    trainer = DPOTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    theirs = {row["id"]: row for row in trainer.train_dataset}
    for row in rows:
        stock = stock_pair(tokenizer, row)
        cut = stock.cut(length)
        if cut is None:
            assert row["id"] not in theirs
            continue
        their = theirs[row["id"]]
        assert list(stock.pair.prompt_ids) == their["prompt_ids"]
        for side in ("chosen", "rejected"):
            assert list(getattr(stock.pair, side).ids) == their[f"{side}_ids"]
        columns = {key: their[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")}
        batch = trainer.data_collator([columns])
        for index, side in enumerate(cut.sides):
            size = int(batch["attention_mask"][index].sum())
            assert batch["input_ids"][index][:size].tolist() == [*cut.prompt_ids, *side.ids]
            mask = [0] * len(cut.prompt_ids) + [int(trained) for trained in side.in_loss]
            assert batch["completion_mask"][index][:size].tolist() == mask
