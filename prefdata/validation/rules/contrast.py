"""PRF, continued: rows whose two sides hardly differ, or differ in what gives the answer away."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from operator import or_
from typing import Any

from prefdata.types import Edit, Fix
from prefdata.validation.batch import SMALL, Batch
from prefdata.validation.refusals import is_refusal
from prefdata.validation.registry import Hit, row_rule
from prefdata.validation.row import Row

GOOD = b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}'
LEAST_ECHO = 20
"""Characters of a prompt whose return in an answer is no accident."""


def normalised(text: str) -> str:
    """A text in NFKC, without invisible characters, its case folded and each run of whitespace one space.

    >>> normalised("The\u00a0 \ufb01rst\u200b\\n") == normalised("the first")
    True
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    return " ".join(text.casefold().split())


def _may_be_alike(batch: Batch) -> list[int]:
    chosens, rejecteds = batch.answers
    return [
        index
        for index, (first, second) in enumerate(zip(*batch.initials, strict=True))
        if (first == second or first is None or second is None) and _meets(chosens[index], rejecteds[index])
    ]


def _meets(one: str, other: str) -> bool:
    """Whether two texts may be the same once normalised, by how they begin and end; true for all that are."""
    return _begins_alike(one, other) and _begins_alike(one[:-48:-1], other[:-48:-1])


def _begins_alike(one: str, other: str) -> bool:
    # They surely do not where two plain letters differ after others that are the same (and no whitespace).
    for mine, theirs in zip(one[:24], other[:24], strict=False):
        if mine != theirs:
            if mine in SMALL and theirs in SMALL and mine.lower() != theirs.lower():
                return False
            break
        if mine.isspace():
            break
    one, other = one[:48], other[:48]
    if one == other or not (one.isascii() and other.isascii()):
        return True
    one, other = "".join(one.split()).lower(), "".join(other.split()).lower()
    least = min(len(one), len(other), 16)
    return one[:least] == other[:least]


@row_rule(
    "PRF005",
    "same-but-for-form",
    severity="warning",
    message="chosen and rejected are the same but for case, whitespace or the encoding of characters",
    hint="is the form what you want to teach? Else remove the row, or look for the step that lost the difference",
    why="""Two answers that say the same in other letters teach only the form: a trailing space, a capital, a ligature.
    They are compared in Unicode's NFKC, without invisible characters, case folded, and with each run of whitespace as
    one space. As indentation can matter (in code), the row is kept.""",
    bad=b'{"prompt": "2+2?", "chosen": "It is 4.", "rejected": "it is  4."}',
    good=b'{"prompt": "2+2?", "chosen": "It is 4.", "rejected": "It is 5."}',
    screen=_may_be_alike,
)
def same_but_for_form(row: Row) -> Iterator[Hit]:
    if row.chosen == row.rejected:
        return
    if row.form == "text":
        pairs = [(row.chosen, row.rejected)]
    else:
        if len(row.chosen) != len(row.rejected) or not all(map(_alike_but_text, row.chosen, row.rejected)):
            return
        pairs = [
            (a.get("content") or "", b.get("content") or "") for a, b in zip(row.chosen, row.rejected, strict=True)
        ]
    if all(normalised(one) == normalised(other) for one, other in pairs) and any(one.strip() for one, _ in pairs):
        parts = next((one, other) for one, other in pairs if one != other)
        yield Hit("/rejected", f"the sides differ only in {_difference(*parts)}", parts=parts)


def _alike_but_text(one: Any, other: Any) -> bool:
    return {**one, "content": None} == {**other, "content": None}


def _difference(one: str, other: str) -> str:
    if one.split() == other.split():
        return "whitespace"
    if one.casefold().split() == other.casefold().split():
        return "the case of letters"
    return "how characters are encoded"


def _may_continue(batch: Batch) -> list[int]:
    """Of conversations the first messages decide: one is the other, or its beginning."""
    chosens, rejecteds = batch.openings
    return batch.where(map(or_, map(str.startswith, chosens, rejecteds), map(str.startswith, rejecteds, chosens)))


