"""A tokenizer on disk whose template refuses one role and leaves out another."""

from __future__ import annotations

from pathlib import Path

from tests.rendering.conftest import CHATML, build

PICKY = CHATML.replace(
    "{%- for message in messages %}",
    "{%- for message in messages %}"
    "{%- if message.role == 'developer' %}{{- raise_exception('no developer here') }}{%- endif %}"
    "{%- if message.role != 'tool' %}",
    1,
).replace("{{- '<|im_end|>\n' }}", "{{- '<|im_end|>\n' }}{%- endif %}", 1)


def saved_tokenizer(folder: Path) -> Path:
    """The folder, with the tokenizer in it: ChatML marks, BOS before texts, about 400 tokens."""
    build(PICKY, bos=True).save_pretrained(folder)
    return folder
