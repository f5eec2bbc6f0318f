"""Chat pairs: a whole trajectory rendered once with the model's own template, each token assigned to its turn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from prefdata.errors import RenderingError
from prefdata.rendering.spans import PLAIN_TEMPLATE, Trajectory
from prefdata.rendering.tokens import Record, RenderedPair, RenderedSide, Tokenizer


def render_chat(
    tokenizer: Tokenizer, row: Record, *, loss_on: str, special: frozenset[int], variables: Mapping[str, Any]
) -> RenderedPair:
    """A chat pair as tokens; messages and tools are those of schema ``preference_pair``.

    Raises RenderingError where turns cannot be told apart with certainty, or the prompt is not the same on both sides.
    """
    answers = all(row[name] and row[name][0]["role"] == "assistant" for name in ("chosen", "rejected"))
    rendered = []
    for name in ("chosen", "rejected"):
        try:
            tokens = _tokens(tokenizer, row["prompt"], row[name], row.get("tools") or None, variables, answers)
        except RenderingError as error:
            raise RenderingError(f"{name}, {error.message}", error.hint) from None
        rendered.append((tokens.prompt, _side(tokenizer, tokens, special, loss_on, row[name][-1]["role"])))
    (prompt_ids, chosen), (other_ids, rejected) = rendered
    if prompt_ids != other_ids:
        raise RenderingError(
            "the template renders the shared prompt differently before chosen and before rejected", PLAIN_TEMPLATE
        )
    return RenderedPair(row["id"], tuple(prompt_ids), chosen, rejected)


class _Tokens(NamedTuple):
    """Ids of the prompt; ids after it, each with its turn and whether the assistant is to write it."""

    prompt: list[int]
    ids: list[int]
    turns: list[int]
    written: list[bool]


def _tokens(
    tokenizer: Tokenizer,
    prompt: Sequence[Record],
    completion: Sequence[Record],
    tools: Sequence[Record] | None,
    variables: Mapping[str, Any],
    answers: bool,
) -> _Tokens:
    """One trajectory as tokens, each given to its turn by the character that it begins with.

    Templates disagree on how a turn of tool calls says that it has no text: no ``content``, an empty one, or none.
    """
    messages = [*prompt, *completion]
    refusal: RenderingError | None = None
    for filling in ({}, {"content": ""}, {"content": None}) if any("content" not in m for m in messages) else ({},):
        try:
            trajectory = Trajectory(tokenizer, [{**filling, **message} for message in messages], tools, variables)
            spans = trajectory.spans(len(prompt), answers=answers)
            break
        except RenderingError as error:
            refusal = refusal or error
    else:
        assert refusal is not None
        raise refusal
    cuts = [spans[0].start, *(edge for span in spans if span.written for edge in (span.start, span.end))]
    ids, starts = tokenize(tokenizer, trajectory.text, cuts)
    edges = [bisect_left(starts, span.start) for span in spans] + [len(ids)]
    turns: list[int] = []
    written: list[bool] = []
    for span, first, last in zip(spans, edges[:-1], edges[1:], strict=True):
        turns += [span.turn] * (last - first)
        written += [span.written] * (last - first)
    return _Tokens(ids[: edges[0]], ids[edges[0] :], turns, written)


def _side(tokenizer: Tokenizer, tokens: _Tokens, special: frozenset[int], loss_on: str, last_role: str) -> RenderedSide:
    """The tokens after the prompt with their part in the loss; every turn ends once."""
    _, ids, turns, written = tokens
    in_loss = [loss_on == "completion" or is_written for is_written in written]
    doubled, closed, at = set(), True, 0
    for (_, is_written), group in groupby(zip(turns, written, strict=True)):
        first, at = at, at + len(list(group))
        if not is_written:
            continue
        last = at - 1
        while last > first and ids[last] not in special and not tokenizer.decode([ids[last]]).strip():
            last -= 1
        closed = ids[last] in special
        if closed:
            # What a template writes after the end-of-turn mark (ChatML's newline) is not the model's to write.
            in_loss[last + 1 : at] = [False] * (at - last - 1)
            if last > first and ids[last - 1] == ids[last]:
                doubled.add(last)  # the text ended with the mark that the template then wrote
    kept = [position for position in range(len(ids)) if position not in doubled]
    side = RenderedSide(
        tuple(ids[at] for at in kept), tuple(turns[at] for at in kept), tuple(in_loss[at] for at in kept)
    )
    if last_role == "assistant" and not closed:  # this template closes turns without a mark
        if tokenizer.eos_token_id is None:
            raise RenderingError(
                "neither the chat template nor the tokenizer has a mark for the end of a turn",
                "set eos_token in the tokenizer's configuration",
            )
        side = RenderedSide((*side.ids, tokenizer.eos_token_id), (*side.turns, turns[-1]), (*side.in_loss, True))
    return side


def tokenize(tokenizer: Tokenizer, text: str, cuts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Ids of ``text`` and the character with which each token begins, such that no token spans a cut.

    The text is tokenised whole. Where a token spans a cut (a header's newline merged with the newline that an answer
    begins with), it is split there, because the model meets the header alone. Raises RenderingError where the pieces do
    not decode to the same text.
    """
    ids, starts, ends = _encode(tokenizer, text, 0)
    before = {cut: bisect_left(starts, cut) - 1 for cut in cuts}
    spanned = sorted(cut for cut, token in before.items() if token >= 0 and ends[token] > cut)
    if not spanned:
        return ids, starts
    pieces: list[int] = []
    piece_starts: list[int] = []
    for start, end in zip([0, *spanned], [*spanned, len(text)], strict=True):
        some_ids, some_starts, _ = _encode(tokenizer, text[start:end], start)
        pieces += some_ids
        piece_starts += some_starts
    if tokenizer.decode(pieces) != tokenizer.decode(ids):
        around = text[max(spanned[0] - 8, 0) : spanned[0] + 8]
        raise RenderingError(
            f"a token spans the start or end of a turn ({around!r}) and the tokenizer cannot be made to split there"
        )
    return pieces, piece_starts


def _encode(tokenizer: Tokenizer, text: str, shift: int) -> tuple[list[int], list[int], list[int]]:
    """Ids, and the characters at which each token begins and ends, both counted from ``shift`` and never falling.

    Spaces that a tokenizer trims from its offsets go to the token after them.
    """
    if not tokenizer.is_fast:
        raise RenderingError("the tokenizer has no fast version, so its tokens cannot be placed in the text")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts, ends = [], []
    reached = 0
    for start, end in encoded["offset_mapping"]:
        if start > reached and text[reached:start].isspace():
            start = reached
        if end > reached:
            reached = end
        starts.append(start + shift)
        ends.append(reached + shift)
    return list(encoded["input_ids"]), starts, ends
