"""In which script a text is written: what tells most languages of the world apart, though not those of Europe."""

from __future__ import annotations

import re

import numpy as np

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
NAMES = [None, *SCRIPTS]
_EDGES = sorted({edge for ranges in SCRIPTS.values() for low, high in ranges for edge in (low, high + 1)})
_SCRIPT_AT = np.zeros(len(_EDGES) + 1, np.int64)
"""For each stretch between two edges the number of its script, 0 for none."""
for _number, _ranges in enumerate(SCRIPTS.values(), start=1):
    for _low, _high in _ranges:
        _SCRIPT_AT[_EDGES.index(_low) + 1 : _EDGES.index(_high + 1) + 1] = _number
SAMPLE = 200
"""Characters of a text whose script is looked at."""
LEAST_LETTERS, PLAIN_SHARE = 12, 0.7
_DENSE, _DENSITY = NAMES.index("Chinese or Japanese"), 3
"""A word of it has one or two letters, where one of English has five."""
_OTHER = re.compile("[\u0370-\u1dff\u2c00-\ud7ff]")
_LEAST = LEAST_LETTERS // _DENSITY


def may_be_other(text: str) -> bool:
    """A test that costs little for text in Latin letters, and is true for all that is plainly in others."""
    sample = text[:SAMPLE]
    if sample.isascii() or len(sample.encode("utf-8", "replace")) - len(sample) < 2 * _LEAST:
        return False
    return len(_OTHER.findall(sample)) >= _LEAST


def script_of(text: str) -> str | None:
    """The script in which nearly all letters at the start of a text are written; ``None`` where none is plain.

    >>> script_of("The capital is Paris."), script_of("Столица Франции — Париж."), script_of("4")
    ('Latin', 'Cyrillic', None)
    """
    sample = text[:SAMPLE]
    if sample.isascii():
        return "Latin" if sum(map(str.isalpha, sample)) >= LEAST_LETTERS else None
    codes = np.frombuffer(sample.encode("utf-32-le", "replace"), np.uint32)
    counts = np.bincount(_SCRIPT_AT[np.searchsorted(_EDGES, codes, side="right")], minlength=len(NAMES))
    counts[0] = 0
    counts[_DENSE] *= _DENSITY
    most = int(counts.argmax())
    return NAMES[most] if counts[most] >= max(LEAST_LETTERS, PLAIN_SHARE * counts.sum()) else None
