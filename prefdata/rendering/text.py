"""Plain text pairs: the boundary between prompt and completion always stands between two tokens."""

from __future__ import annotations

from prefdata.errors import RenderingError
from prefdata.rendering.tokens import RenderedPair, RenderedSide, Tokenizer


def render_text(tokenizer: Tokenizer, id: str, prompt: str, chosen: str, rejected: str) -> RenderedPair:
    """A text pair as token ids: BOS as the tokenizer puts it, EOS once at the end of either side.

    Raises RenderingError where the tokenizer has no EOS token, without which a model never learns to stop.
    """
    if tokenizer.eos_token_id is None:
        raise RenderingError(
            "the tokenizer has no EOS token: the model would never learn to stop", "set eos_token in its configuration"
        )
    prompt_ids = list(tokenizer(prompt)["input_ids"])
    bare_ids = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    if prompt_ids and prompt_ids[-1] == tokenizer.eos_token_id and bare_ids[-1:] != prompt_ids[-1:]:
        prompt_ids.pop()  # tokenizers that close every text with EOS would end the sequence before the completion
    sides = [_side(tokenizer, prompt, bare_ids, prompt_ids, completion) for completion in (chosen, rejected)]
    return RenderedPair(id, tuple(prompt_ids), sides[0], sides[1])


def _side(
    tokenizer: Tokenizer, prompt: str, bare_ids: list[int], prompt_ids: list[int], completion: str
) -> RenderedSide:
    """One completion, tokenised in its place where no token spans the boundary, else by itself.

    At inference the prompt is tokenised alone, so a sequence in which "ho" + "tel" has become the one token "hotel"
    is one that the model never meets: the prompt's tokens must be those of the prompt. Tokenising the whole first keeps
    tokenizers that put a space before every text (SentencePiece) from putting one between prompt and completion.
    """
    whole = tokenizer(prompt + completion, add_special_tokens=False)["input_ids"]
    if list(whole[: len(bare_ids)]) == bare_ids:
        ids = list(whole[len(bare_ids) :])
    else:
        ids = list(tokenizer(completion, add_special_tokens=False)["input_ids"])
    eos = tokenizer.eos_token_id
    assert eos is not None
    if not ids or ids[-1] != eos:
        ids.append(eos)
    # A token is predicted from those before it: at the very start of a sequence there are none.
    in_loss = [position > 0 or bool(prompt_ids) for position in range(len(ids))]
    return RenderedSide(tuple(ids), (0,) * len(ids), tuple(in_loss))
