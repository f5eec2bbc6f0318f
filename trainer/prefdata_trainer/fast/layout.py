"""A batch of pairs laid out so that nothing is computed twice or for nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Layout:
    """What the model reads, and where in its hidden states each token of the loss is predicted.

    ``rows`` and ``columns`` (predictions,) index the hidden states (rows, width, hidden); ``targets`` (predictions,)
    are the tokens to predict there. ``scored`` (2 * pairs, length - 1) is where predictions belong in TRL's batch.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor | None
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    scored: torch.Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and width."""
        return self.input_ids.shape[0], self.input_ids.shape[1]


def separate(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, multiple: int = 1) -> Layout:
    """Each side in a row of its own, as in TRL's batch, without what stands after the last token of the loss.

    All three (2 * pairs, length), padded on the right; ``labels`` are ``IGNORED`` where a token is not in the loss.
    """
    scored, ends = _scored(labels)
    width = min(_width(ends, multiple), input_ids.shape[1])
    rows, columns = scored.nonzero(as_tuple=True)
    return Layout(input_ids[:, :width], attention_mask[:, :width], None, rows, columns, labels[:, 1:][scored], scored)


def shared(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, multiple: int = 1) -> Layout:
    """Both sides of a pair in one row: what they have in common, the rest of chosen, the rest of rejected.

    Positions of both rests begin where the common part ends, and neither sees the other; so each token is computed from
    exactly what it is computed from in a row of its own (Wang and Hegde 2024, arXiv 2410.20305). The common parts are
    filled up to the longest one. ``attention_mask`` of the layout is boolean, (pairs, 1, branches, width), for the last
    ``branches`` tokens of a row; those before them see all that stands before themselves.
    """
    scored, ends = _scored(labels)
    pairs, last = input_ids.shape[0] // 2, input_ids.shape[1] - 1
    chosen, rejected = input_ids.chunk(2)
    attended = attention_mask.bool().chunk(2)
    same = (chosen == rejected) & attended[0] & attended[1]
    chosen_end, rejected_end = ends.chunk(2)
    common = torch.minimum(same.long().cumprod(dim=1).sum(dim=1), torch.minimum(chosen_end, rejected_end))
    split = chosen_end - common  # where, among the branches, the rest of rejected begins
    prefix = int(common.max())
    width = _width((prefix + split + rejected_end - common).clamp(min=prefix + 1), multiple)
    place = torch.arange(width, device=input_ids.device).expand(pairs, width)
    branch = place - prefix  # negative in the common part
    of_rejected = branch >= split[:, None]
    after = torch.where(of_rejected, branch - split[:, None], branch) + common[:, None]
    position = torch.where(branch < 0, place, after).clamp(max=last)
    # From a branch: the common part without its filling, and of its own branch what is not later.
    key, query = place[:, None, :], place[:, prefix:, None]
    own = (key >= prefix) & (key <= query) & (of_rejected[:, None, :] == of_rejected[:, prefix:, None])
    rows, columns = scored.nonzero(as_tuple=True)
    pair = rows % pairs
    moved = prefix - common[pair] + (rows >= pairs) * split[pair]
    return Layout(
        torch.where(of_rejected, rejected.gather(1, position), chosen.gather(1, position)),
        ((key < common[:, None, None]) | own)[:, None],
        position,
        pair,
        columns + (columns >= common[pair]) * moved,
        labels[:, 1:][scored],
        scored,
    )


def _scored(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the next token is in the loss, (rows, length - 1), and how many tokens have to be read, (rows,)."""
    scored = labels[:, 1:] != IGNORED
    places = torch.arange(1, labels.shape[1], device=labels.device)
    return scored, (scored * places).amax(dim=1).clamp(min=1)


def _width(ends: torch.Tensor, multiple: int) -> int:
    longest = int(ends.max())
    return longest + -longest % multiple