@row_rule(
    "PRF011",
    "one-side-continues-other",
    severity="warning",
    message="one side is the beginning of the other",
    hint="was the shorter one cut off (TXT005)? Then leave the row out; else length alone is what it teaches",
    why="""Where one answer is the beginning of the other, all that differs is where the model stops: the pair teaches
    length. Mostly the shorter one was cut by a limit of tokens, or the longer one ran on into another turn.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "4. Is there more that I can do?"}',
    good=GOOD,
    screen=_may_continue,
)
def one_side_continues_other(row: Row) -> Iterator[Hit]:
    for (short, one), (long, other) in (*pairwise(row.completions()), *pairwise(reversed([*row.completions()]))):
        if _starts(one, other):
            where = f"/{long}" if row.form == "text" else row.pointer(long, len(one) - 1)
            yield Hit(where, f"{short} is the beginning of {long}")


def _starts(one: Any, other: Any) -> bool:
    """Whether a side that says something is the beginning of another, and not the whole of it."""
    if isinstance(one, str):
        return bool(one.strip()) and len(one) < len(other) and other.startswith(one)
    if not one or len(one) > len(other) or one[:-1] != other[: len(one) - 1]:
        return False
    last, same = one[-1], other[len(one) - 1]
    if last == same:
        return len(one) < len(other)
    texts = last.get("content") or "", same.get("content") or ""
    return len(one) == len(other) and _alike_but_text(last, same) and _starts(*texts)


def _contradicted(batch: Batch) -> list[int]:
    found = set()
    if "score_chosen" in batch.fields:
        scores = enumerate(zip(batch.column("score_chosen"), batch.column("score_rejected"), strict=True))
        found = {index for index, (one, other) in scores if one is not None and other is not None and one < other}
    if "probability" in batch.fields:
        found |= {index for index, value in enumerate(batch.column("probability")) if value is not None and value < 0.5}
    return sorted(found)


def _tied(batch: Batch) -> list[int]:
    return batch.where(value == 0.5 for value in batch.column("probability")) if "probability" in batch.fields else []


def _with_equal_scores(batch: Batch) -> list[int]:
    if "score_chosen" not in batch.fields:
        return []
    scores = zip(batch.column("score_chosen"), batch.column("score_rejected"), strict=True)
    return batch.where(one is not None and one == other for one, other in scores)


@row_rule(
    "PRF006",
    "scores-contradict",
    message="the scores say that rejected is the better answer",
    hint="look at which way round the score goes; rows that are simply wrong can be swapped or left out",
    why="""A pair whose score_chosen is below its score_rejected, or whose probability is below one half, contradicts
    itself: either the sides were swapped or the score runs the other way (a loss, a rank). Published data sets hold
    thousands of such rows, and each trains against what its own judge said.""",
    bad=b'{"prompt": "2+2?", "chosen": "5", "rejected": "4", "score_chosen": 2, "score_rejected": 9}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "score_chosen": 9, "score_rejected": 2}',
    screen=_contradicted,
)
def scores_contradict(row: Row) -> Iterator[Hit]:
    chosen, rejected = row.document.get("score_chosen"), row.document.get("score_rejected")
    if chosen is not None and rejected is not None and chosen < rejected:
        told = f"score_chosen {chosen} is below score_rejected {rejected}"
        yield Hit("/score_chosen", told, fix=_swapped(row))
    probability = row.document.get("probability")
    if probability is not None and probability < 0.5:
        yield Hit(
            "/probability", f"the probability that chosen is the better answer is only {probability}", fix=_swapped(row)
        )


def _swapped(row: Row) -> Fix | None:
    """The sides swapped; none where the row's own figures do not agree on that."""
    document: Any = row.document
    chosen, rejected, probability = (document.get(key) for key in ("score_chosen", "score_rejected", "probability"))
    scored = chosen is not None and rejected is not None
    if document.get("margin") or (scored and chosen > rejected) or (probability is not None and probability > 0.5):
        return None
    edits = [Edit("/chosen", document["rejected"]), Edit("/rejected", document["chosen"])]
    if scored:
        edits += [Edit("/score_chosen", rejected), Edit("/score_rejected", chosen)]
    if probability is not None:
        edits.append(Edit("/probability", 1 - probability))
    return Fix("swap the sides", tuple(edits), safe=False)


@row_rule(
    "PRF013",
    "tie",
    severity="warning",
    message="the row is a tie: its probability says that neither answer is preferred",
    hint="train with --weight-by probability, which gives ties no weight, or with --smoothing; or pair with --tie drop",
    why="""A tie record (prefdata pair and judge, --tie keep or soft) holds two answers of which neither won; which one
    stands as chosen was drawn. A loss that reads no probability would learn from that draw.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "Four.", "margin": 0, "probability": 0.5}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": 1, "probability": 0.9}',
    screen=_tied,
)
def tie(row: Row) -> Iterator[Hit]:
    if row.document.get("probability") == 0.5:
        yield Hit("/probability")


@row_rule(
    "PRF007",
    "scores-equal",
    severity="warning",
    message="both answers have the same score",
    hint="leave ties out (prefdata convert --tie drop), or give the pair a margin of 0 where the loss uses margins",
    why="""Where the judge gave both answers the same score, which one is chosen was decided by something else: the
    order in the file, or a coin. Such pairs are noise: ten points more noise can cost thirty points of win rate.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "score_chosen": 7, "score_rejected": 7}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "score_chosen": 7, "score_rejected": 6}',
    screen=_with_equal_scores,
)
def scores_equal(row: Row) -> Iterator[Hit]:
    chosen, rejected = row.document.get("score_chosen"), row.document.get("score_rejected")
    if chosen is not None and chosen == rejected:
        yield Hit("/score_chosen", f"score_chosen and score_rejected are both {chosen}")


