"""Columns to content: text, message lists of several dialects, and the context that two trajectories share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from prefdata.conversion.carrying import CARRIED
from prefdata.conversion.outcomes import NoPair, Paired, Row, WrongShapeError

Messages = list[dict[str, Any]]
Side = str | Messages

ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "observation": "tool",
    "function": "tool",
    **{role: role for role in ("system", "developer", "user", "assistant", "tool")},
}
KINDS = {bool: "a boolean", int: "a number", float: "a number", dict: "an object", list: "a list", str: "text"}


def column(row: Row, name: str) -> Any:
    """The value of a column that must be there; null counts as missing."""
    value = row.get(name)
    if value is None:
        raise WrongShapeError(f'column "{name}" is missing')
    return value


def text(row: Row, name: str) -> str:
    """A column of text."""
    value = column(row, name)
    if not isinstance(value, str):
        raise WrongShapeError(f'column "{name}" holds {kind(value)}, not text')
    return value


def optional(row: Row, name: str) -> str | None:
    """A column that may be missing but otherwise holds text."""
    return None if row.get(name) is None else text(row, name)


def holds(row: Row, name: str) -> bool:
    """Whether a column holds anything; an empty cell of CSV says nothing."""
    return row.get(name) not in (None, "")


def numeric(value: Any) -> Any:
    """A value, or the number that it is as text, as in CSV."""
    try:
        found = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        return value
    return found if isinstance(found, int | float) and not isinstance(found, bool) else value


def number(row: Row, name: str) -> float:
    """A column of numbers, or of text that is one, as in CSV; booleans are none."""
    value = numeric(column(row, name))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongShapeError(f'column "{name}" holds {kind(value)}, not a number')
    return value


def tools_of(row: Row) -> list[Row] | None:
    """The column "tools": a list of objects, or that as JSON text; a bare function gets OpenAI's envelope."""
    value = row.get("tools")
    try:
        tools = orjson.loads(value) if isinstance(value, str) and value else value
    except orjson.JSONDecodeError:
        raise WrongShapeError('column "tools" holds no JSON') from None
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise WrongShapeError('column "tools" holds no list of objects')
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


def objects(row: Row, name: str) -> list[Row]:
    """A column that holds a list of objects."""
    value = column(row, name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise WrongShapeError(f'column "{name}" holds no list of objects')
    return value


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return "nothing" if value is None else KINDS.get(type(value), type(value).__name__)


def messages(value: Any, name: str) -> Messages:
    """A conversation of ``role``/``content`` or ``from``/``value`` objects, content as text or as text parts."""
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise WrongShapeError(f'column "{name}" holds no list of messages')
    return [_message(item, f"{name}/{place}") for place, item in enumerate(value)]


def side(row: Row, name: str) -> Side:
    """A column that holds text or a conversation."""
    value = column(row, name)
    return value if isinstance(value, str) else messages(value, name)


def is_messages(value: Any) -> bool:
    """Whether a value looks like a conversation of role/content objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)


def user(content: str) -> dict[str, Any]:
    """One user turn."""
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    """One assistant turn."""
    return {"role": "assistant", "content": content}


def system(row: Row) -> Messages:
    """The system turn of the column "system", or none where there is nothing to say."""
    content = optional(row, "system")
    return [{"role": "system", "content": content}] if content else []


def shared_context(chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages]:
    """The turns that both conversations begin with, and what each has after them: at least one turn."""
    same = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        same += 1
    same = max(0, min(same, len(chosen) - 1, len(rejected) - 1))
    return chosen[:same], chosen[same:], rejected[same:]


def paired(
    row: Row,
    prompt: Side | None,
    chosen: Side,
    rejected: Side,
    *,
    used: Collection[str],
    tie: str | None = None,
    **more: Any,
) -> Paired | NoPair:
    """A pair in canonical form: completions hold only what follows the prompt.

    Without a prompt, what both sides begin with is the prompt; with one, a prompt that both sides repeat is taken off
    them. Text stays text where all three are text. ``more`` are further keys of the record; columns of ``row`` that are
    not ``used`` go to the metadata under "fields". ``tie`` says why neither side is better, where that is so.
    """
    if prompt is None or not all(isinstance(part, str) for part in (prompt, chosen, rejected)):
        if prompt is None and (isinstance(chosen, str) or isinstance(rejected, str)):
            raise WrongShapeError("there is no prompt, and text cannot be split into prompt and answer with certainty")
        first = [assistant(chosen)] if isinstance(chosen, str) else chosen
        second = [assistant(rejected)] if isinstance(rejected, str) else rejected
        if prompt is None:
            prompt, chosen, rejected = shared_context(first, second)
        else:
            context = [user(prompt)] if isinstance(prompt, str) else prompt
            prompt, (chosen, rejected) = context, _without(context, first, second)
    if prompt == []:
        return NoPair("no-shared-context", "both sides differ from their first turn on, so that there is no prompt")
    if chosen == rejected:
        return NoPair("identical-sides")
    record: dict[str, Any] = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    record.update((name, value) for name, value in more.items() if value is not None)
    if fields := leftover(row, used):
        record["metadata"] = {**record.get("metadata", {}), "fields": fields}
    return Paired(record, tie=tie)


def leftover(row: Row, used: Collection[str]) -> dict[str, Any]:
    """Columns without a place of their own."""
    return {name: value for name, value in row.items() if name not in used and value is not None and name != CARRIED}


def _without(prompt: Messages, chosen: Messages, rejected: Messages) -> tuple[Messages, Messages]:
    repeats = [len(side) > len(prompt) and side[: len(prompt)] == prompt for side in (chosen, rejected)]
    if all(repeats):
        return chosen[len(prompt) :], rejected[len(prompt) :]
    if any(repeats):
        raise WrongShapeError("one side repeats the prompt and the other does not")
    return chosen, rejected


def _message(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    said = item.get("role", item.get("from"))
    content = item.get("content", item.get("value"))
    if said == "function_call":
        return {"role": "assistant", "tool_calls": [_sharegpt_call(content, name)]}
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise WrongShapeError(f'"{name}" has the role {said!r}, which is none of {", ".join(sorted(ROLES))}')
    message: dict[str, Any] = {"role": role}
    calls = item.get("tool_calls")
    if content is not None or not calls:
        message["content"] = _content(content, name)
    if calls:
        message["tool_calls"] = [_call(call) for call in objects(item, "tool_calls")]
    for key in ("tool_call_id", "name"):
        if item.get(key):
            message[key] = text(item, key)
    return message


def _content(content: Any, name: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        for part in content:
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise WrongShapeError(f'"{name}" holds a part of type {part.get("type")!r}: only text can be paired')
        return "".join(part["text"] for part in content)
    raise WrongShapeError(f'"{name}" has {kind(content)} for content, not text')


def _call(call: Row) -> dict[str, Any]:
    """A tool call; arguments written as JSON text become the object that chat templates expect."""
    function = call.get("function")
    kept = {name: value for name, value in call.items() if value is not None}
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return kept
    try:
        arguments = orjson.loads(function["arguments"])
    except orjson.JSONDecodeError:
        return kept
    return {**kept, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else kept


def _sharegpt_call(value: Any, name: str) -> dict[str, Any]:
    try:
        call = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        call = None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise WrongShapeError(f'"{name}" is a function call that is no JSON object with a name')
    return {"type": "function", "function": {"name": call["name"], "arguments": call.get("arguments") or {}}}
