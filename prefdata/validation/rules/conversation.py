"""CNV: how a conversation is built. Most rules look at roles alone, and remember what they said of a pattern."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from prefdata.types import Edit, Fix
from prefdata.validation.batch import Batch, ChatBatch
from prefdata.validation.findings import parting_of
from prefdata.validation.registry import Hit, row_rule
from prefdata.validation.row import Row

NAMES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}
SIDES = ("prompt", "chosen", "rejected")
PATTERNS_KNOWN = 65536
_REGULAR: set[str] = set()
"""Patterns of roles that are known to be in order."""


class Place(NamedTuple):
    """A message of a row by its side and index, and what is said of it."""

    side: str
    at: int
    message: str


def chat(prompt: bytes, chosen: bytes, rejected: bytes) -> bytes:
    """An example line."""
    return b'{"prompt": [%b], "chosen": [%b], "rejected": [%b]}' % (prompt, chosen, rejected)


def turn(role: str, content: str) -> bytes:
    """An example message."""
    return orjson.dumps({"role": role, "content": content})


ASK, FOUR, FIVE = turn("user", "2+2?"), turn("assistant", "4"), turn("assistant", "5")
HI, HELLO, BRIEF = turn("user", "Hi"), turn("assistant", "Hello!"), turn("system", "Be brief.")
GOOD = chat(ASK, FOUR, FIVE)


def signature_of(row: Row) -> str:
    """The roles of a row by their first letters: ``"su/a/a"``."""
    return "/".join("".join(message["role"][0] for message in getattr(row, side)) for side in SIDES)


def _hits(row: Row, places: tuple[Place, ...]) -> Iterator[Hit]:
    for side, at, message in places:
        yield Hit(row.pointer(side, at), message)


@row_rule(
    "CNV001",
    "prompt-not-shared",
    message="chosen and rejected do not both start with the prompt",
    hint="either both repeat every message of the prompt, or both hold only what follows it",
    why="""Both answers must continue the same context. Where one side repeats the prompt and the other does not, or
    repeats it with a change, the sides differ before the answer starts, and training rewards that difference too.""",
    bad=chat(HI + b", " + HELLO + b", " + ASK, HI + b", " + HELLO + b", " + ASK + b", " + FOUR, HI + b", " + FIVE),
    good=chat(
        HI + b", " + HELLO + b", " + ASK,
        HI + b", " + HELLO + b", " + ASK + b", " + FOUR,
        HI + b", " + HELLO + b", " + ASK + b", " + FIVE,
    ),
    guard=True,
    screen=lambda batch: batch.overlapping if batch.form == "chat" else (),
)
def prompt_not_shared(row: Row) -> Iterator[Hit]:
    if row.form != "chat" or row.trimmed or not row.prompt:
        return
    shared = {side: _shared(row.prompt, messages) for side, messages in row.completions()}
    whole = [side for side, count in shared.items() if count == len(row.prompt)]
    for side, messages in row.completions():
        count = shared[side]
        if side in whole or not messages:
            continue
        if whole:
            yield _parting(row, side, count, f"{whole[0]} starts with the whole prompt, {side} does not")
        elif count and _cannot_follow(row.prompt[-1]["role"], messages[0]["role"]):
            yield _parting(row, side, count, f"{side} starts like the prompt but parts from it")


def _shared(prompt: list[Any], messages: list[Any]) -> int:
    """How many messages both start with."""
    count = 0
    for ours, theirs in zip(prompt, messages, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _cannot_follow(last: str, first: str) -> bool:
    """Whether a completion that starts with ``first`` must be a repeated prompt, as it cannot follow ``last``."""
    return first in ("system", "developer") or (first == "user" and last in ("user", "system", "developer"))


def _parting(row: Row, side: str, count: int, message: str) -> Hit:
    messages = row.chosen if side == "chosen" else row.rejected
    if count >= len(messages):
        return Hit(f"/{side}", f"{message}: it ends after {count} of the prompt's {len(row.prompt)} messages")
    mine, other = row.prompt[count], messages[count]
    ours, theirs = _text(mine), _text(other)
    where = f"message {count} differs"
    if mine["role"] != other["role"]:
        where += f" ({mine['role']} in the prompt, {other['role']} in {side})"
    elif (texts := [mine.get("content") or "", other.get("content") or ""]) and texts[0] != texts[1]:
        where += f" from byte {len(texts[0][: parting_of(*texts)].encode())} of its content on"
    return Hit(row.pointer(side, count), f"{message}: {where}", parts=(ours, theirs))


def _text(message: Any) -> str:
    return f"{message['role']}: {message.get('content') or orjson.dumps(message.get('tool_calls')).decode()}"


def _irregular(batch: Any) -> list[int]:
    """Rows whose pattern of roles a rule of this file has something to say about."""
    if batch.form != "chat":
        return []
    unknown = set(batch.signatures) - _REGULAR
    if not unknown:
        return []
    regular = {
        pattern for pattern in unknown if not (_repeated(pattern) or _late_system(pattern) or _unfinished(pattern))
    }
    if len(_REGULAR) < PATTERNS_KNOWN:
        _REGULAR.update(regular)
    unknown -= regular
    return batch.where(map(unknown.__contains__, batch.signatures)) if unknown else []


@functools.lru_cache(maxsize=PATTERNS_KNOWN)
def _repeated(signature: str) -> tuple[Place, ...]:
    prompt, *sides = signature.split("/")
    places = list(_repeats_in("prompt", "", prompt))
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        places.extend(_repeats_in(name, prompt[-1:], side))
    return tuple(places)


def _repeats_in(side: str, before: str, roles: str) -> Iterator[Place]:
    last = before
    for index, role in enumerate(roles):
        if role == last and role != "t":
            yield Place(side, index, f"two turns of the {NAMES[role]} follow each other")
        elif role == "a" and (last in ("s", "d") or (not last and side == "prompt")):
            yield Place(side, index, "the conversation starts with the assistant")
        elif role == "u" and last == "t":
            yield Place(side, index, "the user speaks before the assistant has answered the tool's result")
        last = role


@row_rule(
    "CNV002",
    "roles-do-not-alternate",
    severity="warning",
    message="two turns of one speaker follow each other",
    hint="join the turns, or look for a lost one between them; some chat templates refuse such a conversation",
    why="""Chat templates expect user and assistant in turn. Some raise an error on a repeated speaker, others join
    the turns or leave the model to guess. Human-written data has such turns (a user who writes twice), so the row is
    kept.""",
    bad=chat(HI + b", " + ASK, FOUR, FIVE),
    good=chat(HI + b", " + HELLO + b", " + ASK, FOUR, FIVE),
    screen=_irregular,
)
def roles_do_not_alternate(row: Row) -> Iterator[Hit]:
    if row.form == "chat" and not any(prompt_not_shared(row)):
        yield from _hits(row, _repeated(signature_of(row)))


@functools.lru_cache(maxsize=PATTERNS_KNOWN)
def _late_system(signature: str) -> tuple[Place, ...]:
    prompt, *sides = signature.split("/")
    lead = len(prompt) - len(prompt.lstrip("sd"))
    places = [Place("prompt", i, _late(role)) for i, role in enumerate(prompt) if i >= lead and role in "sd"]
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        places.extend(Place(name, i, _late(role)) for i, role in enumerate(side) if role in "sd")
    return tuple(places)


def _late(role: str) -> str:
    return f"a {NAMES[role]} turn does not stand at the start of the prompt"


@row_rule(
    "CNV003",
    "system-not-first",
    message="a system turn does not stand at the start of the prompt",
    hint="move it to the front, or give the turn to the user",
    why="""Many chat templates refuse a system turn that is not the first, and others put it to the front without a
    word, so that the model trains on another conversation than the one that was judged.""",
    bad=chat(ASK + b", " + BRIEF, FOUR, FIVE),
    good=chat(BRIEF + b", " + ASK, FOUR, FIVE),
    screen=_irregular,
)
def system_not_first(row: Row) -> Iterator[Hit]:
    if row.form == "chat" and not any(prompt_not_shared(row)):
        yield from _hits(row, _late_system(signature_of(row)))


@functools.lru_cache(maxsize=PATTERNS_KNOWN)
def _unfinished(signature: str) -> tuple[Place, ...]:
    return tuple(
        Place(name, len(side) - 1, f"{name} ends with a turn of the {NAMES[side[-1]]}, not of the assistant")
        for name, side in zip(("chosen", "rejected"), signature.split("/")[1:], strict=True)
        if side and side[-1] != "a"
    )


@row_rule(
    "CNV004",
    "does-not-end-with-assistant",
    message="a completion does not end with the assistant",
    hint="cut what follows the assistant's last turn, or add the answer that is missing",
    why="""Only the assistant's turns train. What a user or a tool says last is either a question without its answer,
    or text that would count towards the length and never towards the preference.""",
    bad=chat(ASK, FOUR, FIVE + b", " + turn("user", "Sure?")),
    good=GOOD,
    guard=True,
    screen=_irregular,
)
def does_not_end_with_assistant(row: Row) -> Iterator[Hit]:
    if row.form == "chat":
        yield from _hits(row, _unfinished(signature_of(row)))


@row_rule(
    "CNV005",
    "empty-turn",
    severity="warning",
    message="a turn holds no text",
    hint="was a turn lost? Empty final replies are PRF002 and are refused",
    why="""An empty turn inside a conversation is mostly a lost message, and what follows then answers something that
    is not there. The row is kept: the answers at its end may still be right.""",
    bad=chat(turn("user", " ") + b", " + HELLO + b", " + ASK, FOUR, FIVE),
    good=chat(HI + b", " + HELLO + b", " + ASK, FOUR, FIVE),
    screen=lambda batch: batch.blank if batch.form == "chat" else (),
)
def empty_turn(row: Row) -> Iterator[Hit]:
    if row.form != "chat":
        return
    for side in SIDES:
        messages = getattr(row, side)
        for index, message in enumerate(messages):
            final = side != "prompt" and index == len(messages) - 1
            if (
                final
                or message["role"] == "tool"
                or message.get("tool_calls")
                or (message.get("content") or "").strip()
            ):
                continue
            if side == "prompt" and len(messages) == 1:
                continue  # an empty prompt: CNV012
            yield Hit(row.pointer(side, index, "content"), f"the {message['role']}'s turn holds no text")


@row_rule(
    "CNV010",
    "mixed-forms",
    message="the row is of another form than the dataset",
    hint="prefdata validate --chat turns strings into messages; or keep the two kinds in two files",
    why="""Plain strings and chat messages train differently: only messages go through the chat template. A dataset
    holds one kind, that of the first row kept.""",
    bad=(b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}', chat(HI, HELLO, FOUR)),
    good=(GOOD, chat(HI, HELLO, FOUR)),
    guard=True,
    screen=lambda _batch: (),
)
def mixed_forms(row: Row) -> Iterator[Hit]:
    """Asked only of rows that the engine has found to be of the other form."""
    kind = "strings" if row.form == "text" else "lists of messages"
    other = "lists of messages" if row.form == "text" else "strings"
    hint = None if row.form == "text" else "prefdata validate --chat turns the strings into messages too"
    yield Hit("", f"the row holds {kind}, the dataset {other}", hint)


@row_rule(
    "CNV011",
    "prompt-in-both-answers",
    severity="warning",
    message="chosen and rejected both start with the text of the prompt",
    hint="if they are prompt and answer joined, cut the prompt off both; it would train twice",
    why="""Some formats store prompt and answer joined. Trained as they are, the prompt would stand twice before each
    answer. Strings are not cut by themselves: an answer may rightly start with the words of its question.""",
    bad=b'{"prompt": "2+2=", "chosen": "2+2=4", "rejected": "2+2=5"}',
    good=b'{"prompt": "2+2=", "chosen": "4", "rejected": "5"}',
    screen=lambda batch: batch.where(map(str.startswith, batch.chosens, batch.prompts)) if batch.form == "text" else (),
)
def prompt_in_both_answers(row: Row) -> Iterator[Hit]:
    if row.form != "text" or not row.prompt.strip():
        return
    if row.chosen.startswith(row.prompt) and row.rejected.startswith(row.prompt):
        yield Hit("/chosen")


@row_rule(
    "CNV012",
    "empty-prompt",
    message="the prompt is empty",
    hint="if chosen and rejected hold whole conversations: prefdata convert IN --from trl -o PAIRS.jsonl",
    why="""A preference is one of two answers to something. Without a prompt the first token of an answer has nothing
    before it to be predicted from, and trainers fail on it or skip it.""",
    bad=b'{"prompt": "", "chosen": "4", "rejected": "5"}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}',
    guard=True,
    screen=lambda batch: batch.blank,
)
def empty_prompt(row: Row) -> Iterator[Hit]:
    if row.form == "text":
        empty = not row.prompt.strip()
    else:
        empty = not any((message.get("content") or "").strip() or message.get("tool_calls") for message in row.prompt)
    if empty:
        yield Hit("/prompt")


def _may_share_more(batch: Batch) -> list[int]:
    if not isinstance(batch, ChatBatch) or not any(max(flat.counts, default=0) > 1 for flat in batch.flat[1:]):
        return []
    sides = zip(batch.chosens, batch.rejecteds, strict=True)
    return batch.where(len(one) > 1 and len(other) > 1 and one[0] == other[0] for one, other in sides)


@row_rule(
    "CNV013",
    "context-goes-on",
    severity="info",
    message="both answers begin with the same messages after the prompt",
    hint="move them into the prompt (--fix does): only from where the sides part is there a preference",
    why="""What both sides share is context. In the sigmoid loss its terms cancel, but it is counted in lengths,
    log-probabilities and losses that are normalised by length, or that imitate chosen; moved into the prompt it is
    read once and is in no loss.""",
    bad=chat(HI, HELLO + b", " + ASK + b", " + FOUR, HELLO + b", " + ASK + b", " + FIVE),
    good=chat(HI + b", " + HELLO + b", " + ASK, FOUR, FIVE),
    screen=_may_share_more,
)
def context_goes_on(row: Row) -> Iterator[Hit]:
    if row.form != "chat" or any(prompt_not_shared(row)):
        return
    shared = min(_shared(row.chosen, row.rejected), len(row.chosen) - 1, len(row.rejected) - 1)
    if shared > 0:
        messages = "message" if shared == 1 else f"{shared} messages"
        told = f"both answers begin with the same {messages}, which belong{'s' * (shared == 1)} to the prompt"
        yield Hit(row.pointer("chosen", 0), told, fix=_moved(row, shared))


def _moved(row: Row, shared: int) -> Fix | None:
    """The shared messages moved to the end of the prompt; where the sides repeat the prompt, they stay there too."""
    given = {side: row.document[side] for side in SIDES}
    if not all(isinstance(messages, list) for messages in given.values()):
        return None
    first, last = row.trimmed, row.trimmed + shared
    edits = [Edit("/prompt", given["prompt"] + given["chosen"][first:last])]
    if not row.trimmed:
        edits += [Edit(f"/{side}", given[side][last:]) for side in ("chosen", "rejected")]
    return Fix("move the shared messages into the prompt", tuple(edits))
