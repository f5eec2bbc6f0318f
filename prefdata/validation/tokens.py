"""Rows as the trainer will tokenise them: what rules over tokens look at, what is counted, and what is previewed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from prefdata.errors import RenderingError
from prefdata.rendering import Limits, RenderedPair, Renderer, Tokenizer
from prefdata.rendering.loading import load_tokenizer
from prefdata.rendering.preview import Preview
from prefdata.rendering.stock import StockPair, stock_pair
from prefdata.rendering.tokens import special_marks
from prefdata.validation.row import Row
from prefdata.validation.statistics import Distribution

Trainer = Literal["prefdata", "trl"]
TRAINERS: tuple[Trainer, ...] = ("prefdata", "trl")


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Whose tokens are looked at."""

    tokenizer: str
    """Folder or name of the model."""
    max_length: int | None = None
    """Tokens of prompt and completion together."""
    trainer: Trainer = "prefdata"
    """``prefdata`` masks all but the assistant's turns and leaves pairs out that are too long, as ``train dpo`` does;
    ``trl`` trains on all that follows the prompt and cuts the end off."""
    chat_template: str | None = None
    """File of a template to use in place of the model's own."""


@functools.cache
def _loaded(name: str, chat_template: str | None) -> tuple[Tokenizer, dict[int, str]]:
    tokenizer = load_tokenizer(name, chat_template)
    return tokenizer, special_marks(tokenizer)


def tokenizer_of(settings: TokenSettings) -> Tokenizer:
    """The tokenizer, loaded once for each process; raises as ``load_tokenizer`` does."""
    return _loaded(settings.tokenizer, settings.chat_template)[0]


class Tokens:
    """One row as the trainer sees it. Nothing is rendered before it is asked for."""

    def __init__(self, row: Row, settings: TokenSettings) -> None:
        self.row = row
        self.settings = settings
        self.tokenizer, self.marks = _loaded(settings.tokenizer, settings.chat_template)
        self.error: RenderingError | None = None

    @cached_property
    def record(self) -> dict[str, Any]:
        """The row as rendering takes it."""
        row = self.row
        sides = {"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
        return {"id": str(row.document.get("id") or ""), **sides, "tools": row.document.get("tools") or []}

    @cached_property
    def stock(self) -> StockPair | None:
        """The pair as stock TRL tokenises it; ``None`` where it cannot."""
        try:
            return stock_pair(self.tokenizer, self.record)
        except RenderingError as error:
            self.error = self.error or error
            return None

    @cached_property
    def whole(self) -> RenderedPair | None:
        """The pair as the trainer tokenises it, before any limit; ``None`` where it cannot (see ``error``)."""
        if self.settings.trainer == "trl":
            return self.stock.pair if self.stock is not None else None
        try:
            return Renderer(self.tokenizer).pair(self.record)
        except RenderingError as error:
            self.error = error
            return None

    @cached_property
    def trained(self) -> tuple[RenderedPair | None, str | None]:
        """What is trained on within the limit; where it is nothing, why (a reason of ``prefdata.rendering.report``)."""
        whole, length = self.whole, self.settings.max_length
        if whole is None:
            return None, "unrenderable"
        if self.settings.trainer == "prefdata":
            return Limits(total=length).apply(whole, self.tokenizer.bos_token_id)
        assert self.stock is not None
        cut = self.stock.cut(length)
        if cut is None:
            return None, "prompt-too-long"
        if cut.chosen.ids == cut.rejected.ids:
            return None, "identical-tokens" if cut == whole else "identical-after-cut"
        return cut, None if cut == whole else "completion-cut"

    @cached_property
    def texts(self) -> list[str]:
        """The whole conversation as the template writes it, for chosen and for rejected."""
        prompt = self.row.prompt
        return [
            str(
                self.tokenizer.apply_chat_template(
                    [*prompt, *side], tools=self.record["tools"] or None, add_generation_prompt=False, tokenize=False
                )
            )
            for _, side in self.row.completions()
        ]


COUNTED = ("prompt", "completion", "trained", "masked", "signal")


@dataclass(slots=True)
class TokenCounts:
    """How often each number of tokens occurs among rows, in memory that grows with the different numbers only."""

    counts: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    untrained: Counter[str] = field(default_factory=Counter)
    """Rows that the trainer would leave out, by the reason."""

    def add(self, tokens: Tokens) -> None:
        """Count one row, as the trainer sees it within the limit."""
        pair, reason = tokens.trained
        if pair is None:
            self.untrained[reason or "unrenderable"] += 1
            return
        whole = sum(len(side.ids) for side in pair.sides)
        trained = sum(side.trained for side in pair.sides)
        numbers = (len(pair.prompt_ids), whole, trained, whole - trained, signal(pair))
        for name, number in zip(COUNTED, numbers, strict=True):
            self.counts[name][number] += 1

    def merge(self, other: TokenCounts) -> None:
        """Add the counts of another part of the input."""
        for name in COUNTED:
            self.counts[name].update(other.counts[name])
        self.untrained.update(other.untrained)

    def document(self, settings: TokenSettings) -> dict[str, Any]:
        """The counts as a report holds them, with whose tokens they are.

        ``completion``, ``trained`` and ``masked`` are of both sides of a pair together; ``signal`` are those in the
        loss from where the sides part on.
        """
        return {
            "tokenizer": settings.tokenizer,
            "trainer": settings.trainer,
            "max_length": settings.max_length,
            "pairs": sum(self.counts["prompt"].values()),
            "left_out": dict(sorted(self.untrained.items())),
            **{name: Distribution.of(self.counts[name]).summary() for name in COUNTED},
        }


def signal(pair: RenderedPair) -> int:
    """Tokens in the loss from where the sides part on: those on which the preference depends.

    What both sides begin with has the same log-probability on both, and cancels.
    """
    one, other = pair.sides
    shared = next(
        (at for at, (a, b) in enumerate(zip(one.ids, other.ids, strict=False)) if a != b),
        min(len(one.ids), len(other.ids)),
    )
    return sum(one.in_loss[shared:]) + sum(other.in_loss[shared:])


def preview_of(row: Row, id: str, settings: TokenSettings) -> tuple[Preview | None, str | None]:
    """Which tokens of a row the trainer would train on; or ``None``, and why it would train on none."""
    tokens = Tokens(row, settings)
    pair, reason = tokens.trained
    if pair is None:
        return None, tokens.error.message if tokens.error is not None else reason
    named = RenderedPair(id, pair.prompt_ids, pair.chosen, pair.rejected)
    return Preview.of(named, tokens.tokenizer), reason


def messages_of(row: Row) -> Iterator[tuple[str, Any]]:
    """Every message of a conversation with its JSON pointer."""
    for side in ("prompt", "chosen", "rejected"):
        for index, message in enumerate(getattr(row, side)):
            yield row.pointer(side, index), message
