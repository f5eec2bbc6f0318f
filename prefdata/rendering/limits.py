"""Lengths that a pair may have, and the named policy for pairs that are longer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from prefdata.rendering.tokens import RenderedPair

Truncation = Literal["drop", "cut-prompt", "cut-completion"]
TRUNCATIONS: tuple[Truncation, ...] = ("drop", "cut-prompt", "cut-completion")


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum tokens of prompt + completion, of the prompt, and of a completion; None for no limit.

    ``drop`` leaves a longer pair out; ``cut-prompt`` cuts prompts from the left (BOS stays) and leaves out what is then
    still too long; ``cut-completion`` cuts completions from the right, so that a cut side loses its EOS.
    """

    total: int | None = None
    prompt: int | None = None
    completion: int | None = None
    truncation: Truncation = "drop"

    def apply(self, pair: RenderedPair, bos: int | None) -> tuple[RenderedPair | None, str | None]:
        """The pair within the limits and what was cut (or None), or no pair and the reason it must be dropped."""
        fitted, reason = self._fit(pair, bos)
        if fitted is None:
            return None, reason
        if fitted.chosen.ids == fitted.rejected.ids:
            return None, "identical-after-cut" if reason else "identical-tokens"
        if not all(side.trained for side in fitted.sides):
            return None, "nothing-trained-after-cut" if reason else "nothing-trained"
        return fitted, reason

    def _fit(self, pair: RenderedPair, bos: int | None) -> tuple[RenderedPair | None, str | None]:
        prompt, longest = len(pair.prompt_ids), max(len(side.ids) for side in pair.sides)
        cut = None
        if self.completion is not None and longest > self.completion:
            if self.truncation != "cut-completion":
                return None, "completion-too-long"
            longest, cut = self.completion, "completion-cut"
        allowed = min(
            prompt if self.prompt is None else self.prompt, prompt if self.total is None else self.total - longest
        )
        if prompt > allowed:
            if self.truncation == "cut-prompt":
                if allowed < 1:
                    return None, "completion-too-long"
                return replace(pair, prompt_ids=_right_end(pair.prompt_ids, allowed, bos)), "prompt-cut"
            if self.prompt is not None and prompt > self.prompt:
                return None, "prompt-too-long"
            if self.truncation == "drop":
                return None, "too-long"
            assert self.total is not None
            longest, cut = self.total - prompt, "completion-cut"
            if longest < 1:
                return None, "prompt-too-long"
        if cut:
            pair = replace(pair, chosen=pair.chosen.first(longest), rejected=pair.rejected.first(longest))
        return pair, cut


def _right_end(ids: tuple[int, ...], length: int, bos: int | None) -> tuple[int, ...]:
    """The last ``length`` ids, of which the first is BOS where the whole began with it.

    >>> _right_end((0, 1, 2, 3, 4), 3, bos=0)
    (0, 3, 4)
    >>> _right_end((1, 2, 3, 4), 3, bos=0)
    (2, 3, 4)
    """
    if ids[0] == bos and length > 1:
        return (ids[0], *ids[len(ids) - length + 1 :])
    return ids[len(ids) - length :]
