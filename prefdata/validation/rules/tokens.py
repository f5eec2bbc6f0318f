"""TOK: what becomes of a row once a tokenizer and a trainer have had it; these rules run with ``--tokenizer``."""

from __future__ import annotations

from collections.abc import Iterator

from prefdata.rendering.report import REASONS
from prefdata.validation.registry import Hit, token_rule
from prefdata.validation.rules.conversation import ASK, FIVE, FOUR, chat, turn
from prefdata.validation.rules.tools import call, result
from prefdata.validation.tokens import Tokens, messages_of

GOOD = b'{"prompt": "2+2?\\n", "chosen": "4", "rejected": "5"}'
CALM = chat(ASK, FOUR, FIVE)


def _squeezed(text: str) -> str:
    return "".join(text.split())


@token_rule(
    "TOK001",
    "unrenderable",
    message="the chat template refuses the conversation, or its turns cannot be told apart",
    hint="mend the roles that it names, or pass another template: --chat-template FILE",
    why="""The template of the model is a program that may raise an error: on a role that it does not know, on turns
    that do not alternate, on a system turn. Training would stop at this row, or drop it.""",
    bad=chat(turn("developer", "Be brief.") + b", " + ASK, FOUR, FIVE),
    good=CALM,
)
def unrenderable(tokens: Tokens) -> Iterator[Hit]:
    if tokens.whole is None and tokens.error is not None:
        yield Hit("/prompt", tokens.error.message, tokens.error.hint)


@token_rule(
    "TOK002",
    "turn-not-rendered",
    severity="warning",
    message="the chat template leaves out a turn",
    hint="give its text to another turn (a system text to the first user turn), or pass another template",
    why="""Some templates leave out roles that they do not know, or all but the last system turn, without an error. The
    model then trains on another conversation than the one that was judged.""",
    bad=chat(
        ASK + b", " + call({"a": 2, "b": 2}) + b", " + result("It is four"),
        turn("assistant", "4"),
        turn("assistant", "5"),
    ),
    good=CALM,
)
def turn_not_rendered(tokens: Tokens) -> Iterator[Hit]:
    row = tokens.row
    if row.form == "text" or tokens.whole is None:
        return
    written = [_squeezed(text) for text in tokens.texts]
    sides = {"/prompt": written, "/chosen": written[:1], "/rejected": written[1:]}
    for pointer, message in messages_of(row):
        said = _squeezed(message.get("content") or "")
        side = "/" + pointer.split("/")[1]
        if said and not all(said in text for text in sides[side]):
            yield Hit(pointer, f"the template leaves out the {message['role']}'s turn, or a part of it")


@token_rule(
    "TOK003",
    "no-difference-left",
    message="the sides are the same tokens to the trainer, or none of them is left",
    hint="raise --max-length, or shorten the prompt: the sides must differ within it",
    why="""Stock TRL cuts what is longer than max_length at the end. Where the sides differ only beyond the cut they
    become the same sequence, with a gradient of exactly zero; where the prompt alone fills it, the pair is left out
    without a word.""",
    bad=b'{"prompt": "2+2?\\n", "chosen": "Sure, let me search. The capital of France is Paris. Book me a hotel in '
    b'Paris please. Yes. 4", "rejected": "Sure, let me search. The capital of France is Paris. Book me a hotel in '
    b'Paris please. Yes. 5"}',
    good=GOOD,
)
def no_difference_left(tokens: Tokens) -> Iterator[Hit]:
    pair, reason = tokens.trained
    if pair is not None or reason in (None, "unrenderable", "too-long"):
        return
    length = len(tokens.whole.prompt_ids) if tokens.whole is not None else 0
    limit = f" (prompt of {length} tokens, --max-length {tokens.settings.max_length})"
    yield Hit("", f"{REASONS[reason]}{limit if tokens.settings.max_length else ''}")


