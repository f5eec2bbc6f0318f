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

    Positions of the rest of rejected begin again where the common part ends, and its tokens do not see the rest of
    chosen; so each token is computed from exactly what it is computed from in a row of its own (Wang and Hegde 2024,
    arXiv 2410.20305). ``attention_mask`` of the layout is boolean, (pairs, 1, width, width).
    """
    scored, ends = _scored(labels)
    pairs, last = input_ids.shape[0] // 2, input_ids.shape[1] - 1
    chosen, rejected = input_ids.chunk(2)
    same = (chosen == rejected) & attention_mask.bool().chunk(2)[0] & attention_mask.bool().chunk(2)[1]
    chosen_end, rejected_end = ends.chunk(2)
    common = torch.minimum(same.long().cumprod(dim=1).sum(dim=1), torch.minimum(chosen_end, rejected_end))
    shift = chosen_end - common  # how much further right than in its own row the rest of rejected stands
    width = _width(rejected_end + shift, multiple)
    place = torch.arange(width, device=input_ids.device).expand(pairs, width)
    of_rejected = place >= chosen_end[:, None]
    position = torch.where(of_rejected, place - shift[:, None], place).clamp(max=last)
    of_chosen = (place >= common[:, None]) & ~of_rejected
    allowed = torch.ones(width, width, dtype=torch.bool, device=input_ids.device).tril()
    allowed = allowed & ~(of_rejected[:, :, None] & of_chosen[:, None, :])
    rows, columns = scored.nonzero(as_tuple=True)
    pair = rows % pairs
    moved = (rows >= pairs) & (columns >= common[pair])
    return Layout(
        torch.where(of_rejected, rejected.gather(1, position), chosen.gather(1, position)),
        allowed[:, None],
        position,
        pair,
        columns + moved * shift[pair],
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
