"""Rows of one form as columns, so that a rule can pass over a clean batch in a few calls into C.

What a batch says about its rows only narrows down: a rule's ``check`` decides. A test holds screens to that on
generated rows.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, chain, compress, pairwise
from operator import add, eq, itemgetter
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import xxhash

from prefdata.records.arrow import FlatMessages, Form
from prefdata.records.ids import ROLE_TAGS, message_hash
from prefdata.validation.refusals import refusals
from prefdata.validation.row import FIELDS, Row, as_chat, canonical_message, repeats
from prefdata.validation.scan import Scan

CONTENT, ROLE = itemgetter("content"), itemgetter("role")
SIDES = ("prompt", "chosen", "rejected")
INITIAL = {role: tag.decode() for role, tag in ROLE_TAGS.items()}
KNOWN = frozenset(FIELDS)
Numbers = npt.NDArray[np.int32]
SMALL = {sign: sign.lower() for sign in string.ascii_letters + string.digits}


class Batch:
    """Rows that hold to the schema, all of one form, sides in canonical form."""

    form: Form

    def __init__(
        self, documents: list[dict[str, Any]], raws: Sequence[bytes] | None = None, data: bytes | None = None
    ) -> None:
        self.documents = documents
        self._raws, self._data = raws, data
        self.prompts, self.chosens, self.rejecteds = self.sides = tuple(
            list(map(itemgetter(side), documents)) for side in SIDES
        )
        self.trimmed: dict[int, int] = {}
        """Index of each row whose completions repeated the prompt, with the messages taken off."""
        self._columns: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.documents)

    def row(self, index: int) -> Row:
        """One row of the batch, for a rule's check."""
        prompt, chosen, rejected = (side[index] for side in self.sides)
        return Row(self.documents[index], self.form, prompt, chosen, rejected, self.trimmed.get(index, 0))

    def all(self) -> range:
        """The indices of all rows: what a rule without a screen looks at."""
        return range(len(self.documents))

    def where(self, flags: Iterable[Any]) -> list[int]:
        """Indices of the true ones among ``flags``."""
        return list(compress(range(len(self.documents)), flags))

    @cached_property
    def scan(self) -> Scan:
        """The rows as bytes: as they were given, or (for rows that come from no file) as JSON."""
        raws = self._raws if self._raws is not None else [json.dumps(document).encode() for document in self.documents]
        data = self._data if self._data is not None else b"\n".join(raws) + b"\n"
        return Scan(data, raws)

    @cached_property
    def answers(self) -> tuple[list[str], list[str]]:
        """What chosen and rejected say last, as far as it is text."""
        raise NotImplementedError

    @cached_property
    def questions(self) -> list[str]:
        """What the prompt says last, as far as it is text."""
        raise NotImplementedError

    @cached_property
    def openings(self) -> tuple[list[str], list[str]]:
        """What chosen and rejected say first, as far as it is text."""
        return self.answers

    @cached_property
    def fields(self) -> set[str]:
        """Every key that some row has."""
        return set(chain.from_iterable(self.documents))

    def column(self, name: str) -> list[Any]:
        """What each row has under a key; ``None`` where it has none."""
        if name not in self._columns:
            self._columns[name] = [document.get(name) for document in self.documents]
        return self._columns[name]

    @cached_property
    def initials(self) -> tuple[list[str | None], list[str | None]]:
        """With which letter or digit of ASCII, made small, both answers begin; ``None`` where it is something else."""
        one, other = ([SMALL.get(text[:1]) for text in answers] for answers in self.answers)
        return one, other

    @cached_property
    def refusals(self) -> tuple[list[int], list[int]]:
        """The rows whose chosen answer is a refusal, and those whose rejected one is."""
        one, other = map(refusals, self.answers)
        return one, other

    @cached_property
    def bare(self) -> bool:
        """Whether every row has its three sides and nothing else."""
        return len(self.fields) == len(SIDES)

    def identical(self) -> list[int]:
        """Rows whose two sides are equal."""
        return self.where(map(eq, self.chosens, self.rejecteds))

    def unknown_fields(self) -> list[int]:
        """Rows with a key that a pair does not have."""
        return [] if self.fields <= KNOWN else self.where(not document.keys() <= KNOWN for document in self.documents)

    def message_keys(self) -> int | None:
        """Keys of all messages as they were given, together; ``None`` where one has not just a role and a text."""
        raise NotImplementedError

    @cached_property
    def hashes(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The hash of each side, as ``prefdata.records.ids.side_hash`` makes it."""
        raise NotImplementedError

    @cached_property
    def characters(self) -> Numbers:
        """Shape (3, rows): how many characters prompt, chosen and rejected hold."""
        raise NotImplementedError

    def columns(self, kept: Sequence[bool] | None) -> dict[str, Any]:
        """The three sides of the ``kept`` rows (of all with ``None``), as a shard takes them."""
        raise NotImplementedError


class TextBatch(Batch):
    """Pairs of strings."""

    form: Form = "text"

    @cached_property
    def answers(self) -> tuple[list[str], list[str]]:
        return self.chosens, self.rejecteds

    @cached_property
    def questions(self) -> list[str]:
        return self.prompts

    @cached_property
    def blank(self) -> list[int]:
        """Rows with a side that holds no text."""
        found: set[int] = set()
        for side in self.sides:
            if not all(side) or any(map(str.isspace, side)):
                found.update(index for index, text in enumerate(side) if not text.strip())
        return sorted(found)

    def message_keys(self) -> int | None:
        return 0

    @cached_property
    def _utf8(self) -> list[list[bytes]]:
        return [list(map(str.encode, side)) for side in self.sides]

    @cached_property
    def hashes(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        prompts, chosens, rejecteds = (list(map(xxhash.xxh3_128_digest, side)) for side in self._utf8)
        return prompts, chosens, rejecteds

    @cached_property
    def characters(self) -> Numbers:
        return np.array([list(map(len, side)) for side in self.sides], np.int32)

    def columns(self, kept: Sequence[bool] | None) -> dict[str, Any]:
        return {
            name: side if kept is None else list(compress(side, kept))
            for name, side in zip(SIDES, self._utf8, strict=True)
        }


class ChatBatch(Batch):
    """Pairs of conversations, with the messages of each side laid end to end as well."""

    form: Form = "chat"

    def __init__(
        self,
        documents: list[dict[str, Any]],
        raws: Sequence[bytes] | None = None,
        data: bytes | None = None,
        *,
        convert: bool = False,
    ) -> None:
        super().__init__(documents, raws, data)
        made = 3 * self._convert() if convert else 0
        self._given = tuple(map(list, self.sides))
        self.flat = tuple(_flat(side) for side in self.sides)
        """For each side its messages, laid end to end; ``whole`` tells whether any holds more than role and text."""
        self.plain = all(flat.whole is None for flat in self.flat)
        self._given_messages = sum(len(flat.roles) for flat in self.flat) - made
        self.overlapping: list[int] = []
        """Rows of which a completion starts with the prompt's first message."""
        self._trim()

    def _convert(self) -> int:
        """Turn strings into messages; gives the number of rows that held strings."""
        texts = [index for index, prompt in enumerate(self.prompts) if isinstance(prompt, str)]
        for index in texts:
            for side, messages in zip(self.sides, as_chat(*(side[index] for side in self.sides)), strict=True):
                side[index] = messages
        return len(texts)

    def _trim(self) -> None:
        """Take the prompt off completions that both repeat it."""
        for index, (prompt, chosen, rejected) in enumerate(zip(*self.sides, strict=True)):
            if not prompt:
                continue
            first = prompt[0]
            if (chosen and chosen[0] == first) or (rejected and rejected[0] == first):
                self.overlapping.append(index)
                if repeats(prompt, chosen) and repeats(prompt, rejected):
                    self.trimmed[index] = cut = len(prompt)
                    self.chosens[index], self.rejecteds[index] = chosen[cut:], rejected[cut:]
        if self.trimmed:
            self.flat = (self.flat[0], _flat(self.chosens), _flat(self.rejecteds))

    @cached_property
    def answers(self) -> tuple[list[str], list[str]]:
        return self._last(1), self._last(2)

    @cached_property
    def questions(self) -> list[str]:
        return self._last(0)

    @cached_property
    def openings(self) -> tuple[list[str], list[str]]:
        if all(flat.single for flat in self.flat[1:]):
            return self.answers
        one, other = (
            [(messages[0].get("content") or "") if messages else "" for messages in side] for side in self.sides[1:]
        )
        return one, other

    def _last(self, side: int) -> list[str]:
        """The text of each conversation's last message, "" where there is none."""
        flat = self.flat[side]
        if flat.whole is None and all(flat.counts):
            contents: Any = flat.contents
            return list(contents) if flat.single else [contents[end - 1] for end in accumulate(flat.counts)]
        return [(messages[-1].get("content") or "") if messages else "" for messages in self.sides[side]]

    @cached_property
    def signatures(self) -> list[str]:
        """The roles of each row by their first letters: ``"su/a/a"``."""
        sides = []
        for flat in self.flat:
            letters = list(map(INITIAL.__getitem__, flat.roles))
            if not flat.single:
                together = "".join(letters)
                letters = [together[start:end] for start, end in pairwise(accumulate(flat.counts, initial=0))]
            sides.append(letters)
        return list(map("/".join, zip(*sides, strict=True)))

    @cached_property
    def blank(self) -> list[int]:
        """Rows with a message that holds no text, or a side that holds no message."""
        found: set[int] = set()
        for flat in self.flat:
            if not all(flat.counts):
                found.update(index for index, count in enumerate(flat.counts) if not count)
            texts: Any = flat.contents if flat.whole is None else [content or "" for content in flat.contents]
            if not all(texts) or any(map(str.isspace, texts)):
                empty = [index for index, text in enumerate(texts) if not text.strip()]
                found.update(np.searchsorted(np.cumsum(flat.counts), empty, side="right").tolist())
        return sorted(found)

    @cached_property
    def unplain(self) -> list[int]:
        """Rows with a message that holds more than a role and a text."""
        if self.plain:
            return []
        return self.where(
            any(len(message) != 2 or "content" not in message for side in row for message in side)
            for row in zip(*self._given, strict=True)
        )

    def message_keys(self) -> int | None:
        return 2 * self._given_messages if self.plain else None

    @cached_property
    def hashes(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        prompts, chosens, rejecteds = map(_hashes, self._encoded)
        return prompts, chosens, rejecteds

    @cached_property
    def _encoded(self) -> list[FlatMessages]:
        return [
            flat
            if flat.whole is not None
            else replace(flat, utf8=list(map(str.encode, cast(list[str], flat.contents))))
            for flat in self.flat
        ]

    @cached_property
    def characters(self) -> Numbers:
        return np.stack([_characters(flat) for flat in self.flat])

    @cached_property
    def turns(self) -> Numbers:
        """Shape (3, rows): how many messages prompt, chosen and rejected hold."""
        return np.array([flat.counts for flat in self.flat], np.int32)

    def columns(self, kept: Sequence[bool] | None) -> dict[str, Any]:
        return dict(zip(SIDES, (flat if kept is None else _kept(flat, kept) for flat in self._encoded), strict=True))


def _flat(conversations: list[list[Mapping[str, Any]]]) -> FlatMessages:
    """Conversations laid end to end; where one holds a message that is not plain, all are put into canonical form."""
    messages = list(chain.from_iterable(conversations))
    counts = list(map(len, conversations))
    if set(map(len, messages)) <= {2}:
        try:
            contents = list(map(CONTENT, messages))
        except KeyError:  # a role and tool calls, without content
            contents = [None]
        if set(map(type, contents)) <= {str}:
            return FlatMessages(list(map(ROLE, messages)), contents, counts)
    conversations[:] = [
        [m if len(m) == 2 and "content" in m else canonical_message(m) for m in conversation]
        for conversation in conversations
    ]
    return FlatMessages.of(conversations, plain=False)


def _kept(flat: FlatMessages, kept: Sequence[bool]) -> FlatMessages:
    of_message = np.repeat(np.asarray(kept, np.bool_), flat.counts).tolist()
    return FlatMessages(
        list(compress(flat.roles, of_message)),
        list(compress(flat.contents, of_message)),
        list(compress(flat.counts, kept)),
        None if flat.whole is None else list(compress(flat.whole, of_message)),
        None if flat.utf8 is None else list(compress(flat.utf8, of_message)),
    )


def _hashes(flat: FlatMessages) -> list[bytes]:
    """The hash of each conversation: ``side_hash`` in loops in C."""
    digest: Callable[[Any], bytes] = xxhash.xxh3_128_digest
    if flat.whole is None and flat.utf8 is not None:
        of_messages = list(map(add, map(ROLE_TAGS.__getitem__, flat.roles), map(digest, flat.utf8)))
    else:
        assert flat.whole is not None
        of_messages = list(map(message_hash, flat.whole))
    if flat.single:
        return list(map(digest, of_messages))
    size = len(ROLE_TAGS["user"]) + len(digest(b""))
    together, ends = b"".join(of_messages), accumulate(flat.counts, initial=0)
    return [digest(together[size * start : size * end]) for start, end in pairwise(ends)]


def _characters(flat: FlatMessages) -> Numbers:
    texts: Any = flat.contents if flat.whole is None else [content or "" for content in flat.contents]
    lengths = np.fromiter(map(len, texts), np.int32, len(texts))
    if flat.single:
        return lengths
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    edges = ends[np.cumsum([0, *flat.counts])]
    return np.asarray(edges[1:] - edges[:-1], np.int32)
