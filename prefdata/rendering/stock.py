"""A pair as stock TRL tokenises it for DPO, so that what it would train on can be seen and compared with ours.

TRL (1.16) renders or joins prompt and completion whole, takes for the completion what follows the longest prefix that
the tokens of the prompt alone have in common with both, puts all of it in the loss, and cuts sequences that are too
long at their end. tests/trainer/test_stock.py holds this file to TRL's own trainer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from prefdata.errors import RenderingError
from prefdata.rendering.tokens import Record, RenderedPair, RenderedSide, Tokenizer


@dataclass(frozen=True, slots=True)
class StockPair:
    """The pair as TRL sees it before it cuts, and what the prompt's own tokens have beyond the common prefix."""

    pair: RenderedPair
    lost: tuple[int, ...]
    """Tokens of the prompt alone that are not in the sequence: the model meets others in training."""

    def cut(self, length: int | None) -> RenderedPair | None:
        """The pair within ``length`` tokens; ``None`` where the prompt alone fills them, which TRL leaves out."""
        if length is None:
            return self.pair
        room = length - len(self.pair.prompt_ids)
        if room <= 0:
            return None
        return replace(self.pair, chosen=self.pair.chosen.first(room), rejected=self.pair.rejected.first(room))


def stock_pair(tokenizer: Tokenizer, row: Record) -> StockPair:
    """One pair (record of schema ``preference_pair``, canonical form) as TRL tokenises it.

    Raises RenderingError where the template refuses the conversation or the tokenizer has no EOS token.
    """
    if isinstance(row["prompt"], str):
        prompt, *wholes = _text(tokenizer, row)
    else:
        prompt, *wholes = _chat(tokenizer, row)
    length = min(_common(prompt, whole) for whole in wholes)
    sides = [_all_in_loss(whole[length:]) for whole in wholes]
    return StockPair(RenderedPair(row["id"], tuple(prompt[:length]), *sides), tuple(prompt[length:]))


def _text(tokenizer: Tokenizer, row: Record) -> list[list[int]]:
    if tokenizer.eos_token_id is None:
        raise RenderingError(
            "the tokenizer has no EOS token: the model would never learn to stop", "set eos_token in its configuration"
        )
    end = tokenizer.decode([tokenizer.eos_token_id])
    texts = [row["prompt"]]
    for side in ("chosen", "rejected"):
        texts.append(row["prompt"] + row[side] + ("" if row[side].endswith(end) else end))
    return [list(tokenizer(text)["input_ids"]) for text in texts]


def _chat(tokenizer: Tokenizer, row: Record) -> list[list[int]]:
    if not tokenizer.chat_template:
        raise RenderingError(
            "the tokenizer has no chat template, and the pair is a conversation",
            "train an instruct model, or pass a template: --chat-template FILE",
        )
    found = []
    for side in (None, "chosen", "rejected"):
        messages = [*row["prompt"], *(row[side] if side else ())]
        try:
            ids: Any = tokenizer.apply_chat_template(
                messages,
                tools=row.get("tools") or None,
                add_generation_prompt=side is None,
                tokenize=True,
                return_dict=True,
            )["input_ids"]
        except Exception as error:  # noqa: BLE001 - a template is somebody's program and may raise anything
            raise RenderingError(f"the chat template refuses the conversation: {error}") from None
        found.append(list(ids))
    return found


def _common(one: list[int], other: list[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _all_in_loss(ids: list[int]) -> RenderedSide:
    return RenderedSide(tuple(ids), (0,) * len(ids), (True,) * len(ids))
