"""Where each turn stands in a rendered conversation, verified against the template's renderings of its prefixes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from prefdata.errors import RenderingError
from prefdata.rendering.tokens import Record, Tokenizer, special_marks

PLAIN_TEMPLATE = "pass a template that renders every turn the same wherever it stands: --chat-template FILE"

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) that belong to message ``turn``; ``written`` where the assistant is to write them."""

    turn: int
    start: int
    end: int
    written: bool


class Trajectory:
    """A conversation rendered whole by the tokenizer's chat template; raises RenderingError where that refuses it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Record],
        tools: Sequence[Record] | None,
        variables: Mapping[str, Any],
    ) -> None:
        if not tokenizer.chat_template:
            raise RenderingError(
                "the tokenizer has no chat template, and the pair is a conversation",
                "train an instruct model, or pass a template: --chat-template FILE",
            )
        self.tokenizer, self.messages, self.tools, self.variables = tokenizer, list(messages), tools, variables
        self._prefixes: dict[tuple[int, bool], str] = {}
        self._marked: list[list[tuple[int, int]]] | None = None
        try:
            self.text = self._render(self.messages, generation=False)
        except Exception as error:  # noqa: BLE001 - a template is somebody's program and may raise anything
            raise RenderingError(f"the chat template refuses the conversation: {error}", PLAIN_TEMPLATE) from None

    def spans(self, shared: int, *, answers: bool) -> list[Span]:
        """The text after the first ``shared`` messages, divided among the messages that follow, without gaps.

        ``turn`` counts from the first message after the shared ones. With ``answers`` that message is an assistant turn
        whose header counts as prompt, as it does at inference. Messages that a template fuses (tool results) go by the
        last of them.
        """
        spans: list[Span] = []
        at = self._written(shared)[0] if answers else self._end_of_prompt(shared)
        for index in range(shared, len(self.messages)):
            written = self.messages[index]["role"] == "assistant"
            start, end = self._written(index) if written else (at, self._nested_end(index + 1))
            if start > at:
                spans.append(Span(index - shared, at, start, written=False))
            if end > start:
                spans.append(Span(index - shared, start, end, written=written))
                at = end
        return spans

    def _written(self, index: int) -> tuple[int, int]:
        """Start and end of what the assistant writes in turn ``index``: text, tool calls, end-of-turn mark.

        It starts where the prompt for that turn ends. It ends where the conversation up to it ends, or, where the
        template writes a last turn otherwise than an earlier one, where both writings of it end. Templates for which
        that does not hold may say it themselves, with ``{% generation %}`` marks. Either way the turn must hold all of
        its message.
        """
        opened = self._prefix(index, generation=True)
        agreed = _agreement(opened, self.text)
        if opened and agreed == len(opened):
            start = agreed
            end = self._nested_end(index + 1) or self._end_of_earlier(index, start)
        elif marked := self._marked_turns():
            roles = [message["role"] for message in self.messages[:index]]
            tokens = marked[roles.count("assistant")]
            # What stands in the prompt for the turn already is not the model's to write.
            start = max([tokens[0][0], *(stop for _, stop in tokens if stop <= agreed)])
            end = tokens[-1][1]
        else:
            prompt, begun = (text[agreed : agreed + 40] for text in (opened, self.text))
            raise RenderingError(
                f"message {index + 1}: the prompt for this turn goes on with {prompt!r}, but the turn with {begun!r}",
                PLAIN_TEMPLATE,
            )
        self._check(index, start, end)
        return start, end

    def _check(self, index: int, start: int, end: int) -> None:
        message, turn = self.messages[index], self.text[start:end]
        parts = [message.get("content") or "", *(call["function"]["name"] for call in message.get("tool_calls") or ())]
        missing = next((part for part in parts if _squeezed(part) not in _squeezed(turn)), None)
        if end <= start or missing is not None:
            lost = f"without {missing[:60]!r}" if missing else "otherwise"
            raise RenderingError(
                f"message {index + 1}: the template writes this turn {lost}"
                + (
                    " when others follow it (templates do so to strip the thinking of earlier turns)"
                    if index + 1 < len(self.messages)
                    else ""
                ),
                PLAIN_TEMPLATE,
            )
        before = turn.split(parts[0].strip())[0] if parts[0].strip() else ""
        if before.strip() and self._prefix(index, generation=True) == self._prefix(index):
            raise RenderingError(
                f"message {index + 1}: the template ignores add_generation_prompt, so that the header {before!r} "
                "cannot be told from the answer",
                "add a generation prompt to the template and pass it with --chat-template FILE",
            )

    def _end_of_prompt(self, shared: int) -> int:
        """Where the shared messages end: their own rendering, or the end of the assistant turn that closes them."""
        end = self._nested_end(shared)
        if not end and self.messages[shared - 1]["role"] == "assistant":
            end = self._end_of_earlier(shared - 1, _agreement(self._prefix(shared - 1), self.text))
        if not end:
            raise RenderingError(
                f"the template writes the first {shared} messages otherwise when others follow them", PLAIN_TEMPLATE
            )
        return end

    def _end_of_earlier(self, index: int, start: int) -> int:
        """Where the assistant turn ``index`` ends that has at least ``start`` characters before it, else 0.

        A template may write a last turn otherwise than an earlier one: an empty thinking block before the text, another
        mark after it. Then both writings agree on the turn's end: they end alike, or they agree up to the end of the
        text, after which the earlier turn goes on with a mark.
        """
        as_last = self._prefix(index + 1)
        tail, rest = as_last[start:], self.text[start:]
        if not start or as_last[:start] != self.text[:start]:
            return 0
        for at in range(len(tail)):
            if rest.startswith(tail[at:]) and tail[at:].strip():
                return start + len(tail) - at
        content = (self.messages[index].get("content") or "").strip()
        at = rest.find(content)
        if content and at >= 0 and tail.startswith(rest[:at]):
            after = rest[at + len(content) :]
            for mark in special_marks(self.tokenizer).values():
                if after.lstrip().startswith(mark):
                    return start + at + len(content) + after.index(mark) + len(mark)
        return 0

    def _nested_end(self, count: int) -> int:
        """The length of the rendering of the first ``count`` messages where it is a prefix of the whole, else 0."""
        prefix = self.text if count == len(self.messages) else self._prefix(count)
        return len(prefix) if self.text.startswith(prefix) else 0

    def _marked_turns(self) -> list[list[tuple[int, int]]]:
        """Characters of each token between ``{% generation %}`` marks; empty unless every assistant turn has them."""
        template = self.tokenizer.chat_template
        if self._marked is None and isinstance(template, str) and GENERATION.search(template):
            encoded = self.tokenizer.apply_chat_template(
                self.messages,
                tools=self.tools,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
                tokenizer_kwargs={"return_offsets_mapping": True},
                **self.variables,
            )
            pairs = zip(encoded["assistant_masks"], encoded["offset_mapping"], strict=True)
            self._marked = [[place for _, place in run] for marked, run in groupby(pairs, itemgetter(0)) if marked]
            if len(self._marked) != sum(message["role"] == "assistant" for message in self.messages):
                self._marked = []
        return self._marked or []

    def _prefix(self, count: int, generation: bool = False) -> str:
        """The first ``count`` messages rendered by themselves; "" where the template refuses them."""
        key = (count, generation)
        if key not in self._prefixes:
            try:
                self._prefixes[key] = self._render(self.messages[:count], generation)
            except Exception:  # noqa: BLE001 - as above; a prefix that is refused is one that does not nest
                self._prefixes[key] = ""
        return self._prefixes[key]

    def _render(self, messages: Sequence[Record], generation: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages, tools=self.tools, add_generation_prompt=generation, tokenize=False, **self.variables
            )
        )


def _agreement(left: str, right: str) -> int:
    """How many characters two texts begin with in common.

    >>> _agreement("abc", "abd")
    2
    """
    if right.startswith(left):
        return len(left)
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _squeezed(text: str) -> str:
    return "".join(text.split())
