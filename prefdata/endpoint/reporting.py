"""What a run says while it goes: messages, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class CallCounts:
    """The calls of one run. Tokens are those that this run paid for."""

    made: int = 0
    reused: int = 0
    failed: int = 0
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    paid: float = 0.0
    """US dollars, by the price table."""
    saved: float = 0.0
    """US dollars that the reused answers would have cost."""
    unpriced: int = 0
    """Of the calls made, those whose price is not known; ``paid`` lacks them."""

    def add_usage(self, usage: Mapping[str, Any] | None) -> None:
        """Count the tokens of one paid call."""
        for name in ("prompt_tokens", "completion_tokens"):
            value = (usage or {}).get(name)
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)


class Reporter:
    """Says nothing; the command line's subclass prints."""

    def __init__(self) -> None:
        self._noted: set[str] = set()

    def note(self, message: str, about: str | None = None) -> None:
        """A message for the user; of those ``about`` one thing (the message itself, if not given) the first is said."""
        if (about or message) not in self._noted:
            self._noted.add(about or message)
            self.say(message)

    def say(self, message: str) -> None:
        """Print ``message``."""

    def begin(self, total: int | None) -> None:
        """Calls begin, for ``total`` lines of input where that is known."""

    def end(self) -> None:
        """The last call is done."""

    def progress(self, done: int, counts: CallCounts) -> None:
        """``done`` inputs are dealt with so far."""
