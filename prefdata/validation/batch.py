"""Rows of one form as columns, so that a rule can pass over a clean batch in a few calls into C.

Everything here only narrows down: a rule's ``check`` decides. A test holds screens to that on generated rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, compress
from operator import eq, itemgetter
from typing import Any

from prefdata.records.arrow import Form
from prefdata.validation.row import FIELDS, Messages, Row, as_chat, canonical_message, repeats

CONTENT = itemgetter("content")
ROLE = itemgetter("role")
PROMPT, CHOSEN, REJECTED = itemgetter("prompt"), itemgetter("chosen"), itemgetter("rejected")
INITIAL = {"system": "s", "developer": "d", "user": "u", "assistant": "a", "tool": "t"}
KNOWN = frozenset(FIELDS)


class Batch:
    """Rows that hold to the schema, all of one form, sides in canonical form."""

    form: Form

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.documents = documents
        self.prompts: list[Any] = list(map(PROMPT, documents))
        self.chosens: list[Any] = list(map(CHOSEN, documents))
        self.rejecteds: list[Any] = list(map(REJECTED, documents))
        self.trimmed: dict[int, int] = {}
        """Index of each row whose completions repeated the prompt, with the messages taken off."""

    def __len__(self) -> int:
        return len(self.documents)

    def row(self, index: int) -> Row:
        """One row of the batch, for a rule's check."""
        return Row(
            self.documents[index],
            self.form,
            self.prompts[index],
            self.chosens[index],
            self.rejecteds[index],
            self.trimmed.get(index, 0),
        )

    def all(self) -> range:
        """The indices of all rows: what a rule without a screen looks at."""
        return range(len(self.documents))

    def identical(self) -> list[int]:
        """Rows whose two sides are equal."""
        return self.where(map(eq, self.chosens, self.rejecteds))

    def unknown_fields(self) -> list[int]:
        """Rows with a key that a pair does not have."""
        documents = self.documents
        if sum(map(len, documents)) == 3 * len(documents):
            return []
        return [index for index, document in enumerate(documents) if not document.keys() <= KNOWN]

    def where(self, flags: Any) -> list[int]:
        """Indices of the true ones among ``flags``."""
        return list(compress(range(len(self.documents)), flags))


class TextBatch(Batch):
    """Pairs of strings."""

    form: Form = "text"

    def blank(self) -> list[int]:
        """Rows with a side that holds no text."""
        found: set[int] = set()
        for side in (self.prompts, self.chosens, self.rejecteds):
            if not all(map(str.strip, side)):
                found.update(index for index, text in enumerate(side) if not text.strip())
        return sorted(found)


class ChatBatch(Batch):
    """Pairs of conversations, with the messages of each side flat as well."""

    form: Form = "chat"

    def __init__(self, documents: list[dict[str, Any]], *, convert: bool = False) -> None:
        super().__init__(documents)
        if convert:
            for index, prompt in enumerate(self.prompts):
                if isinstance(prompt, str):
                    self.prompts[index], self.chosens[index], self.rejecteds[index] = as_chat(
                        prompt, self.chosens[index], self.rejecteds[index]
                    )
        self.given = _sides(self.prompts, self.chosens, self.rejecteds)
        """Messages as they were given, before keys that are not stored are left out."""
        self.plain = _canonicalise(self.prompts, self.chosens, self.rejecteds)
        """Whether every message holds a role and a text, and nothing else."""
        self.overlapping: list[int] = []
        """Rows of which a completion starts with the prompt's first message."""
        self._trim()
        self.messages: Messages = list(
            chain.from_iterable(map(chain.from_iterable, zip(self.prompts, self.chosens, self.rejecteds, strict=True)))
        )
        self.roles = "".join(map(INITIAL.__getitem__, map(ROLE, self.messages)))
        """One letter for each message, row by row: prompt, chosen, rejected."""
        self._bounds: list[int] | None = None

    def _trim(self) -> None:
        for index, prompt in enumerate(self.prompts):
            if not prompt:
                continue
            chosen, rejected, first = self.chosens[index], self.rejecteds[index], prompt[0]
            if (chosen and chosen[0] == first) or (rejected and rejected[0] == first):
                self.overlapping.append(index)
                if repeats(prompt, chosen) and repeats(prompt, rejected):
                    self.trimmed[index] = cut = len(prompt)
                    self.chosens[index], self.rejecteds[index] = chosen[cut:], rejected[cut:]

    def signatures(self) -> list[str]:
        """The roles of each row by their first letters: ``"su/a/a"``."""
        signatures, at, roles = [], 0, self.roles
        for prompt, chosen, rejected in zip(self.prompts, self.chosens, self.rejecteds, strict=True):
            first = at + len(prompt)
            second = first + len(chosen)
            end = second + len(rejected)
            signatures.append(f"{roles[at:first]}/{roles[first:second]}/{roles[second:end]}")
            at = end
        return signatures

    def blank(self) -> list[int]:
        """Rows with a message or side that holds no text, or no message at all."""
        found: set[int] = set()
        for side in (self.prompts, self.chosens, self.rejecteds):
            if not all(side):
                found.update(index for index, messages in enumerate(side) if not messages)
        if self.plain and all(map(str.strip, map(CONTENT, self.messages))):
            return sorted(found)
        found.update(
            index
            for index, row in enumerate(zip(self.prompts, self.chosens, self.rejecteds, strict=True))
            if not all((message.get("content") or "").strip() for side in row for message in side)
        )
        return sorted(found)

    def unplain(self) -> list[int]:
        """Rows with a message that holds more than a role and a text."""
        if self.plain:
            return []
        return [
            index
            for index, row in enumerate(zip(*self.given, strict=True))
            if any(len(message) != 2 or "content" not in message for side in row for message in side)
        ]


def _sides(*sides: list[Any]) -> tuple[list[Any], ...]:
    return tuple(list(side) for side in sides)


def _canonicalise(*sides: list[Sequence[Mapping[str, Any]]]) -> bool:
    """Put every message of ``sides`` into canonical form, in place; true where all of them were plain already."""
    plain = True
    for side in sides:
        lengths = set(map(len, chain.from_iterable(side)))
        if lengths <= {2}:
            try:
                for _ in map(CONTENT, chain.from_iterable(side)):
                    pass
            except KeyError:  # a role and tool calls, without content
                pass
            else:
                continue
        plain = False
        side[:] = [
            [m if len(m) == 2 and "content" in m else canonical_message(m) for m in messages] for messages in side
        ]
    return plain
