"""Labels and fences drawn afresh for every call, so that no response can hold them.

A judge that is asked for "[[A]]" can be answered for by a response that quotes "[[A]]", and one that is shown a
response between fixed marks can be misled by a response that closes them itself. Here both carry a nonce. It follows
from what is shown alone, so that a call keeps its key from run to run, and it is drawn again while any text that is
shown holds it: a response cannot name it by foresight or by chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from prefdata.records.ids import canonical

ALPHABET = "bcdfghjkmnpqrstvwxz"
"""Consonants that are not mistaken for digits: a nonce is never a word."""
LENGTH = 6
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Labels of one token; without I and O, which look like digits."""


def nonce_for(template_sha256: str, texts: Sequence[str], sample: int) -> str:
    """A nonce for one call that stands in none of ``texts``; equal arguments give the same.

    >>> nonce_for("t", ["one", "two"], 0) == nonce_for("t", ["one", "two"], 0) != nonce_for("t", ["two", "one"], 0)
    True
    """
    haystack = "\0".join(texts).casefold()
    return next(nonce for nonce in _nonces([template_sha256, list(texts), sample]) if nonce not in haystack)


def drawn_labels(labels: Mapping[str, str], mode: str, nonce: str, texts: Sequence[str]) -> dict[str, str]:
    """What stands for each label in one call: the label with the nonce, or a capital letter of its own.

    Letters do not depend on the order of ``texts``: what a judge has for or against a letter then stays with the place
    at which a response is shown, and asking in both orders cancels it.
    """
    if mode == "suffix":
        return {side: f"{label}-{nonce}" for side, label in labels.items()}
    digest = hashlib.sha256(canonical(sorted(texts))).digest()
    left = list(LETTERS)
    return {side: left.pop(byte % len(left)) for side, byte in zip(labels, digest, strict=False)}


def _nonces(identity: Sequence[object]) -> Iterator[str]:
    count = 0
    while True:
        number = int.from_bytes(hashlib.sha256(canonical([*identity, count])).digest())
        letters = []
        for _ in range(LENGTH):
            number, place = divmod(number, len(ALPHABET))
            letters.append(ALPHABET[place])
        yield "".join(letters)
        count += 1
