"""The nouns: frozen, typed, and without behaviour beyond their invariants.

Content is either plain text (``str``) or a conversation (a tuple of messages); the two train differently and are never
turned into each other unless the user asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Json: TypeAlias = Any
"""A value that JSON can hold."""

Metadata: TypeAlias = Mapping[str, Json]

JudgeKind = Literal["human", "llm", "rule", "reward"]
Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``content`` may be ``None`` only where ``tool_calls`` says what the turn did."""

    role: str
    content: str | None = None
    tool_calls: tuple[Mapping[str, Json], ...] = ()
    """OpenAI's shape: ``{"id", "type": "function", "function": {"name", "arguments"}}``."""
    tool_call_id: str | None = None
    name: str | None = None


Conversation: TypeAlias = tuple[Message, ...]
Content: TypeAlias = str | Conversation


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a response answers: plain text, or the shared context of a conversation."""

    id: str
    content: Content
    reference: tuple[str, ...] = ()
    """Known good answers, for rules and reference-guided judges."""
    tools: tuple[Mapping[str, Json], ...] = ()
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """One candidate: what follows the prompt, as text or as a trajectory of messages."""

    id: str
    content: Content
    model: str | None = None
    parameters: Metadata = field(default_factory=dict)
    usage: Metadata = field(default_factory=dict)
    finish_reason: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResponseSet:
    """One prompt and its N candidate responses, whose ids differ."""

    id: str
    prompt: Prompt
    responses: tuple[Response, ...]
    failures: tuple[Mapping[str, Json], ...] = ()
    """Calls that gave no answer: never counted as responses, never forgotten."""

    def __post_init__(self) -> None:
        if len({response.id for response in self.responses}) != len(self.responses):
            raise ValueError(f"response set {self.id}: two responses share an id")


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judged. ``template_sha256`` is the hash of the very template that was sent."""

    kind: JudgeKind
    name: str
    version: str | None = None
    template_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Judgment:
    """One act of judging, in one shown order, already un-swapped.

    ``ranking`` holds response ids in tiers, best first; ids in one tier are tied. It is ``None`` where no verdict could
    be read, and ``flags`` then says why.
    """

    id: str
    response_set_id: str
    shown: tuple[str, ...]
    ranking: tuple[tuple[str, ...], ...] | None
    judge: Judge
    flags: tuple[str, ...] = ()
    strength: float | None = None
    probability: float | None = None
    """P(the first shown response is the better one), in [0, 1], where the judge gives it."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Overall scores by response id."""
    criterion: str | None = None
    """What was judged, where it was one quality and not the whole."""
    ratings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Scores by response id, then by criterion."""
    rationale: str | None = None
    usage: Metadata = field(default_factory=dict)
    raw: str | None = None
    order: int | None = None
    """0 where the responses were shown in the order of their set, 1 where they were swapped."""
    created_at: str | None = None
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ranking is not None:
            ranked = [id for tier in self.ranking for id in tier]
            if sorted(ranked) != sorted(self.shown):
                raise ValueError(f"judgment {self.id}: the ranking does not hold exactly the responses shown")


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt and what followed it twice: better and worse. Completions hold only what comes after the prompt."""

    id: str
    prompt: Content
    chosen: Content
    rejected: Content
    tools: tuple[Mapping[str, Json], ...] = ()
    margin: float | None = None
    probability: float | None = None
    """P(chosen is the better one) by the judges, in [0, 1], where they give it."""
    judgment_ids: tuple[str, ...] = ()
    source: str | None = None
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.chosen == self.rejected:
            raise ValueError(f"pair {self.id}: chosen and rejected are the same")


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to a row: the value at a JSON pointer set, added or removed; or some bytes of its line replaced."""

    pointer: str = ""
    value: Json = None
    remove: bool = False
    """The value (and in an object its key) goes."""
    span: tuple[int, int] | None = None
    """Bytes of the raw line that the text ``value`` takes the place of; the pointer is then not looked at."""


@dataclass(frozen=True, slots=True)
class Fix:
    """How a finding can be mended by a machine; all edits together, in this order."""

    what: str
    """What is done, as in "remove the byte-order mark"."""
    edits: tuple[Edit, ...]
    safe: bool = True
    """Whether the row surely means the same afterwards."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a rule saw, and where. ``line`` counts from 1, ``byte`` from 0 in the decompressed file."""

    code: str
    severity: Severity
    message: str
    file: str | None = None
    line: int | None = None
    byte: int | None = None
    json_path: str = ""
    """A JSON pointer (RFC 6901) into the row; empty for the whole row."""
    hint: str | None = None
    fix: Fix | None = None
