"""A pair's tokens made visible: which are trained on and which are masked, for a terminal, a text file or a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from prefdata.rendering.tokens import RenderedPair, RenderedSide, Tokenizer

Part = Literal["prompt", "masked", "trained"]

OPEN, CLOSE = "⟦", "⟧"
"""What stands around trained text where there are no colours."""
NEWLINE, BROKEN = "↵", "�"
DIM, RESET = "\x1b[2m", "\x1b[0m"
TRAINED = ("\x1b[30;42m", "\x1b[30;102m")
"""Black on green and on a brighter green: two tokens that follow each other differ, so that their boundary shows."""
LEGEND = {True: "green: in the loss; grey: masked", False: f"{OPEN}in the loss{CLOSE}; all else is masked"}
"""What the marks mean, with colours and without."""
LONGEST_CHARACTER = 8
"""Tokens that are tried together before a character is given up as broken (UTF-8 needs at most 4 bytes)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The fewest tokens that make whole characters together: one, but where a character is spread over several."""

    ids: tuple[int, ...]
    text: str
    part: Part
    turn: int | None
    """Index of the message after the prompt; None in the prompt."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A rendered pair as pieces of text, in the order in which the model reads them."""

    id: str
    prompt: tuple[Piece, ...]
    chosen: tuple[Piece, ...]
    rejected: tuple[Piece, ...]

    @classmethod
    def of(cls, pair: RenderedPair, tokenizer: Tokenizer) -> Preview:
        """The preview of ``pair``; only ``tokenizer.decode`` is used."""
        length = len(pair.prompt_ids)
        prompt = RenderedSide(pair.prompt_ids, (-1,) * length, (False,) * length)
        before = pair.prompt_ids[-1:]
        return cls(
            pair.id,
            tuple(_pieces(prompt, (), tokenizer)),
            *(tuple(_pieces(side, before, tokenizer)) for side in pair.sides),
        )

    def document(self) -> dict[str, Any]:
        """The preview as a JSON document: token ids, their text, their turn, and whether they are trained on."""
        return {
            "id": self.id,
            "prompt": {"tokens": _count(self.prompt), "pieces": [_stated(piece) for piece in self.prompt]},
            **{
                name: {
                    "tokens": _count(pieces),
                    "trained": _count(pieces, "trained"),
                    "masked": _count(pieces, "masked"),
                    "pieces": [_stated(piece) for piece in pieces],
                }
                for name, pieces in (("chosen", self.chosen), ("rejected", self.rejected))
            },
        }

    def lines(self, *, colour: bool, longest: int = 1200) -> list[str]:
        """The preview for a person: trained tokens on green with ``colour``, between ⟦ and ⟧ without.

        A stretch of text longer than ``longest`` characters is shown by its two ends. Control characters of the data
        are made visible, so that none of them reaches the terminal.
        """
        found = [f"pair {self.id}: {_count(self.prompt):,} tokens of prompt"]
        found += _block(self.prompt, colour, longest)
        for name, pieces in (("chosen", self.chosen), ("rejected", self.rejected)):
            masked = _count(pieces, "masked")
            found.append(f"{name}: {_count(pieces, 'trained'):,} tokens in the loss, {masked:,} masked")
            found += _block(pieces, colour, longest)
        return found


def _pieces(side: RenderedSide, before: tuple[int, ...], tokenizer: Tokenizer) -> Iterator[Piece]:
    """``before`` is the token that stands before the side: some tokenizers drop a space at the start of a text."""
    at = 0
    while at < len(side.ids):
        end = at + 1
        while _broken(tokenizer, side.ids[at:end]) and end < len(side.ids) and end - at < LONGEST_CHARACTER:
            if not all(_alike(side, at, end)):
                break
            end += 1
        if _broken(tokenizer, side.ids[at:end]):
            end = at + 1
        ids, context = side.ids[at:end], tokenizer.decode(before)
        text = tokenizer.decode((*before, *ids))
        text = text[len(context) :] if text.startswith(context) and before else tokenizer.decode(ids)
        turn = side.turns[at]
        part: Part = "prompt" if turn < 0 else "trained" if side.in_loss[at] else "masked"
        yield Piece(ids, text, part, None if turn < 0 else turn)
        before, at = ids, end


def _alike(side: RenderedSide, first: int, second: int) -> tuple[bool, bool]:
    return side.turns[first] == side.turns[second], side.in_loss[first] == side.in_loss[second]


def _broken(tokenizer: Tokenizer, ids: Sequence[int]) -> bool:
    return tokenizer.decode(ids).endswith(BROKEN)


def _count(pieces: Sequence[Piece], part: Part | None = None) -> int:
    return sum(len(piece.ids) for piece in pieces if part in (None, piece.part))


def _stated(piece: Piece) -> dict[str, Any]:
    return {"ids": list(piece.ids), "text": piece.text, "turn": piece.turn, "trained": piece.part == "trained"}


def _block(pieces: Sequence[Piece], colour: bool, longest: int) -> list[str]:
    """The pieces as indented lines; every run of trained or of masked ones is marked as a whole."""
    text = ""
    for trained, run in groupby(pieces, lambda piece: piece.part == "trained"):
        run_pieces = _shortened(list(run), longest)
        if not colour:
            joined = "".join(shown(piece) for piece in run_pieces)
            text += f"{OPEN}{joined}{CLOSE}" if trained else joined
            continue
        for at, piece in enumerate(run_pieces):
            style = TRAINED[at % 2] if trained else DIM
            text += "\n".join(f"{style}{line}{RESET}" if line else "" for line in shown(piece).split("\n"))
    return [f"  {line}" for line in text.removesuffix("\n").split("\n")] if text else []


def _shortened(pieces: list[Piece], longest: int) -> list[Piece]:
    if sum(len(piece.text) for piece in pieces) <= longest:
        return pieces
    head, tail, size = 0, len(pieces), 0
    while head < tail and size < longest:
        size += len(pieces[head].text) + len(pieces[tail - 1].text)
        head, tail = head + 1, tail - 1
    left_out = _count(pieces[head:tail])
    if left_out <= 0:
        return pieces
    return [*pieces[:head], Piece((), f" … {left_out:,} tokens … ", pieces[0].part, None), *pieces[tail:]]


def shown(piece: Piece) -> str:
    """The text of a piece with line ends marked and control characters spelled out.

    >>> shown(Piece((1,), "a\\x1b[31m", "masked", 0))
    'a\\\\x1b[31m'
    """
    return "".join(
        NEWLINE + "\n" if sign == "\n" else sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in piece.text
    )
