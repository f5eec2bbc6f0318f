"""CNV, continued: tool calls and their results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from prefdata.validation.registry import Hit, row_rule
from prefdata.validation.row import Row, arguments_of
from prefdata.validation.rules.conversation import ASK, FIVE, FOUR, chat

TALK = orjson.dumps({"role": "assistant", "content": "It is 4."})


def call(arguments: Any, id: str = "c1") -> bytes:
    """An example turn that calls a tool."""
    function = {"name": "add", "arguments": arguments}
    return orjson.dumps({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]})


def result(content: str, id: str = "c1") -> bytes:
    """An example tool result."""
    return orjson.dumps({"role": "tool", "content": content, "tool_call_id": id})


ADD, SUM = call({"a": 2, "b": 2}), result("4")
GOOD = chat(ASK, ADD + b", " + SUM + b", " + TALK, FIVE)


def _with_tools(batch: Any) -> list[int]:
    """Rows that may hold a tool call or a tool's result."""
    if batch.form != "chat":
        return []
    found = set(batch.unplain)
    if any("tool" in flat.roles for flat in batch.flat):
        found.update(batch.where("t" in signature for signature in batch.signatures))
    return sorted(found)


class _Calls:
    """The calls that still wait for a result, as a conversation is read."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str | None, str, str]] = []
        """Id, function name, and pointer of each."""

    def copy(self) -> _Calls:
        twin = _Calls()
        twin.waiting = list(self.waiting)
        return twin

    def read(self, row: Row, side: str) -> Iterator[tuple[str, Hit]]:
        """Every breach in one side, as the code of its rule and the hit."""
        for index, message in enumerate(getattr(row, side)):
            pointer = row.pointer(side, index)
            if message["role"] == "tool":
                yield from self._take(message, pointer)
                continue
            for _, name, where in self.waiting:
                yield "CNV006", Hit(where, f"the call of {name} has no result before the next turn")
            self.waiting = [
                (item.get("id"), item["function"]["name"], f"{pointer}/tool_calls/{number}")
                for number, item in enumerate(message.get("tool_calls") or ())
            ]

    def _take(self, message: Any, pointer: str) -> Iterator[tuple[str, Hit]]:
        id = message.get("tool_call_id")
        for place, (waiting, _, _) in enumerate(self.waiting):
            if id is None or waiting is None or waiting == id:
                del self.waiting[place]
                return
        ids = ", ".join(repr(waiting) for waiting, _, _ in self.waiting if waiting is not None)
        which = f"the call {id!r}" if id is not None else "no call"
        yield "CNV007", Hit(pointer, f"a result answers {which}, but {f'only {ids} wait' if ids else 'none waits'}")


def _breaches(row: Row, code: str) -> Iterator[Hit]:
    if row.form != "chat":
        return
    shared = _Calls()
    yield from (hit for found, hit in shared.read(row, "prompt") if found == code)
    for side, _ in row.completions():
        yield from (hit for found, hit in shared.copy().read(row, side) if found == code)


@row_rule(
    "CNV006",
    "call-without-result",
    message="a tool call has no result",
    hint="put a message of role tool with the call's id after it; a call may stand open only at the very end",
    why="""The model would learn to go on as if it knew what a tool said that was never asked. Services and many chat
    templates refuse such a conversation.""",
    bad=chat(ASK, ADD + b", " + TALK, FIVE),
    good=GOOD,
    screen=_with_tools,
)
def call_without_result(row: Row) -> Iterator[Hit]:
    yield from _breaches(row, "CNV006")


@row_rule(
    "CNV007",
    "result-without-call",
    message="a tool result answers no call",
    hint="tool_call_id must be the id of a call in the assistant's turn before it",
    why="""A result that answers nothing is mostly a call that was lost when the conversation was stored, or an id
    that was renumbered on one side only.""",
    bad=chat(ASK, ADD + b", " + result("4", "c2") + b", " + TALK, FIVE),
    good=GOOD,
    screen=_with_tools,
)
def result_without_call(row: Row) -> Iterator[Hit]:
    yield from _breaches(row, "CNV007")


def _bad_arguments(row: Row, sides: tuple[str, ...]) -> Iterator[Hit]:
    if row.form != "chat":
        return
    for side in sides:
        for index, message in enumerate(getattr(row, side)):
            for number, item in enumerate(message.get("tool_calls") or ()):
                if arguments_of(item["function"]["arguments"]) is None:
                    yield Hit(
                        f"{row.pointer(side, index)}/tool_calls/{number}/function/arguments",
                        f"the arguments of {item['function']['name']} are no JSON object",
                    )


@row_rule(
    "CNV008",
    "arguments-not-an-object",
    message="the arguments of a tool call are no JSON object",
    hint='write arguments as an object, or as JSON text of one: "{\\"city\\": \\"Paris\\"}"',
    why="""Tools are called with named arguments. A preferred answer with broken arguments teaches calls that cannot
    be made, and some chat templates fail on them.""",
    bad=chat(ASK, call("a=2, b=2"), FIVE),
    good=chat(ASK, ADD, FIVE),
    screen=_with_tools,
)
def arguments_not_an_object(row: Row) -> Iterator[Hit]:
    yield from _bad_arguments(row, ("prompt", "chosen"))


@row_rule(
    "CNV009",
    "rejected-arguments-not-an-object",
    severity="warning",
    message="the arguments of a tool call in rejected are no JSON object",
    hint="right where the broken call is why the answer was rejected; check that it was not broken on the way here",
    why="""A broken call may be just what was wrong with the answer, so the row is kept. It may also have been cut or
    escaped twice by a script, and then the preference says something that nobody judged.""",
    bad=chat(ASK, FOUR, call("a=2, b=2")),
    good=chat(ASK, FOUR, ADD),
    screen=_with_tools,
)
def rejected_arguments_not_an_object(row: Row) -> Iterator[Hit]:
    yield from _bad_arguments(row, ("rejected",))
