"""Model folders as people have them: torn, mismatched, without a tokenizer, without marks that others have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from prefdata_trainer import train_dpo, train_reward
from prefdata_trainer.quiet import hushed
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from prefdata.errors import InputError
from prefdata.rendering.loading import load_tokenizer
from tests.trainer.conftest import CHATML, MakeDataset, build_tokenizer, chat_pairs, text_pairs
from tests.trainer.test_methods import per_pair


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder to spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def edit(path: Path, **values: Any) -> None:
    """Change a JSON file; None removes a key."""
    found = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


def save_tokenizer(folder: Path, **marks: str) -> None:
    """The tokenizer with no other marks of its own than these."""
    kind: Any = PreTrainedTokenizerFast
    tokenizer = kind(tokenizer_object=build_tokenizer()._tokenizer, **marks)
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)


def without_head(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        {n: w for n, w in weights.items() if n != "lm_head.weight"}, folder / "model.safetensors", {"format": "pt"}
    )


def without_a_layer(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=3, layer_types=["full_attention"] * 3)


def of_another_width(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=128)


def torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_head, "would be drawn at random: lm_head.weight"),
        (without_a_layer, "model.layers.2.input_layernorm.weight"),
        (of_another_width, "other shapes than its config.json says"),
        (torn, "cannot be loaded"),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_refused(
    spoil: Any, said: str, folder: Path, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    spoil(folder)
    dataset = make_dataset(text_pairs(2))
    with pytest.raises(InputError, match=said):
        train_dpo(dataset, tmp_path / "a", model=str(folder))
    with pytest.raises(InputError, match=said):
        train_dpo(dataset, tmp_path / "a", model=str(tiny_model), model_ref=str(folder))


def test_a_reward_model_may_get_a_new_head_but_no_new_layer(
    folder: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    dataset = make_dataset(text_pairs(2))
    without_head(folder)
    train_reward(dataset, tmp_path / "a", model=str(folder))
    without_a_layer(folder)
    with pytest.raises(InputError, match=r"model.layers.2"):
        train_reward(dataset, tmp_path / "b", model=str(folder))


def test_a_tokenizer_without_words_is_refused(folder: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    """transformers makes an empty one where its files are missing, by which all answers are the same tokens."""
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InputError, match="has no words: its files are missing"):
        train_dpo(make_dataset(text_pairs(2)), tmp_path / "a", model=str(folder), dry_run=True)
    with pytest.raises(InputError, match="has no words"):
        load_tokenizer(str(folder))


@pytest.mark.parametrize("dry", [True, False])
def test_a_token_that_the_model_does_not_have_is_named(
    dry: bool, folder: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["Paris"])
    tokenizer.save_pretrained(folder)
    row = {"id": "p", "prompt": "Where is the hotel?", "chosen": "In Paris.", "rejected": "no"}
    with pytest.raises(InputError, match=rf"pair p holds token {len(tokenizer) - 1} \('Paris'\)"):
        train_dpo(make_dataset([row]), tmp_path / "a", model=str(folder), dry_run=dry)


def test_conversations_need_neither_eos_nor_padding(folder: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    save_tokenizer(folder)
    outcome = train_dpo(make_dataset(chat_pairs(4)), tmp_path / "a", model=str(folder), learning_rate=1e-2)
    assert outcome.document()["results"]["accuracy_after"] == 1.0


def test_a_reward_is_read_at_the_end_though_the_tokenizer_pads_with_eos(
    folder: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Loaded as its card says, and merged, the model gives the rewards that were measured, at EOS."""
    save_tokenizer(folder, eos_token="<|im_end|>")
    for name in ("config.json", "generation_config.json"):
        edit(folder / name, pad_token_id=None)
    rows, adapter = text_pairs(6), tmp_path / "adapter"
    train_reward(
        make_dataset(rows), adapter, model=str(folder), learning_rate=1e-2, epochs=4, batch_size=3,
        gradient_accumulation=1, merge=True,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    with hushed():
        loaded = AutoPeftModelForSequenceClassification.from_pretrained(adapter, num_labels=1)
        merged = AutoModelForSequenceClassification.from_pretrained(adapter / "merged")
    ids = [tokenizer(row["prompt"] + row["chosen"])["input_ids"] + [tokenizer.eos_token_id] for row in rows]
    rewards = per_pair(adapter)["chosen_reward_after"]
    with torch.no_grad():
        for model in (loaded, merged):  # by itself, without any padding
            alone = [float(model(input_ids=torch.tensor([sequence])).logits) for sequence in ids]
            assert alone == pytest.approx(rewards, abs=1e-4)
        loaded.config.pad_token_id = tokenizer.pad_token_id
        assert "model.config.pad_token_id = tokenizer.pad_token_id" in (adapter / "README.md").read_text()
        batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt", padding_side="right")
        for model in (loaded, merged):
            assert model(**batch).logits[:, 0].tolist() == pytest.approx(rewards, abs=1e-4)
