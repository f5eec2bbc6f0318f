"""Text pairs: boundaries on tokens, BOS and EOS once."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from prefdata.errors import RenderingError
from prefdata.rendering import Renderer


def row(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"id": "p", "prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_the_seeds_row_keeps_its_text_and_ends_once(tokenizer: Any) -> None:
    pair = Renderer(tokenizer).pair(
        row("What is the capital of France?", "The capital of France is Paris.", "France's capital is London.")
    )
    assert tokenizer.decode(pair.prompt_ids) == "What is the capital of France?"
    assert tokenizer.decode(pair.chosen.ids) == "The capital of France is Paris.<|im_end|>"
    assert tokenizer.decode(pair.rejected.ids) == "France's capital is London.<|im_end|>"
    assert all(pair.chosen.in_loss)
    assert set(pair.chosen.turns) == {0}


def test_no_token_spans_prompt_and_completion(tokenizer: Any) -> None:
    merged = tokenizer(" hotel")["input_ids"]
    assert len(merged) == 1, "the vocabulary must merge ' hotel' for this test to mean anything"
    pair = Renderer(tokenizer).pair(row(" ho", "tel", "me"))
    assert list(pair.prompt_ids) == tokenizer(" ho")["input_ids"]
    assert tokenizer.decode(pair.chosen.ids[:-1]) == "tel"
    assert tokenizer.decode(pair.prompt_ids) == " ho"


def test_eos_that_the_text_brings_is_not_doubled(tokenizer: Any) -> None:
    pair = Renderer(tokenizer).pair(row("Yes or no?", "yes<|im_end|>", "no"))
    assert pair.chosen.ids.count(tokenizer.eos_token_id) == 1
    assert pair.rejected.ids.count(tokenizer.eos_token_id) == 1


def test_bos_stands_once_and_before_the_prompt(make_tokenizer: Any) -> None:
    tokenizer = make_tokenizer(bos=True)
    pair = Renderer(tokenizer).pair(row("Yes or no?", "yes", "no"))
    sequence = [*pair.prompt_ids, *pair.chosen.ids]
    assert sequence[0] == tokenizer.bos_token_id
    assert sequence.count(tokenizer.bos_token_id) == 1


def test_a_tokenizer_that_closes_every_text_does_not_close_the_prompt(make_tokenizer: Any) -> None:
    tokenizer = make_tokenizer()
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|im_end|>", special_tokens=[("<|im_end|>", tokenizer.eos_token_id)]
    )
    pair = Renderer(tokenizer).pair(row("Yes or no?", "yes", "no"))
    assert tokenizer.decode(pair.prompt_ids) == "Yes or no?"
    assert tokenizer.decode(pair.chosen.ids) == "yes<|im_end|>"


def test_sentencepiece_style_spaces_do_not_enter_between_prompt_and_completion() -> None:
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>", "</s>"], show_progress=False)
    backend.train_from_iterator(["france? the capital is paris"] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    pair = Renderer(tokenizer).pair(row("is the capital\u2581of france?", "paris", "the is"))
    assert tokenizer.decode([*pair.prompt_ids, *pair.chosen.ids[:-1]]).endswith("france?paris")


def test_the_first_token_of_a_sequence_is_not_in_the_loss(tokenizer: Any) -> None:
    pair = Renderer(tokenizer).pair(row("", "yes", "no"))
    assert pair.chosen.in_loss[0] is False
    assert all(pair.chosen.in_loss[1:])


def test_a_tokenizer_without_eos_is_refused(make_tokenizer: Any) -> None:
    with pytest.raises(RenderingError, match="no EOS token"):
        Renderer(make_tokenizer(eos_token=None)).pair(row("a", "b", "c"))
