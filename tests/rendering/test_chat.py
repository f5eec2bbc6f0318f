"""Chat pairs: every token in its turn, what the assistant writes in the loss, any template or a clear refusal."""

from __future__ import annotations

import re
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.errors import RenderingError
from prefdata.rendering import RenderedSide, Renderer

ROOT = find_spec("trl")
assert ROOT is not None
assert ROOT.origin is not None
TEMPLATES = Path(ROOT.origin).parent / "chat_templates"
THINKING_STRIPPED = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' and not loop.last and '</think>' in message.content %}"
    "{{- message.content.split('</think>')[1] }}{%- else %}{{- message.content }}{%- endif %}{{- '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def trained(tokenizer: Any, side: RenderedSide) -> list[tuple[int, str]]:
    """The text in the loss, by turn."""
    marked = [(turn, id) for id, turn, in_loss in zip(side.ids, side.turns, side.in_loss, strict=True) if in_loss]
    return [(turn, tokenizer.decode([id for _, id in group])) for turn, group in groupby(marked, lambda item: item[0])]


def answers(chosen: str, rejected: str) -> dict[str, Any]:
    sides = {
        name: [{"role": "assistant", "content": text}] for name, text in (("chosen", chosen), ("rejected", rejected))
    }
    return {"id": "a", "prompt": [{"role": "user", "content": "Book me a hotel"}], **sides, "tools": []}


def with_template(make_tokenizer: Any, name: str) -> Any:
    template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    found = set(re.findall(r"<[|｜][^|｜>'\"\n]+[|｜]>|<(?:start|end)_of_turn>", template))
    return make_tokenizer(template, bos=True, marks=sorted(found - {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}))


def test_header_and_newline_are_not_in_the_loss(tokenizer: Any) -> None:
    pair = Renderer(tokenizer).pair(answers("yes", "no"))
    assert tokenizer.decode(pair.prompt_ids) == "<|im_start|>user\nBook me a hotel<|im_end|>\n<|im_start|>assistant\n"
    assert trained(tokenizer, pair.chosen) == [(0, "yes<|im_end|>")]
    assert trained(tokenizer, pair.rejected) == [(0, "no<|im_end|>")]
    assert tokenizer.decode(pair.chosen.ids) == "yes<|im_end|>\n"


def test_the_seeds_hotel_row(tokenizer: Any, hotel: dict[str, Any]) -> None:
    pair = Renderer(tokenizer).pair(hotel)
    assert tokenizer.decode(pair.prompt_ids).endswith("<|im_start|>assistant\nSure, let me search.<|im_end|>\n")
    assert trained(tokenizer, pair.chosen) == [(1, "Done, booked Hotel Lumiere.<|im_end|>")]
    assert trained(tokenizer, pair.rejected) == [(1, "I cannot do that.<|im_end|>")]
    whole = tokenizer.decode([*pair.prompt_ids, *pair.chosen.ids])
    assert whole.count("Book me a hotel") == 1


def test_everything_after_the_shared_prompt_when_asked(tokenizer: Any, hotel: dict[str, Any]) -> None:
    pair = Renderer(tokenizer, loss_on="completion").pair(hotel)
    assert trained(tokenizer, pair.chosen) == [
        (0, "<|im_start|>user\nIn Paris please<|im_end|>\n"),
        (1, "<|im_start|>assistant\nDone, booked Hotel Lumiere.<|im_end|>"),
    ]


def test_tool_calls_are_written_and_results_are_not(tokenizer: Any, weather: dict[str, Any]) -> None:
    pair = Renderer(tokenizer).pair(weather)
    assert trained(tokenizer, pair.chosen) == [
        (0, '<tool_call>{"city": "Paris"}get_weather</tool_call><|im_end|>'),
        (2, "Yes, 31 degrees.<|im_end|>"),
    ]
    of_result = [id for id, turn in zip(pair.chosen.ids, pair.chosen.turns, strict=True) if turn == 1]
    assert '{"celsius": 31}' in tokenizer.decode(of_result)


def test_a_token_never_spans_header_and_answer(tokenizer: Any) -> None:
    newlines = tokenizer("\n\n")["input_ids"]
    assert len(newlines) == 1, "the vocabulary must merge two newlines for this test to mean anything"
    pair = Renderer(tokenizer).pair(answers("\nyes", "no"))
    assert tokenizer.decode(pair.prompt_ids).endswith("<|im_start|>assistant\n")
    assert trained(tokenizer, pair.chosen) == [(0, "\nyes<|im_end|>")]


def test_a_mark_that_the_text_brings_is_not_doubled(tokenizer: Any) -> None:
    pair = Renderer(tokenizer).pair(answers("yes<|im_end|>", "no"))
    assert trained(tokenizer, pair.chosen) == [(0, "yes<|im_end|>")]


def test_a_template_without_end_marks_gets_eos_once(make_tokenizer: Any) -> None:
    template = (
        "{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    tokenizer = make_tokenizer(template)
    pair = Renderer(tokenizer).pair(answers("yes", "no"))
    assert trained(tokenizer, pair.chosen) == [(0, "yes\n<|im_end|>")]
    assert tokenizer.decode(pair.prompt_ids) == "user: Book me a hotel\nassistant: "


def test_a_header_that_cannot_be_told_from_the_answer_is_refused(make_tokenizer: Any) -> None:
    template = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content }}{% endfor %}"
    with pytest.raises(RenderingError, match="ignores add_generation_prompt"):
        Renderer(make_tokenizer(template)).pair(answers("yes", "no"))


