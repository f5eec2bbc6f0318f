"""Tokenizers made on the spot: byte-level BPE with ChatML marks, and what real templates need besides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + (message.content or '') }}"
    "{%- for call in message.tool_calls or [] %}"
    "{{- '<tool_call>' + (call.function.arguments | tojson) + call.function.name + '</tool_call>' }}"
    "{%- endfor %}"
    "{{- '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
CORPUS = [
    "Book me a hotel in Paris please. Sure, let me search. Done, booked Hotel Lumiere. I cannot do that.",
    "What is the capital of France? The capital of France is Paris. France's capital is London. hotel hotel tel ho",
    "system user assistant tool developer get_weather city answer\n\nyes\n\nno hello\n\nworld",
] * 8
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|bos|>"]

Build = Callable[..., PreTrainedTokenizerFast]


def build(
    template: str | None = CHATML, *, bos: bool = False, marks: list[str] | None = None, **options: Any
) -> PreTrainedTokenizerFast:
    """A fast tokenizer of about 400 tokens that merges "hotel" and two newlines into one token each."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r"\s*[\r\n]+| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[*MARKS, *(marks or [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", tokenizer.token_to_id("<|bos|>"))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>" if bos else None,
        **{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", **options},
    )
    made.chat_template = template
    return made


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """ChatML, EOS is the end-of-turn mark."""
    return build()


@pytest.fixture(scope="session")
def make_tokenizer() -> Build:
    """The builder itself, for other templates."""
    return build


@pytest.fixture
def hotel() -> dict[str, Any]:
    """The seed's hotel row in canonical form: the prompt ends with the assistant, the rest begins with the user."""
    turn = {"role": "user", "content": "In Paris please"}
    return {
        "id": "hotel",
        "prompt": [
            {"role": "user", "content": "Book me a hotel"},
            {"role": "assistant", "content": "Sure, let me search."},
        ],
        "chosen": [turn, {"role": "assistant", "content": "Done, booked Hotel Lumiere."}],
        "rejected": [turn, {"role": "assistant", "content": "I cannot do that."}],
        "tools": [],
    }


@pytest.fixture
def weather() -> dict[str, Any]:
    """A pair whose chosen side calls a tool, reads its result and answers."""
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {
        "id": "weather",
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it warm in Paris?"}],
        "chosen": [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": json.dumps({"celsius": 31}), "tool_call_id": "1"},
            {"role": "assistant", "content": "Yes, 31 degrees."},
        ],
        "rejected": [{"role": "assistant", "content": "I do not know."}],
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_weather", "description": "Weather", "parameters": parameters},
            }
        ],
    }
