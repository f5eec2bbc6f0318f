"""Train and eval: each prompt with all its pairs on one side, by a hash of its text.

The hash decides alone: the same prompt falls on the same side in every run, on every machine and in every version of
a data set, whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash

if TYPE_CHECKING:
    from prefdata.validation.work import Done

TRAIN, EVAL = "train", "eval"
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A shard that the parts left, or the rows of it that go into one split."""

    shard: str
    rows: int
    stay: npt.NDArray[np.bool_] | None = None
    """Which of its rows; all with ``None``."""


def plain_text(prompt: Any) -> str:
    """A prompt's text as prompts are compared: case folded, each run of white space one space, no matter whether
    the prompt is a string or one user's turn.

    >>> plain_text("  What is\\n2+2? "), plain_text([{"role": "user", "content": "what IS 2+2?"}])
    ('what is 2+2?', 'what is 2+2?')
    """
    if isinstance(prompt, str):
        return " ".join(prompt.casefold().split())
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return plain_text(prompt[0].get("content") or "")
    return "\x1e".join(f"{message['role']}\x1f{plain_text(message.get('content') or '')}" for message in prompt)


def split_hashes(prompts: Iterable[Any]) -> Hashes:
    """XXH3-64 of each prompt's ``plain_text``."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, map(plain_text, prompts))), np.uint64)


def splits_of(
    parts: Sequence[Done], left: Path, stay: Mapping[str, npt.NDArray[np.bool_]], eval_fraction: float
) -> dict[str, list[Piece]]:
    """Which rows of which shards make up each split; splits and shards without rows are left out.

    ``stay`` says for each shard that lost rows which of them stay.
    """
    sides = _sides(parts, left, stay, eval_fraction) if eval_fraction else None
    splits: dict[str, list[Piece]] = {}
    for name, rows in (shard for part in parts for shard in part.shards):
        stays = stay.get(name)
        if sides is None:
            masks = {TRAIN: stays}
        else:
            held = np.ones(rows, np.bool_) if stays is None else stays
            masks = {TRAIN: held & ~sides[name], EVAL: held & sides[name]}
        for split, mask in masks.items():
            count = rows if mask is None else int(mask.sum())
            if count:
                splits.setdefault(split, []).append(Piece(name, count, mask))
    return {split: splits[split] for split in (TRAIN, EVAL) if split in splits}


def _sides(
    parts: Sequence[Done], left: Path, stay: Mapping[str, npt.NDArray[np.bool_]], eval_fraction: float
) -> dict[str, npt.NDArray[np.bool_]]:
    """For each shard which of its rows go to eval: those whose hash is below the fraction of all hashes."""
    hashes = dict(_hashes(parts, left))
    held = [rows if stay.get(name) is None else rows[stay[name]] for name, rows in hashes.items()]
    prompts = np.unique(np.concatenate(held)) if held else np.empty(0, np.uint64)
    limit = int(eval_fraction * 2**64)
    if len(prompts) > 1:
        # A few prompts may all fall on one side; each side gets at least one.
        limit = min(max(limit, int(prompts[0]) + 1), int(prompts[-1]))
    return {name: rows < np.uint64(limit) for name, rows in hashes.items()}


def _hashes(parts: Sequence[Done], left: Path) -> Iterator[tuple[str, Hashes]]:
    for part in parts:
        hashes = np.fromfile(left / f"{part.number:06}.split", np.uint64)
        at = 0
        for name, rows in part.shards:
            yield name, hashes[at : at + rows]
            at += rows
