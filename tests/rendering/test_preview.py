"""The preview of a pair's tokens: what it marks is what is in the loss, whatever the text holds."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from prefdata.rendering import Preview, RenderedSide, Renderer
from tests.rendering.conftest import Build

STYLED = re.compile(r"\x1b\[([0-9;]*)m([^\x1b]*)\x1b\[0m")


def trained_text(tokenizer: Any, side: RenderedSide) -> str:
    return str(tokenizer.decode([id for id, in_loss in zip(side.ids, side.in_loss, strict=True) if in_loss]))


def test_plain_marks_stand_around_what_trains(tokenizer: Any, hotel: dict[str, Any]) -> None:
    text = "\n".join(Preview.of(Renderer(tokenizer).pair(hotel), tokenizer).lines(colour=False))
    assert re.findall("⟦(.*?)⟧", text) == ["Done, booked Hotel Lumiere.<|im_end|>", "I cannot do that.<|im_end|>"]
    assert "<|im_start|>user↵\n  In Paris please<|im_end|>↵\n" in text
    assert text.startswith("pair hotel: ")


def test_colours_stand_on_what_trains(tokenizer: Any, weather: dict[str, Any]) -> None:
    pair = Renderer(tokenizer).pair(weather)
    text = "\n".join(Preview.of(pair, tokenizer).lines(colour=True))
    green = "".join(said for style, said in STYLED.findall(text) if style.startswith("30;"))
    assert green == "".join(trained_text(tokenizer, side) for side in pair.sides)
    assert "⟦" not in text


@pytest.mark.parametrize("text", ["naïve 東京 🏨 ok", "\x1b[31mred\ttab", "� lone", "hotel", "🏳️‍🌈"])
def test_every_token_is_told_once_with_its_text(text: str, make_tokenizer: Build) -> None:
    tokenizer = make_tokenizer()
    row = {"id": "x", "prompt": "Say it: ", "chosen": text, "rejected": "no"}
    pair = Renderer(tokenizer).pair(row)
    preview = Preview.of(pair, tokenizer)
    document = orjson.loads(orjson.dumps(preview.document()))
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        pieces = document[name]["pieces"]
        assert [id for piece in pieces for id in piece["ids"]] == list(side.ids)
        assert "".join(piece["text"] for piece in pieces) == row[name] + "<|im_end|>"
        assert document[name]["trained"] == side.trained == len(side.ids) - document[name]["masked"]
        assert all(piece["trained"] for piece in pieces)
    assert document["prompt"]["tokens"] == len(pair.prompt_ids)
    lines = "".join(preview.lines(colour=False))
    assert "\x1b" not in lines
    assert "\t" not in lines


def test_turns_are_told(tokenizer: Any, weather: dict[str, Any]) -> None:
    pieces = Preview.of(Renderer(tokenizer).pair(weather), tokenizer).document()["chosen"]["pieces"]
    assert [turn for turn in (0, 1, 2) if any(piece["turn"] == turn for piece in pieces)] == [0, 1, 2]
    assert {piece["turn"] for piece in pieces if piece["trained"]} == {0, 2}, "a tool's result is not trained on"


def test_a_long_text_is_shown_by_its_ends(tokenizer: Any) -> None:
    row = {"id": "x", "prompt": "Go: ", "chosen": "word " * 400 + "end", "rejected": "no"}
    lines = Preview.of(Renderer(tokenizer).pair(row), tokenizer).lines(colour=False, longest=100)
    shown = next(line for line in lines if line.startswith("  ⟦word"))
    assert re.search(r"… [\d,]+ tokens …", shown)
    assert shown.endswith("end<|im_end|>⟧")
    assert len(shown) < 200
