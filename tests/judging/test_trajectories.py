"""Conversations under judgment: the shared context once, then trajectories that part ways, of any number of turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefdata.judging.template import built_in
from tests.judging.sets import judged, read, row, write
from tests.judging.test_attacks import GOOD, careless, fences
from tests.servers import Server, last_words

CALL = {"id": "c1", "type": "function", "function": {"name": "find_hotel", "arguments": {"city": "Lyon"}}}
CONTEXT = [
    {"role": "system", "content": "You are a travel desk."},
    {"role": "user", "content": "I need a room."},
    {"role": "assistant", "content": "In which city?"},
    {"role": "user", "content": "Lyon, for two nights."},
]
SHORT = [{"role": "assistant", "content": "No rooms."}]
LONG = [
    {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]},
    {"role": "tool", "content": '{"rooms": 2}', "tool_call_id": "c1", "name": "find_hotel"},
    {"role": "assistant", "content": "There are two. Shall I book?"},
    {"role": "user", "content": "Yes please."},
    {"role": "assistant", "content": GOOD.strip()},
]


@pytest.mark.parametrize("template", list(built_in()))
def test_trajectories_of_different_lengths_are_judged_in_their_one_context(tmp_path: Path, template: str) -> None:
    found: dict[str, Any] = row("s", SHORT, LONG)
    found["prompt"] = {"prompt": CONTEXT, "tools": [{"type": "function", "function": {"name": "find_hotel"}}]}
    write(tmp_path / "r.jsonl", [found])
    with Server(careless) as server:
        result = judged(tmp_path, server, template=template)
    assert result.ok
    for request in server.requests:
        text = last_words(request)
        assert text.count("User: Lyon, for two nights.") == 1, "the shared context once"
        assert text.index("System: You are a travel desk.") < text.index("User: Lyon, for two nights.")
        if "<response" not in text:
            continue
        for response in fences(request).values():
            assert "travel desk" not in response
            if response != "No rooms.":
                parts = (
                    "Assistant: Let me look.",
                    'calls find_hotel({"city":"Lyon"})',
                    'Tool (find_hotel): {"rooms": 2}',
                    "User: Yes please.",
                    GOOD.strip(),
                )
                places = [response.index(part) for part in parts]
                assert places == sorted(places)
    (pair,) = read(tmp_path / "p.jsonl")
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == (CONTEXT, LONG, SHORT)
    assert pair["tools"][0]["function"]["name"] == "find_hotel"
