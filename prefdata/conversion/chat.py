"""A pair as chat, for formats that know messages only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prefdata.conversion.outcomes import NoPlaceError
from prefdata.conversion.sides import Messages, assistant, user

EVERY_ROLE = ("system", "developer", "user", "assistant", "tool")


class Chat:
    """The messages of a pair; text becomes a user turn and two assistant turns. Raises NoPlaceError."""

    def __init__(self, record: dict[str, Any], *, roles: Collection[str] = EVERY_ROLE, calls: bool = False) -> None:
        text = isinstance(record["prompt"], str)
        self.prompt: Messages = [user(record["prompt"])] if text else record["prompt"]
        self.sides: dict[str, Messages] = {
            side: [assistant(record[side])] if text else record[side] for side in ("chosen", "rejected")
        }
        self.tools: list[dict[str, Any]] = record.get("tools") or []
        for turn in (*self.prompt, *self.sides["chosen"], *self.sides["rejected"]):
            if turn["role"] not in roles:
                raise NoPlaceError(f"there is no place for a turn of role {turn['role']}")
            if turn.get("tool_calls") and not calls:
                raise NoPlaceError("there is no place for tool calls")
        systems = [turn for turn in self.prompt if turn["role"] == "system"]
        if "developer" not in roles and systems != self.prompt[: min(len(systems), 1)]:
            raise NoPlaceError("there is a place for one system turn, at the start")
        if (
            "developer" not in roles and systems and not systems[0].get("content")
        ):  # a column of text cannot tell the two
            raise NoPlaceError("there is no place for a system turn that says nothing: read again it would be none")
        self.system: str = systems[0]["content"] if systems else ""
        self.turns: Messages = self.prompt[len(systems) :]
        if not self.turns:
            raise NoPlaceError("the prompt holds no turn but the system's")

    def last(self, side: str) -> dict[str, Any]:
        """The only turn of a side, which must be the assistant's."""
        turns = self.sides[side]
        if len(turns) != 1 or turns[0]["role"] != "assistant":
            raise NoPlaceError(f"{side} holds {len(turns)} turns: there is a place for one, the assistant's")
        return turns[0]

    def answer(self, side: str) -> str:
        """The text of the only turn of a side."""
        return str(self.last(side)["content"])
