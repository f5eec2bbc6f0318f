"""Which family of models a name belongs to: judges are known to like answers of their own (Panickssery et al. 2024,
arXiv:2404.13076)."""

from __future__ import annotations

import functools
import re

from prefdata.types import Judge

FAMILIES = {
    "openai": "gpt chatgpt davinci o1 o3 o4",
    "anthropic": "claude",
    "google": "gemini gemma palm bard",
    "meta": "llama codellama",
    "mistral": "mistral mixtral ministral magistral codestral zephyr",
    "alibaba": "qwen qwq",
    "deepseek": "deepseek",
    "microsoft": "phi wizardlm",
    "cohere": "command aya",
    "xai": "grok",
    "zhipu": "glm chatglm",
    "01-ai": "yi",
    "ai2": "olmo tulu",
    "amazon": "nova titan",
    "moonshot": "kimi",
    "tii": "falcon",
    "minimax": "minimax abab",
}
"""The words that name a model by who trained it; a tuned model counts with the model that it was tuned from."""

_BY_WORD = {word: family for family, words in FAMILIES.items() for word in words.split()}
_LETTERS = re.compile(r"[a-z]+")
_TOKENS = re.compile(r"[a-z]+[0-9]*")


@functools.cache
def family(name: str) -> str | None:
    """The family that a model's name tells; its first word where no known one stands in it, None without a word.

    >>> family("gpt-4o-mini"), family("meta-llama/Llama-3.1-8B-Instruct"), family("o3-mini"), family("Qwen2.5-7B")
    ('openai', 'meta', 'openai', 'alibaba')
    >>> family("ourlab/crow-7b"), family("crow-13b-chat"), family("7")
    ('crow', 'crow', None)
    """
    last = name.lower().split("@")[0].rstrip("/").rpartition("/")[2]
    for token in _TOKENS.findall(last):
        letters = _LETTERS.match(token)
        for word in (token, letters.group() if letters else ""):
            if word in _BY_WORD:
                return _BY_WORD[word]
    first = _LETTERS.search(last)
    return first.group() if first else None


def judge_family(judge: Judge) -> str | None:
    """The family of a language model that judges, by its model where the judge has a name of its own."""
    return family(judge.version or judge.name) if judge.kind == "llm" else None
