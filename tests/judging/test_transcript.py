"""What a judge reads of conversations: everything that was said and done, the shared context once."""

from __future__ import annotations

from prefdata.judging.transcript import final_text, prompt_text, reference_text, response_text
from prefdata.types import Message, Prompt, Response

CALL = {"id": "1", "type": "function", "function": {"name": "book", "arguments": {"city": "Lyon"}}}


def test_plain_text_and_single_turns_are_shown_as_they_are() -> None:
    assert prompt_text(Prompt("p", "hi")) == prompt_text(Prompt("p", (Message("user", "hi"),))) == "hi"
    assert response_text(Response("r", "yo")) == response_text(Response("r", (Message("assistant", "yo"),))) == "yo"


def test_a_conversation_is_a_transcript_with_every_call_and_result() -> None:
    prompt = Prompt(
        "p", (Message("system", "Be brief."), Message("user", "A room in Lyon?")), tools=({"name": "book"},)
    )
    assert prompt_text(prompt) == (
        'Tools that the assistant may call:\n{"name":"book"}\n\nSystem: Be brief.\n\nUser: A room in Lyon?'
    )
    response = Response(
        "r",
        (
            Message("assistant", "Let me see.", (CALL,)),
            Message("tool", "full", tool_call_id="1", name="book"),
            Message("assistant", "No room."),
        ),
    )
    assert response_text(response) == (
        'Assistant: Let me see.\nAssistant calls book({"city":"Lyon"})\n\nTool (book): full\n\nAssistant: No room.'
    )
    assert final_text(response) == "No room."
    assert final_text(Response("r", (Message("assistant", None, (CALL,)),))) == ""


def test_several_references_are_numbered() -> None:
    assert reference_text(Prompt("p", "x")) is None
    assert reference_text(Prompt("p", "x", reference=("a",))) == "a"
    assert reference_text(Prompt("p", "x", reference=("a", "b"))) == "1. a\n2. b"
