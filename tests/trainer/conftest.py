"""Tiny models from a configuration, their tokenizers, and datasets, all made on the spot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: weights must agree to the last digit

import orjson
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

import prefdata

torch.set_num_threads(1)

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + (message.content or '') }}"
    "{%- for call in message.tool_calls or [] %}"
    "{{- '<tool_call>' + (call.function | tojson) + '</tool_call>' }}"
    "{%- endfor %}"
    "{{- '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
CORPUS = [
    "Book me a hotel in Paris please. Sure, let me search. Done, booked Hotel Lumiere. I cannot do that.",
    "What is the capital of France? The capital of France is Paris. France's capital is London.",
    "system user assistant tool answer yes no hello world one two three four five six seven eight nine",
] * 8

Row = Mapping[str, Any]
MakeDataset = Callable[..., Path]
MakeModel = Callable[..., Path]

SEED_TEXT = {
    "prompt": "What is the capital of France?",
    "chosen": "The capital of France is Paris.",
    "rejected": "France's capital is London.",
}
HOTEL_PROMPT = [
    {"role": "user", "content": "Book me a hotel"},
    {"role": "assistant", "content": "Sure, let me search."},
]
SEED_HOTEL = {
    "prompt": HOTEL_PROMPT,
    "chosen": [
        *HOTEL_PROMPT,
        {"role": "user", "content": "In Paris please"},
        {"role": "assistant", "content": "Done, booked Hotel Lumiere."},
    ],
    "rejected": [
        *HOTEL_PROMPT,
        {"role": "user", "content": "In Paris please"},
        {"role": "assistant", "content": "I cannot do that."},
    ],
}


def build_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 400 tokens with ChatML marks; EOS is the end-of-turn mark."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r"\s*[\r\n]+| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = template
    return made


def build_model(
    folder: Path, *, seed: int = 0, template: str | None = CHATML, dropout: float = 0.0, long: bool = False
) -> Path:
    """A two-layer Qwen3 with its tokenizer, as a folder that transformers loads; ``long`` takes 2,048 tokens."""
    tokenizer = build_tokenizer(template)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=2048 if long else 512,
        attention_dropout=dropout,
        initializer_range=0.2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_dataset(folder: Path, rows: Iterable[Row]) -> Path:
    """The dataset that ``prefdata.validate`` makes of ``rows``."""
    pairs = folder.with_suffix(".jsonl")
    pairs.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    prefdata.validate(pairs, output=folder)
    return folder


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """``make_dataset(rows, name="dataset")``."""
    return lambda rows, name="dataset": build_dataset(tmp_path / name, rows)


@pytest.fixture
def quiet_libraries() -> Iterator[None]:
    """As in a run, for tests that build a trainer by hand."""
    from prefdata_trainer.quiet import hushed

    with hushed():
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model folder that the tests share and do not change."""
    return build_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shape with other weights, for a separate reference."""
    return build_model(tmp_path_factory.mktemp("model") / "other", seed=1)


def words(count: int, seed: int) -> str:
    """``count`` words of the corpus, by ``seed``."""
    vocabulary = CORPUS[2].split()
    return " ".join(vocabulary[(seed * 7 + at * (3 + seed % 5)) % len(vocabulary)] for at in range(count))


def text_pairs(count: int) -> list[dict[str, Any]]:
    """Pairs of strings of different lengths."""
    return [
        {
            "id": f"t{at}",
            "prompt": words(3 + at % 7, at) + "?",
            "chosen": words(1 + at % 5, at + 50),
            "rejected": words(2 + at % 3, at + 90) + ".",
        }
        for at in range(count)
    ]


def chat_pairs(count: int) -> list[dict[str, Any]]:
    """Single-turn conversations."""
    return [
        {
            **row,
            "prompt": [{"role": "user", "content": row["prompt"]}],
            **{side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")},
        }
        for row in text_pairs(count)
    ]


def trajectory_pairs(count: int) -> list[dict[str, Any]]:
    """Conversations that part ways and go on for two more turns, each side with users of its own."""
    return [
        {
            "id": f"m{at}",
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": words(3 + at % 4, at)}],
            **{
                side: [
                    {"role": "assistant", "content": words(2 + at % 3, at + shift)},
                    {"role": "user", "content": words(4, at + shift + 10)},
                    {"role": "assistant", "content": words(1 + at % 4, at + shift + 20)},
                ]
                for side, shift in (("chosen", 100), ("rejected", 200))
            },
        }
        for at in range(count)
    ]


def tool_pairs(count: int) -> list[dict[str, Any]]:
    """Conversations with tools: a call and its result in the prompt, and on one side another call and its result."""
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]

    def called(id: str, word: str) -> list[dict[str, Any]]:
        function = {"name": "find", "arguments": {"word": word}}
        return [
            {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]},
            {"role": "tool", "content": f"found {word}", "tool_call_id": id},
        ]

    rows = []
    for at in range(count):
        asked = {"role": "user", "content": words(3 + at % 4, at)}
        sure, unsure = ({"role": "assistant", "content": words(2 + at % 3, at + shift)} for shift in (100, 200))
        longer = [*called("c2", words(1, at + 30)), sure]
        chosen, rejected = (longer, [unsure]) if at % 2 else ([sure], [*called("c2", words(1, at + 40)), unsure])
        prompt = [asked, *called("c1", words(1, at + 20))]
        rows.append({"id": f"c{at}", "prompt": prompt, "chosen": chosen, "rejected": rejected, "tools": tools})
    return rows
