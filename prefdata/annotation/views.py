"""What a page shows of a task: texts rendered and raw, where they diverge, and nothing that tells who wrote what."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from string import ascii_uppercase
from typing import Any

import orjson

from prefdata.annotation.answers import Answer, editable
from prefdata.annotation.assignment import Task
from prefdata.annotation.safe_html import Rendered, render
from prefdata.records.codec import conversation
from prefdata.types import Conversation, Message, ResponseSet

TOLD = 24
"""Letters that responses must begin with in common before the page says so."""
HEADING = re.compile(r"<(/?)h([1-6])>")


@dataclass(frozen=True, slots=True)
class Block:
    """One message."""

    role: str
    html: str
    raw: str
    removed: tuple[str, ...]
    same: bool
    """All responses have this message in common."""
    calls: str | None
    """Tool calls as JSON."""
    name: str | None


@dataclass(frozen=True, slots=True)
class ResponseView:
    """One candidate, by its place on the screen."""

    place: int
    label: str
    blocks: tuple[Block, ...]
    editable: str | None
    diverges: int
    """The first block that not all responses share; as many as there are blocks where all are shared."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A whole task."""

    task: Task
    context: tuple[Block, ...]
    tools: str | None
    responses: tuple[ResponseView, ...]
    same_start: str | None
    """The end of what the texts have in common at their start."""
    same_letters: int
    raw: str
    """JSON for the page's script: the texts, letter by letter as they train."""


def task_view(task: Task, response_set: ResponseSet) -> TaskView:
    """The view of a task."""
    by_id = {response.id: response for response in response_set.responses}
    trajectories = [conversation(by_id[id].content, "assistant") for id in task.shown]
    shared = shared_messages(trajectories)
    start = _same_start(trajectories, shared)
    context = conversation(response_set.prompt.content, "user")
    tools = [dict(tool) for tool in response_set.prompt.tools]
    views = tuple(
        ResponseView(
            place,
            label(place, len(task.shown)),
            tuple(_block(message, number < shared) for number, message in enumerate(trajectory)),
            editable(by_id[id].content),
            shared,
        )
        for place, (id, trajectory) in enumerate(zip(task.shown, trajectories, strict=True))
    )
    raw = {
        "context": [message.content or "" for message in context],
        "responses": [[message.content or "" for message in trajectory] for trajectory in trajectories],
        "same": [shared, _units(trajectories, shared, start)],
    }
    return TaskView(
        task,
        tuple(_block(message, False) for message in context),
        _json(tools) if tools else None,
        views,
        trajectories[0][shared].content[max(0, start - 60) : start] if start >= TOLD else None,  # type: ignore[index]
        start,
        # "<" alone could end the script element that holds this.
        orjson.dumps(raw).decode().replace("<", "\\u003c"),
    )


def label(place: int, count: int) -> str:
    """What a response is called on the screen: letters for two, numbers (which are keys too) for more."""
    return ascii_uppercase[place] if count == 2 else str(place + 1)


def shared_messages(trajectories: Sequence[Conversation]) -> int:
    """How many messages all trajectories begin with."""
    count = 0
    for messages in zip(*trajectories, strict=False):
        if any(message != messages[0] for message in messages):
            break
        count += 1
    return count


def answer_places(answer: Answer, edits: dict[str, str], shown: Sequence[str]) -> dict[str, Any]:
    """An answer in places on the screen, as the page's script sends it."""
    place = {id: number for number, id in enumerate(shown)}
    return {
        "verdict": answer.verdict,
        "tiers": [[place[id] for id in tier] for tier in answer.ranking or ()],
        "strength": answer.strength,
        "ratings": {place[id]: dict(own) for id, own in answer.ratings.items()},
        "flags": {place[id]: list(own) for id, own in answer.flags.items()},
        "rationale": answer.rationale or "",
        "edits": {place[id]: text for id, text in edits.items()},
    }


def in_words(ranking: Sequence[Sequence[str]] | None, flags: Sequence[str], shown: Sequence[str]) -> str:
    """A ranking by the names on the screen.

    >>> in_words([["x"], ["y", "z"]], [], ["z", "x", "y"])
    '2 > 1 = 3'
    """
    for flag in ("both_good", "both_bad"):
        if flag in flags:
            return flag.replace("_", " ") if len(shown) == 2 else flag.replace("both_", "all ")
    if ranking is None:
        return "no verdict"
    place = {id: number for number, id in enumerate(shown)}
    tiers = [sorted(place[id] for id in tier if id in place) for tier in ranking]
    return " > ".join(" = ".join(label(number, len(shown)) for number in tier) for tier in tiers if tier)


def _same_start(trajectories: Sequence[Conversation], shared: int) -> int:
    """Letters that the first messages that differ begin with in common, up to the end of a word."""
    if any(len(trajectory) <= shared for trajectory in trajectories):
        return 0
    texts = [trajectory[shared].content or "" for trajectory in trajectories]
    common = commonprefix(texts)  # noqa: RUF071 - of letters, which is what it finds
    if any(len(text) > len(common) and text[len(common)].isalnum() for text in texts):
        common = common[: len(common) - len(re.split(r"\W", common)[-1])]
    return len(common)


def _units(trajectories: Sequence[Conversation], shared: int, letters: int) -> int:
    """So many letters as JavaScript counts them: it takes an emoji for two."""
    return len((trajectories[0][shared].content or "")[:letters].encode("utf-16-le")) // 2 if letters else 0


def _block(message: Message, same: bool) -> Block:
    text = message.content or ""
    shown = _rendered(text)
    calls = _json([dict(call) for call in message.tool_calls]) if message.tool_calls else None
    return Block(message.role, shown.html, text, shown.removed, same, calls, message.name)


@functools.lru_cache(maxsize=512)
def _rendered(text: str) -> Rendered:
    """Headings of a text are no headings of the page."""
    found = render(text)
    return Rendered(HEADING.sub(_no_heading, found.html), found.removed)


def _no_heading(found: re.Match[str]) -> str:
    return "</div>" if found[1] else f'<div class="heading-{found[2]}">'


def _json(document: Any) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
