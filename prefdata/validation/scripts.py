"""In which script a text is written: what tells most languages of the world apart, though not those of Europe."""

from __future__ import annotations

import re

SCRIPTS = {
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF)),
    "Greek": ((0x370, 0x3FF),),
    "Cyrillic": ((0x400, 0x52F),),
    "Hebrew": ((0x590, 0x5FF),),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F)),
    "Devanagari": ((0x900, 0x97F),),
    "Bengali": ((0x980, 0x9FF),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Thai": ((0xE00, 0xE7F),),
    "Georgian": ((0x10A0, 0x10FF),),
    "Korean": ((0x1100, 0x11FF), (0xAC00, 0xD7A3)),
    "Chinese or Japanese": ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
}
"""Ranges of code points, from Unicode's blocks."""
_LETTERS = {
    name: re.compile("[" + "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in ranges) + "]")
    for name, ranges in SCRIPTS.items()
}
SAMPLE = 200
"""Characters of a text whose script is looked at."""
LEAST_LETTERS, PLAIN_SHARE = 12, 0.7
_DENSE = "Chinese or Japanese"
"""A word of it has one or two letters, where one of English has five."""


def script_of(text: str) -> str | None:
    """The script in which nearly all letters at the start of a text are written; ``None`` where none is plain.

    >>> script_of("The capital is Paris."), script_of("Столица Франции — Париж."), script_of("4")
    ('Latin', 'Cyrillic', None)
    """
    sample = text[:SAMPLE]
    if sample.isascii():
        return "Latin" if sum(map(str.isalpha, sample)) >= LEAST_LETTERS else None
    counts = {name: len(letters.findall(sample)) for name, letters in _LETTERS.items()}
    counts[_DENSE] *= 3
    name = max(counts, key=counts.__getitem__)
    return name if counts[name] >= max(LEAST_LETTERS, PLAIN_SHARE * sum(counts.values())) else None