def test_thinking_stripped_from_an_earlier_turn_is_refused_and_named(make_tokenizer: Any) -> None:
    renderer = Renderer(make_tokenizer(THINKING_STRIPPED))
    row = answers("<think>hm</think>yes", "no")
    assert trained(renderer.tokenizer, renderer.pair(row).chosen) == [(0, "<think>hm</think>yes<|im_end|>")]
    row["chosen"] += [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "world"}]
    with pytest.raises(RenderingError, match="strip the thinking of earlier turns") as refused:
        renderer.pair(row)
    assert "message 2" in refused.value.message
    assert "--chat-template" in (refused.value.hint or "")


def test_a_prompt_that_depends_on_what_follows_is_refused(make_tokenizer: Any) -> None:
    template = "{{ '[' ~ messages | length ~ ']' }}" + THINKING_STRIPPED
    row = answers("yes", "no")
    row["chosen"] += [{"role": "user", "content": "hello"}]
    with pytest.raises(RenderingError):
        Renderer(make_tokenizer(template)).pair(row)


def test_no_chat_template_is_refused(make_tokenizer: Any) -> None:
    with pytest.raises(RenderingError, match="no chat template"):
        Renderer(make_tokenizer(None)).pair(answers("yes", "no"))


def test_what_the_template_raises_is_told(make_tokenizer: Any) -> None:
    with pytest.raises(RenderingError, match="Roles must alternate"):
        Renderer(make_tokenizer("{{ raise_exception('Roles must alternate') }}")).pair(answers("yes", "no"))


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("qwen2_5", "<|im_end|>"),
        ("qwen3", "<|im_end|>"),
        ("qwen3_5_nothink", "<|im_end|>"),
        ("qwen3_instruct_2507", "<|im_end|>"),
        ("llama3", "<|eot_id|>"),
        ("llama3_1", "<|eot_id|>"),
        ("gemma3", "<end_of_turn>"),
        ("gptoss", "<|return|>"),
        ("phi3", "<|end|>\n<|im_end|>"),
        ("cohere", "<|END_OF_TURN_TOKEN|>"),
        ("deepseek_r1_distill_training", "<｜end▁of▁sentence｜>"),
        ("nemotron_3_nano_training", "<|im_end|>"),
    ],
)
def test_templates_in_use(make_tokenizer: Any, hotel: dict[str, Any], name: str, end: str) -> None:
    """Templates of real models: the hotel row's last answers, each with its end mark, and nothing that a user said."""
    tokenizer = with_template(make_tokenizer, name)
    pair = Renderer(tokenizer).pair(hotel)
    for side, text in ((pair.chosen, "Done, booked Hotel Lumiere."), (pair.rejected, "I cannot do that.")):
        ((turn, written),) = trained(tokenizer, side)
        assert turn == 1
        assert written.endswith(text + end)
        assert "assistant" not in written
        assert "Paris please" not in written
    assert tokenizer.decode(pair.prompt_ids).count("Sure, let me search.") == 1
    assert "Paris" not in tokenizer.decode(pair.prompt_ids)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "llama3_1", "gptoss", "glm4moe_training", "deepseekv3_training"])
def test_templates_in_use_with_tools(make_tokenizer: Any, weather: dict[str, Any], name: str) -> None:
    tokenizer = with_template(make_tokenizer, name)
    call, answer = trained(tokenizer, Renderer(tokenizer).pair(weather).chosen)
    assert call[0] == 0
    assert "get_weather" in call[1]
    assert "Paris" in call[1]
    assert answer[0] == 2
    assert "Yes, 31 degrees." in answer[1]
    assert "celsius" not in call[1] + answer[1]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("deepseek_r1_distill", "goes on with '<think>"),
        ("smolvlm", "writes this turn without"),
        ("qwen2_5_vl", "without 'get_weather'"),
    ],
)
def test_templates_that_lose_or_add_text_are_refused(
    make_tokenizer: Any, weather: dict[str, Any], name: str, what: str
) -> None:
    """A reasoning prompt that answers do not begin with; templates that drop plain strings, or tool calls."""
    row = weather if name == "qwen2_5_vl" else answers("yes", "no")
    with pytest.raises(RenderingError) as refused:
        Renderer(with_template(make_tokenizer, name)).pair(row)
    assert what in refused.value.message


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="<>|"), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)


@settings(deadline=None, max_examples=60)
@given(turns=st.lists(TEXTS, min_size=3, max_size=6), shared=st.integers(1, 2))
def test_any_text_is_rendered_without_loss(tokenizer: Any, turns: list[str], shared: int) -> None:
    """The tokens in the loss decode to the assistant's texts, whatever those are, in their order."""
    messages = [
        {"role": "user" if index % 2 == 0 else "assistant", "content": text} for index, text in enumerate(turns)
    ]
    row = {"id": "any", "prompt": messages[:shared], "chosen": messages[shared:], "rejected": messages[shared:]}
    side = Renderer(tokenizer).pair({**row, "tools": []}).chosen
    expected = [
        (index - shared, message["content"] + "<|im_end|>")
        for index, message in enumerate(messages)
        if index >= shared and message["role"] == "assistant"
    ]
    assert trained(tokenizer, side) == expected