@token_rule(
    "TOK004",
    "longer-than-max-length",
    severity="warning",
    message="prompt and completion are longer than --max-length",
    hint="raise --max-length, shorten the row, or choose what is cut: prefdata train dpo --truncation cut-prompt",
    why="""prefdata train dpo leaves such pairs out unless --truncation says otherwise. Stock TRL cuts the end off the
    answers, and with it the mark by which the model learns to stop.""",
    bad=b'{"prompt": "2+2?\\n", "chosen": "Sure, let me search. The capital of France is Paris. Book me a hotel in '
    b'Paris please. Yes, yes, no, no, hello.", "rejected": "5"}',
    good=GOOD,
)
def longer_than_max_length(tokens: Tokens) -> Iterator[Hit]:
    whole, (_, reason) = tokens.whole, tokens.trained
    if whole is None:
        return
    limit = tokens.settings.max_length
    if reason == "too-long":
        yield Hit("", f"{whole.length} tokens, {limit} are allowed: training leaves the pair out")
    elif reason == "completion-cut":
        sides = zip(("chosen", "rejected"), whole.sides, strict=True)
        long = [name for name, side in sides if len(whole.prompt_ids) + len(side.ids) > (limit or 0)]
        yield Hit(f"/{long[0]}", f"{' and '.join(long)} lose their end: {whole.length} tokens, {limit} are allowed")


@token_rule(
    "TOK005",
    "prompt-not-a-prefix",
    severity="warning",
    message="the tokens of the prompt are not those with which prompt and completion begin",
    hint="end prompts of strings with a line break, or use a template that writes the prompt alike before an answer",
    why="""At inference the model reads the tokens of the prompt alone. Where they merge with the answer ("ho" + "tel"),
    or where the template writes the prompt otherwise when an answer follows, stock TRL trains on a sequence that the
    model never meets, and leaves the end of the prompt out. prefdata train splits such tokens; it is asked here with
    --trainer trl.""",
    bad=b'{"prompt": "Book me a ho", "chosen": "tel", "rejected": "5"}',
    good=GOOD,
)
def prompt_not_a_prefix(tokens: Tokens) -> Iterator[Hit]:
    if tokens.settings.trainer == "trl" and tokens.stock is not None and tokens.stock.lost:
        lost = tokens.tokenizer.decode(tokens.stock.lost)
        yield Hit("/prompt", f"the prompt ends with {lost[:60]!r}, which the trained sequence does not hold there")


@token_rule(
    "TOK006",
    "doubled-mark",
    severity="warning",
    message="the mark of the start or of the end stands twice",
    hint="cut the mark from the text: tokenizer or template writes it already",
    why="""Two BOS tokens are what no model has seen in training and shift what it says from the first token on; two EOS
    tokens teach it to go on after its end. Mostly the text was rendered once before (see TXT001).""",
    bad=b'{"prompt": "<|bos|>2+2?\\n", "chosen": "4", "rejected": "5"}',
    good=GOOD,
)
def doubled_mark(tokens: Tokens) -> Iterator[Hit]:
    pair = tokens.whole
    if pair is None:
        return
    begin, end = tokens.tokenizer.bos_token_id, tokens.tokenizer.eos_token_id
    if begin is not None and pair.prompt_ids[:2] == (begin, begin):
        yield Hit("/prompt", "the sequence begins with two BOS tokens")
    for name, side in zip(("chosen", "rejected"), pair.sides, strict=True):
        if end is not None and side.ids[-2:] == (end, end):
            yield Hit(f"/{name}", f"{name} ends with two EOS tokens")


@token_rule(
    "TOK007",
    "text-becomes-mark",
    severity="warning",
    message="text of a turn becomes a special token of this tokenizer",
    hint="cut it from the text, or write it otherwise (with a space in it)",
    why="""What stands for the end of a turn in this model's vocabulary is read as that very token wherever it stands
    in text: the turn ends there, or another speaker begins. Unlike TXT001, which knows the marks of many models, this
    asks the tokenizer at hand.""",
    bad=b'{"prompt": "2+2?\\n", "chosen": "4 <|im_start|> 5", "rejected": "5"}',
    good=GOOD,
)
def text_becomes_mark(tokens: Tokens) -> Iterator[Hit]:
    row = tokens.row
    if row.form == "text":
        texts = [(f"/{side}", getattr(row, side)) for side in ("prompt", "chosen", "rejected")]
    else:
        texts = [(f"{pointer}/content", message.get("content") or "") for pointer, message in messages_of(row)]
    for pointer, text in texts:
        marks = [mark for mark in tokens.marks.values() if mark in text]
        if marks:
            yield Hit(pointer, f"{', '.join(marks[:3])} in the text becomes a special token", sign=marks[0])
