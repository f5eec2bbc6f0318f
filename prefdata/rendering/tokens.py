"""What rendering gives: token ids of a pair, each completion token with its turn and its part in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Record = Mapping[str, Any]


class Tokenizer(Protocol):
    """The part of a fast Hugging Face tokenizer that rendering uses."""

    @property
    def eos_token_id(self) -> int | None: ...

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def all_special_ids(self) -> Sequence[int]: ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]: ...

    @property
    def chat_template(self) -> Any: ...

    @property
    def is_fast(self) -> bool: ...

    def __call__(
        self, text: str, *, add_special_tokens: bool = True, return_offsets_mapping: bool = False
    ) -> Mapping[str, Any]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...

    def apply_chat_template(
        self,
        conversation: Sequence[Record],
        *,
        tools: Sequence[Record] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        **variables: Any,
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class RenderedSide:
    """What follows the prompt on one side; the three tuples are equally long."""

    ids: tuple[int, ...]
    turns: tuple[int, ...]
    """Index of each token's message among the messages after the prompt; 0 throughout for text."""
    in_loss: tuple[bool, ...]

    @property
    def trained(self) -> int:
        """Tokens in the loss."""
        return sum(self.in_loss)

    def first(self, length: int) -> RenderedSide:
        """The side cut to its first ``length`` tokens."""
        return RenderedSide(self.ids[:length], self.turns[:length], self.in_loss[:length])


@dataclass(frozen=True, slots=True)
class RenderedPair:
    """A pair as the model sees it: ``prompt_ids`` stand before either side."""

    id: str
    prompt_ids: tuple[int, ...]
    chosen: RenderedSide
    rejected: RenderedSide

    @property
    def sides(self) -> tuple[RenderedSide, RenderedSide]:
        """Chosen, then rejected."""
        return self.chosen, self.rejected

    @property
    def length(self) -> int:
        """Tokens of the longer sequence."""
        return len(self.prompt_ids) + max(len(side.ids) for side in self.sides)


def special_marks(tokenizer: Tokenizer) -> dict[int, str]:
    """Tokens that stand for a mark (end of turn, start of header) and not for text, by id."""
    named = set(tokenizer.all_special_ids)
    return {
        id: str(token)
        for id, token in tokenizer.added_tokens_decoder.items()
        if id in named or getattr(token, "special", False)
    }
