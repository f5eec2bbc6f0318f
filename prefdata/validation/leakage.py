"""Prompts that are kept for evaluation, and rows to train on that hold one of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import xxhash

from prefdata.errors import InputError, UsageError
from prefdata.records.sources import STDIN, Source, sources
from prefdata.validation.lines import BOM
from prefdata.validation.memory import Stamp, stamp_of
from prefdata.validation.splits import plain_text

LEAST_TURN = 30
"""Characters of a user's turn that tell a conversation from others by itself; shorter ones only count as a prompt."""
PROMPT_KEYS = ("prompt", "question", "instruction", "turns", "messages", "conversation", "input", "text", "query")
"""Keys of a row that may hold its prompt; the first that is there counts."""
ASKERS = ("user", "human", "prompter")


def texts_of(prompt: Any) -> Iterator[str]:
    """What a prompt is compared by: all of it, and each longer turn of the user, folded."""
    if isinstance(prompt, str):
        yield plain_text(prompt)
        return
    yield plain_text(prompt)
    for message in prompt:
        text = plain_text(message.get("content") or "") if message["role"] == "user" else ""
        if len(text) >= LEAST_TURN:
            yield text


def eval_prompts(names: tuple[str, ...]) -> Mapping[int, str]:
    """Hash of each text in eval files, with the file and line that it stands at first.

    A line is a JSON string, or an object with one of ``PROMPT_KEYS``: a string, messages, or a list of turns. Raises
    InputError where a file cannot be read or a line holds no prompt, UsageError for stdin.
    """
    if STDIN in names:
        raise UsageError("--against does not read stdin", "name a file")
    return _eval_prompts(names, tuple(stamp_of(source.name) for source in sources(names)))


@functools.lru_cache(maxsize=2)
def _eval_prompts(names: tuple[str, ...], _stamps: tuple[Stamp, ...]) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for source in sources(names):
        for text, where in _texts_in(source):
            found.setdefault(xxhash.xxh3_64_intdigest(text.encode()), where)
    if not found:
        raise InputError(f"{', '.join(names)}: there are no prompts in it", "check the path of --against")
    return found


def leaked(prompts: Sequence[Any], known: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Index of each of ``prompts`` that stands in an eval file, and where."""
    for index, prompt in enumerate(prompts):
        for text in texts_of(prompt):
            where = known.get(xxhash.xxh3_64_intdigest(text.encode()))
            if where is not None and text:
                yield index, where
                break


def _texts_in(source: Source) -> Iterator[tuple[str, str]]:
    for line in source.lines():
        raw = line.raw.removeprefix(BOM)
        if not raw.strip():
            continue
        where = f"{source.name}:{line.number}"
        try:
            row = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise InputError(f"{where} is not JSON", "--against takes JSONL: one prompt or row a line") from None
        prompt = row
        if isinstance(row, dict):
            prompt = next((row[key] for key in PROMPT_KEYS if row.get(key)), None)
            if isinstance(prompt, dict):
                prompt = prompt.get("messages") or prompt.get("text")
        texts = list(_texts_of_any(prompt))
        if not texts:
            raise InputError(
                f"{where} holds no prompt", f"--against looks for strings, or for one of {', '.join(PROMPT_KEYS)}"
            )
        yield from ((text, where) for text in texts)


def _texts_of_any(prompt: Any) -> Iterator[str]:
    """The texts to look for of a prompt in any of the usual shapes."""
    if isinstance(prompt, str):
        if prompt.strip():
            yield plain_text(prompt)
    elif isinstance(prompt, list) and prompt and all(isinstance(turn, str) for turn in prompt):
        yield plain_text(prompt[0])
        yield from (text for turn in prompt[1:] if len(text := plain_text(turn)) >= LEAST_TURN)
    elif isinstance(prompt, list) and prompt and all(isinstance(turn, dict) for turn in prompt):
        messages = [
            {"role": "user" if (role := turn.get("role", turn.get("from"))) in ASKERS else role, "content": content}
            for turn in prompt
            if isinstance(content := turn.get("content", turn.get("value")), str)
        ]
        while messages and messages[-1]["role"] != "user":
            messages.pop()
        yield from texts_of(messages) if messages else ()
