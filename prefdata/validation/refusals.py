"""Whether an answer is a refusal, by how it begins: English set phrases, as models tuned for safety write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress

from prefdata.validation.remembered import Remembered

LOOKED_AT = 160
"""Characters at the start of an answer that are looked at."""
_CANNOT = r"(?:can ?not|can't|could not|couldn't|won't|will not|am (?:not able|unable)|'m (?:not able|unable))"
_ACTS = (
    "help assist comply provide fulfill fulfil answer give create write generate support offer discuss engage share "
    "recommend advise continue respond participate condone encourage"
)
_DO = rf"(?:{'|'.join(_ACTS.split())}|do (?:that|this)|in good conscience)"
_AI = r"(?:an?\ (?:ai|artificial\ intelligence|large\ language\ model|language\ model))"
REFUSAL = re.compile(
    rf"""^\W*(?:(?:oh|well|okay|ok|no|hmm)\W+)?(?:
        (?:i\s?'?a?m\s+)?(?:(?:so|very|really|terribly)\s+)?sorry\b[^.!?\n]{{0,40}}?[,.;:!]?\s*(?:but\s+)?
            (?:(?:as\s+{_AI}\b[^.,]*,?\s*)?i\s*{_CANNOT}|that'?s\ not|this\ is(?:n't|\ not))
        |(?:i\s+apologi[sz]e|my\ apologies|unfortunately)\b[^.!?\n]{{0,40}}?[,.;:]?\s*(?:but\s+)?i\s*{_CANNOT}
        |i\s*{_CANNOT}\s+(?:to\s+)?(?:\w+\s+){{0,2}}?{_DO}\b
        |(?:as|i(?:\ am|'m)(?:\ just|\ only)?)\ {_AI}\b[^.!?\n]{{0,80}}?\b(?:can\ ?not|can't|am\ not\ able|unable)\b
        |i\ (?:must|have\ to)\ (?:decline|refuse)\b
        |i(?:'d|\ would)\ (?:rather|prefer)\ not\b
        |i(?:'m|\ am)\ not\ (?:able|going|comfortable|willing)\b
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_BEGINNINGS = "i |i'|i’|i‘|iʼ|im|ia|so|ve|re|te|as|un|my|oh|we|ok|no|hm"
_STARTS = frozenset(both for it in _BEGINNINGS.split("|") for both in (it, it.upper(), it.capitalize(), it.swapcase()))
_WORDS = ("n’t", "n‘t", "nʼt", "unable", "decline", "refuse")
_CURLY = str.maketrans("\u2018\u2019\u02bc", "'''")


def is_refusal(text: str) -> bool:
    """Whether an answer begins as a refusal.

    >>> is_refusal("I\u2019m sorry, but I can\u2019t help with that."), is_refusal("I cannot recommend it enough!")
    (True, False)
    """
    start = text[:LOOKED_AT].translate(_CURLY)
    found = REFUSAL.match(start)
    return found is not None and "enough" not in start[found.end() : found.end() + 20]


def refusals(texts: Sequence[str]) -> list[int]:
    """The indices of the refusals among texts."""
    likely = compress(range(len(texts)), map(_BEGINS.__getitem__, [text[:2] for text in texts]))
    return [index for index in likely if may_be_refusal(texts[index]) and is_refusal(texts[index])]


class _Begins(Remembered):
    """Whether a refusal may begin with two characters."""

    def __missing__(self, start: str) -> bool:
        return self.remember(start, start in _STARTS or not start[:1].isalnum())


_BEGINS = _Begins()


def may_be_refusal(text: str) -> bool:
    """A test that costs little and is true for every refusal: the first letters, and a word of which each has one."""
    if not _BEGINS[text[:2]]:
        return False
    start = text[:LOOKED_AT].lower()
    return "not" in start or "n't" in start or any(word in start for word in _WORDS)