@row_rule(
    "PRF008",
    "refusal-chosen",
    severity="info",
    message="chosen refuses, rejected does not",
    hint="right for unsafe prompts; elsewhere it teaches to refuse: see how many there are in the totals",
    why="""A chosen refusal is what safety data is for. Where the prompt is harmless it teaches over-refusal, which is
    quickly learnt: a refusal is the same few words every time. Told by English set phrases at the start of an answer
    ("I'm sorry, but I can't …"); other refusals are not seen.""",
    bad=b'{"prompt": "2+2?", "chosen": "I am sorry, but I cannot help with that.", "rejected": "5"}',
    good=GOOD,
    screen=lambda batch: batch.refusals[0],
)
def refusal_chosen(row: Row) -> Iterator[Hit]:
    yield from _refusals(row, "chosen", "rejected")


@row_rule(
    "PRF009",
    "refusal-rejected",
    severity="info",
    message="rejected refuses, chosen does not",
    hint="right where the prompt is harmless; where it is not, it teaches to comply",
    why="""A rejected refusal teaches to answer. That is wanted for harmless prompts. In safety data it is mostly a
    swapped pair. Told by English set phrases at the start of an answer, as for refusal-chosen.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "I am sorry, but I cannot help with that."}',
    good=GOOD,
    screen=lambda batch: batch.refusals[1],
)
def refusal_rejected(row: Row) -> Iterator[Hit]:
    yield from _refusals(row, "rejected", "chosen")


def _refusals(row: Row, side: str, other: str) -> Iterator[Hit]:
    pointer, text = row.answer(side)
    if is_refusal(text) and not is_refusal(row.answer(other)[1]):
        yield Hit(pointer)


def _may_echo(batch: Batch) -> list[int]:
    chosens, rejecteds = batch.answers
    asked = batch.questions
    return batch.where(map(or_, map(str.startswith, chosens, asked), map(str.startswith, rejecteds, asked)))


@row_rule(
    "PRF010",
    "prompt-echoed",
    severity="warning",
    message="one answer begins with the prompt, the other does not",
    hint="cut the prompt off that answer: it was stored with its prompt, or a base model repeated it",
    why="""A text that was generated together with its prompt and stored whole begins with the prompt. Where only one
    side does, that is the plainest difference between the two, and what the model learns. (Where both do: CNV011.)""",
    bad=b'{"prompt": "What is the sum of 2 and 2?", "chosen": "4", "rejected": "What is the sum of 2 and 2? It is 5."}',
    good=GOOD,
    screen=_may_echo,
)
def prompt_echoed(row: Row) -> Iterator[Hit]:
    asked = row.answer("prompt")[1]
    if len(asked.strip()) < LEAST_ECHO:
        return
    echoes = [(side, *row.answer(side)) for side, _ in row.completions() if row.answer(side)[1].startswith(asked)]
    if len(echoes) == 1:
        side, pointer, text = echoes[0]
        if len(text) > len(asked):
            yield Hit(pointer, f"{side} begins with the prompt, the other answer does not")
        else:
            yield Hit(pointer, f"{side} only repeats the prompt")
