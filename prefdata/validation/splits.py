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

from prefdata.validation.buckets import Buckets

if TYPE_CHECKING:
    from prefdata.validation.work import Done

TRAIN, EVAL = "train", "eval"
HASHES = "split"
"""The file in which a part leaves the hashes of its rows."""
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A shard that the parts left, or the rows of it that go into one split."""

    shard: str
    rows: int
    sha256: str
    """Of the whole shard."""
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
    """Shape (prompts, 2): XXH3-64 of each prompt's ``plain_text``, and of the user's first turn in it.

    The second is 0 for a string; for a prompt of one turn it is that of the turn.
    """
    hashes = [
        (xxhash.xxh3_64_intdigest(plain_text(prompt).encode()), 0 if isinstance(prompt, str) else _opening(prompt))
        for prompt in prompts
    ]
    return np.array(hashes, np.uint64).reshape(-1, 2)


def _opening(prompt: Sequence[Mapping[str, Any]]) -> int:
    first = next((message for message in prompt if message["role"] == "user"), None)
    return 0 if first is None else xxhash.xxh3_64_intdigest(plain_text(first.get("content") or "").encode())


def splits_of(
    parts: Sequence[Done], stay: Mapping[str, npt.NDArray[np.bool_]], sides: Mapping[str, npt.NDArray[np.bool_]] | None
) -> dict[str, list[Piece]]:
    """Which rows of which shards make up each split; splits and shards without rows are left out.

    ``stay`` says for each shard that lost rows which of them stay, ``sides`` for each shard which rows go to eval.
    """
    splits: dict[str, list[Piece]] = {}
    for name, rows, sha256 in (shard for part in parts for shard in part.shards):
        stays = stay.get(name)
        if sides is None:
            masks = {TRAIN: stays}
        else:
            held = np.ones(rows, np.bool_) if stays is None else stays
            masks = {TRAIN: held & ~sides[name], EVAL: held & sides[name]}
        for split, mask in masks.items():
            count = rows if mask is None else int(mask.sum())
            if count:
                splits.setdefault(split, []).append(Piece(name, count, sha256, mask))
    return {split: splits[split] for split in (TRAIN, EVAL) if split in splits}


def sides_of(
    parts: Sequence[Done], left: Path, gone: npt.NDArray[np.int64], eval_fraction: float
) -> tuple[dict[int, npt.NDArray[np.bool_]], int]:
    """For each part which of its rows go to eval: those whose hash is below the fraction of all hashes.

    ``gone`` are the places of rows that do not stay, among the rows of all parts. Also gives the number of rows of eval
    that open as a row of train does and go on for several turns.
    """
    limit, least, most = int(eval_fraction * 2**64), 2**64, -1
    for _, hashes, stays in _hashes(parts, left, gone):
        prompts = hashes[stays, 0]
        if len(prompts):
            least, most = min(least, int(prompts.min())), max(most, int(prompts.max()))
    if least < most:
        # A few prompts may all fall on one side; each side gets at least one.
        limit = min(max(limit, least + 1), most)
    sides: dict[int, npt.NDArray[np.bool_]] = {}

    def openings() -> Iterator[Hashes]:
        for part, hashes, stays in _hashes(parts, left, gone):
            side = hashes[:, 0] < np.uint64(limit)
            sides[part.number] = side
            asked = stays & (hashes[:, 1] != 0) & (~side | (hashes[:, 0] != hashes[:, 1]))
            yield np.column_stack((hashes[asked, 1], side[asked]))

    rows = sum(part.kept for part in parts)
    shared = 0
    buckets = Buckets(openings(), rows, 2, 0, left, "opening")
    for opening, side in (bucket.T for bucket in buckets):
        shared += int(np.isin(opening[side == 1], opening[side == 0]).sum())
    buckets.remove()
    return sides, shared


def _hashes(
    parts: Sequence[Done], left: Path, gone: npt.NDArray[np.int64]
) -> Iterator[tuple[Done, Hashes, npt.NDArray[np.bool_]]]:
    """For each part the hashes of its rows, and which of them stay."""
    first = 0
    for part in parts:
        hashes = np.fromfile(left / f"{part.number:06}.{HASHES}", np.uint64).reshape(-1, 2)
        stays = np.ones(len(hashes), np.bool_)
        stays[gone[slice(*np.searchsorted(gone, (first, first + len(hashes))))] - first] = False
        first += len(hashes)
        yield part, hashes, stays


def by_shard(parts: Sequence[Done], sides: Mapping[int, npt.NDArray[np.bool_]]) -> dict[str, npt.NDArray[np.bool_]]:
    """The sides of the rows of each shard, from those of each part."""
    found = {}
    for part in parts:
        at = 0
        for name, rows, _ in part.shards:
            found[name] = sides[part.number][at : at + rows]
            at += rows
    return found
