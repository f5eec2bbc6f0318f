"""A tokenizer from its name: the one place in rendering that needs transformers, imported only when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from prefdata.errors import InputError, MissingExtraError
from prefdata.rendering.tokens import Tokenizer, special_marks


def load_tokenizer(name: str, chat_template: str | Path | None = None) -> Tokenizer:
    """The tokenizer of a model folder or of a name on the hub, with the chat template of a file where one is given.

    Raises MissingExtraError where transformers is not installed, InputError where the tokenizer cannot be loaded.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError(
            "tokens need the package transformers, which is not installed", 'pip install "prefdata[tokens]"'
        ) from None
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name)
    except Exception as error:  # noqa: BLE001 - files of a stranger: anything may be raised
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"the tokenizer of {name} cannot be loaded: {why}",
            "name a folder with tokenizer.json and tokenizer_config.json, or a model on the hub",
        ) from None
    return completed(tokenizer, name, chat_template)


def completed(tokenizer: Any, name: str, chat_template: str | Path | None) -> Tokenizer:
    """The tokenizer that transformers has loaded, with the chat template of a file where one is given.

    Raises InputError where it has no words, which is what transformers makes of a folder without a tokenizer's files,
    and where the file is no text.
    """
    if set(tokenizer.get_vocab().values()) <= set(special_marks(tokenizer)):
        raise InputError(
            f"the tokenizer of {name} has no words: its files are missing",
            "put tokenizer.json and tokenizer_config.json beside the weights",
        )
    if chat_template is not None:
        try:
            tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"the chat template {chat_template} is not UTF-8: {error.reason} at byte {error.start}",
                "save it as UTF-8",
            ) from None
    return cast(Tokenizer, tokenizer)
