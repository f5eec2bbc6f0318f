"""Rows for tests: valid ones, broken ones, and strategies that make many of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st

ROLES = ("system", "developer", "user", "assistant", "tool")


def text(prompt: str = "2+2?", chosen: str = "4", rejected: str = "5", **more: Any) -> dict[str, Any]:
    """A pair of strings."""
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def turns(*contents: str, first: str = "user") -> list[dict[str, Any]]:
    """Messages of user and assistant in turn."""
    order = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"role": order[index % 2], "content": content} for index, content in enumerate(contents)]


def chat(
    prompt: list[dict[str, Any]] | None = None,
    chosen: list[dict[str, Any]] | None = None,
    rejected: list[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A pair of conversations."""
    return {
        "prompt": turns("2+2?") if prompt is None else prompt,
        "chosen": turns("4", first="assistant") if chosen is None else chosen,
        "rejected": turns("5", first="assistant") if rejected is None else rejected,
        **more,
    }


def write(path: Path, *rows: Any, end: bytes = b"\n") -> Path:
    """A file of lines: bytes as they are, anything else as JSON."""
    path.write_bytes(b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + end for row in rows))
    return path


def read(path: Path) -> list[Any]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


words = st.text(alphabet=st.sampled_from('ab é"\\\u2028\n:{日\x7f'), max_size=6)
"""Few and awkward characters, so that rows often agree in part."""

calls = st.lists(
    st.fixed_dictionaries(
        {
            "function": st.fixed_dictionaries(
                {"name": st.just("f"), "arguments": st.sampled_from([{}, {"a": 1}, '{"a": 1}', "a=1", "[1]"])}
            )
        },
        optional={"id": st.sampled_from(["c1", "c2", None]), "type": st.just("function")},
    ),
    min_size=1,
    max_size=2,
)
messages = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(ROLES), "content": words},
        optional={
            "name": st.sampled_from(["n", None]),
            "tool_call_id": st.sampled_from(["c1", "c2"]),
            "weight": st.just(0),
        },
    ),
    st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": calls}, optional={"content": st.none() | words}),
)
conversations = st.lists(messages, max_size=4)
whole = st.integers(-(2**63), 2**64 - 1)
"""Integers that fit into 64 bits: others are a fault of their own (SYN006)."""
extras: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(["one", "two"]),
    "margin": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
    "probability": st.none() | st.floats(0, 1),
    "metadata": st.none() | st.dictionaries(st.sampled_from(["a", "b\\", "c:"]), whole | words, max_size=2),
    "source": st.none() | words,
    "tools": st.none() | st.lists(st.fixed_dictionaries({"name": words}), max_size=1),
    "score_chosen": st.none() | st.floats(0, 1),
    "score_rejected": st.none() | st.floats(0, 1),
    "judgment_ids": st.none() | st.lists(words, max_size=2),
    "margn": st.just(1),
}
text_pairs = st.fixed_dictionaries({"prompt": words, "chosen": words, "rejected": words}, optional=extras)


MARKS = ["<|im_end|>", "[INST]", "</s>", "<s>", "\n\nHuman: ", "### Response:", "\x1b[1m", "\x7f", "\x85", "```", ","]
LETTERS = ["â€™", "Ã©", "\ufffd", "\u200b", "ﬁne", "fine", "e\u0301", "é", "中文的回答在这里", "K", "Столица Франции"]
PHRASES = [
    " the",
    "the",
    "  ",
    "I'm sorry, but I can't help",
    "As an AI I cannot",
    "It is four.",
    "it is Four. ",
    "Sum it up.",
    "Puedes guardarlas tres semanas, pero deben estar en un lugar fresco y no se pueden mojar.",
    "You can keep them for three weeks, but they should be in a cool place, and they must not be wet.",
]
signs = st.sampled_from([*MARKS, *LETTERS, *PHRASES])
"""Text that the rules over text and over contrast look for, and text that only looks like it."""
spoilt = st.lists(signs | words, max_size=4).map("".join)
spoilt_pairs = st.fixed_dictionaries(
    {"prompt": spoilt, "chosen": spoilt, "rejected": spoilt},
    optional={
        "score_chosen": st.sampled_from([0, 1, 2.5, None]),
        "score_rejected": st.sampled_from([0, 1, 2.5, None]),
        "probability": st.sampled_from([0, 0.3, 0.5, 1, None]),
    },
)


def as_chat_pair(row: dict[str, Any]) -> dict[str, Any]:
    """A pair of strings as conversations of one turn a side."""
    return {
        **row,
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }


@st.composite
def chat_pairs(draw: st.DrawFn) -> dict[str, Any]:
    """Conversations, whose completions often repeat the prompt or a part of it."""
    prompt, chosen, rejected = draw(conversations), draw(conversations), draw(conversations)
    for side in (chosen, rejected):
        if draw(st.booleans()):
            side[:0] = prompt[: draw(st.integers(0, len(prompt)))]
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        **draw(st.fixed_dictionaries({}, optional=extras)),
    }


pairs = st.one_of(text_pairs, chat_pairs())
