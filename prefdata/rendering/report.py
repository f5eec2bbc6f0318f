"""What became of every pair: kept, cut or dropped, by reason and id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prefdata.rendering.tokens import RenderedPair

REASONS = {
    "too-long": "prompt and completion are longer than --max-length or than the model reads",
    "prompt-too-long": "the prompt is longer than its limit, or leaves no room for a completion",
    "completion-too-long": "a completion is longer than its limit, or leaves no room for the prompt",
    "identical-tokens": "chosen and rejected are the same tokens once rendered",
    "identical-after-cut": "cutting to length left chosen and rejected the same",
    "nothing-trained": "a side has no token in the loss (no assistant turn after the prompt)",
    "nothing-trained-after-cut": "cutting to length left a side without a token in the loss",
    "unrenderable": "the chat template's rendering cannot be split into turns with certainty",
    "prompt-cut": "the prompt was cut from the left",
    "completion-cut": "a completion was cut from the right",
}
"""Every reason for which a pair is dropped or cut, in words."""


@dataclass(slots=True)
class RenderReport:
    """Counts of pairs and tokens; ``dropped`` and ``cut`` hold pair ids by a reason of ``REASONS``."""

    kept: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    cut: dict[str, list[str]] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    trained_tokens: int = 0
    """Completion tokens in the loss, both sides."""
    longest: int = 0
    errors: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Id, message and hint of the first pairs that could not be rendered."""

    @property
    def seen(self) -> int:
        """Pairs rendered or refused."""
        return self.kept + sum(len(ids) for ids in self.dropped.values())

    def keep(self, pair: RenderedPair, cut: str | None) -> None:
        """Count a pair that is trained on."""
        self.kept += 1
        if cut:
            self.cut.setdefault(cut, []).append(pair.id)
        self.prompt_tokens += len(pair.prompt_ids)
        self.completion_tokens += sum(len(side.ids) for side in pair.sides)
        self.trained_tokens += sum(side.trained for side in pair.sides)
        self.longest = max(self.longest, pair.length)

    def drop(self, id: str, reason: str) -> None:
        """Count a pair that is left out."""
        self.dropped.setdefault(reason, []).append(id)

    def summary(self) -> list[str]:
        """One line for each reason: how many pairs, why, and the first ids."""
        lines = []
        for verb, groups in (("dropped", self.dropped), ("cut", self.cut)):
            for reason, ids in groups.items():
                shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
                lines.append(f"{verb} {len(ids)}: {REASONS[reason]} [{reason}] ({shown})")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return {
            "kept": self.kept,
            "dropped": self.dropped,
            "cut": self.cut,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "trained_tokens": self.trained_tokens,
            "longest": self.longest,
            "errors": [list(error) for error in self.errors],
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> RenderReport:
        """The report that ``as_dict`` gave."""
        return cls(**{**document, "errors": [(id, message, hint) for id, message, hint in document["errors"]]})
