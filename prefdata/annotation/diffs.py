"""What an edit changed, word by word, for the page."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape

WORDS = re.compile(r"\w+|\s+|[^\w\s]")
MOST = 20_000
"""Words beyond which only whole lines are compared."""


def marked(old: str, new: str) -> str:
    """``new`` as HTML with what was taken out and put in marked.

    >>> marked("a cat sat", "a dog sat")
    'a <del>cat</del><ins>dog</ins> sat'
    """
    before, after = WORDS.findall(old), WORDS.findall(new)
    if max(len(before), len(after)) > MOST:
        before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    made = []
    for kind, i, j, k, n in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        gone, come = escape("".join(before[i:j])), escape("".join(after[k:n]))
        if kind == "equal":
            made.append(come)
        else:
            made += [f"<del>{gone}</del>"] * bool(gone) + [f"<ins>{come}</ins>"] * bool(come)
    return "".join(made)
