"""TXT, continued: answers that end or speak otherwise than they should."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from operator import not_

from prefdata.validation.batch import Batch
from prefdata.validation.languages import LEAST_CHARACTERS as LEAST
from prefdata.validation.languages import language_of, may_differ, plainly_english
from prefdata.validation.registry import Hit, row_rule
from prefdata.validation.remembered import Remembered
from prefdata.validation.row import Row
from prefdata.validation.scan import table
from prefdata.validation.scripts import may_be_other, script_of

OPEN_WORDS = frozenset(
    ["a", "an", "the", "and", "or", "but", "nor", "into", "onto", "because", "although", "which", "whose", "their"]
) | frozenset(["your", "our", "my", "its", "very", "i'm", "you're"])
"""Words with which hardly an English sentence ends. Those with which a question may ("of", "to", "is") are left out."""
OPEN_SIGNS = ",([{"
_LAST_TWO = frozenset((" " + word)[-2:] for word in OPEN_WORDS)
_LAST_ONE = frozenset(OPEN_SIGNS) | frozenset(" \n\t\r\f\v\x1c\x1d\x1e\x1f\x85\xa0")
_TICK = table(b"`")
SHORTEST = 40


def cut_end(text: str) -> str | None:
    """Why a text looks cut off at its end; ``None`` where it does not.

    >>> cut_end("First of all we have to look at the weather and the"), cut_end("It is 4.")
    ("it ends with 'the'", None)
    """
    if text.count("```") % 2:
        return "a code block (```) is open at its end"
    text = text.rstrip()
    if len(text) < SHORTEST:
        return None
    if text[-1] in OPEN_SIGNS:
        return f"it ends with {text[-1]!r}"
    word = text[text.rfind(" ") + 1 :]
    return f"it ends with {word!r}" if word in OPEN_WORDS else None


def _may_be_cut(batch: Batch) -> list[int]:
    scan = batch.scan
    found = set(scan.rows(scan.after(0x60, _TICK), scan.escaped((0x60,))))
    for answers in batch.answers:
        for index in compress(range(len(answers)), map(_ENDS.__getitem__, [text[-2:] for text in answers])):
            text = answers[index]
            if text[text.rfind(" ") + 1 :] in OPEN_WORDS or text[-1] in _LAST_ONE:
                found.add(index)
    return sorted(found)


class _Ends(Remembered):
    """Whether a text that was cut may end with two characters."""

    def __missing__(self, end: str) -> bool:
        return self.remember(end, end in _LAST_TWO or end[-1:] in _LAST_ONE)


_ENDS = _Ends()


@row_rule(
    "TXT005",
    "cut-end",
    severity="warning",
    message="an answer looks cut off at its end",
    hint="raise the limit of tokens with which answers are sampled, and leave out answers that stopped for length",
    why="""An answer that stops in the middle of a sentence was mostly cut by a limit of tokens. A chosen one teaches
    the model to stop there; a rejected one lets length alone decide. Told where the end is plain: a comma, an open
    bracket or code block, or an English word like "the" or "and" that ends no sentence. Other cuts are not seen.""",
    bad=b'{"prompt": "What is 2+2?", "chosen": "It is 4.", "rejected": "To add two numbers we look at both and the"}',
    good=b'{"prompt": "What is 2+2?", "chosen": "It is 4.", "rejected": "It is 5."}',
    screen=_may_be_cut,
)
def answer_cut(row: Row) -> Iterator[Hit]:
    for side, _ in row.completions():
        pointer, text = row.answer(side)
        if reason := cut_end(text):
            yield Hit(pointer, f"{side} looks cut off: {reason}")


def _may_be_other_language(batch: Batch) -> list[int]:
    chosens, rejecteds = batch.answers
    either = [
        index
        for index, (one, other) in enumerate(zip(chosens, rejecteds, strict=True))
        if (len(one) >= LEAST and not plainly_english(one)) or (len(other) >= LEAST and not plainly_english(other))
    ]
    found = {index for index in either if may_differ(chosens[index], rejecteds[index])}
    if not batch.scan.ascii or batch.scan.escapes:
        for answers in batch.answers:  # where the sides differ, one of them is not Latin
            others = compress(range(len(answers)), map(not_, map(str.isascii, answers)))
            found.update(index for index in others if may_be_other(answers[index]))
    return sorted(found)


FRANCE = '{"prompt": "What is the capital of France?", "chosen": "%s", "rejected": "%s"}'


@row_rule(
    "TXT006",
    "other-language",
    severity="warning",
    message="one answer is written in another language than the prompt and the other answer",
    hint="was the answer sampled in the wrong language? Leave the row out, or answer in the prompt's language",
    why="""Where one answer speaks another language than the prompt and the other answer, the language decides and not
    what is said. Languages are told apart by their script at the start of each text (Latin, Cyrillic, Chinese …), and
    in Latin letters by their function words (English, Spanish, French, German and a dozen others); short texts, names
    and code are of no language, and near relatives such as Spanish and Portuguese may be taken for one. A prompt that
    asks for a translation, so that both answers change the language, is no fault.""",
    bad=(FRANCE % ("The capital is Paris.", "Столица Франции — город Париж.")).encode(),
    good=(FRANCE % ("The capital is Paris.", "The capital is London.")).encode(),
    screen=_may_be_other_language,
)
def other_language(row: Row) -> Iterator[Hit]:
    texts = {"prompt": row.answer("prompt"), **{side: row.answer(side) for side, _ in row.completions()}}
    scripts = {side: script_of(text) for side, (_, text) in texts.items()}
    if scripts["prompt"] is None:
        return
    told = {side: f"{script} letters" for side, script in scripts.items() if script is not None}
    if set(scripts.values()) <= {"Latin", None}:
        if not may_differ(texts["chosen"][1], texts["rejected"][1]):
            return
        languages = {side: language_of(text) for side, (_, text) in texts.items()}
        told = {side: language for side, language in languages.items() if language is not None}
    asked = told.get("prompt")
    for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if asked is not None and told.get(side) not in (None, asked) and told.get(other) == asked:
            yield Hit(texts[side][0], f"{side} is written in {told[side]}, prompt and {other} in {asked}")
