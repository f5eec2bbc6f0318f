"""What ``--fix`` would change: a unified diff that ``patch`` takes; on a terminal only what is near a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from prefdata.validation.findings import visible
from prefdata.validation.result import Change

NEAR = 40
"""Characters shown around a change on a terminal."""
LONGEST_COMPARED = 20_000
"""Characters; of longer lines only the middle that differs is told apart from what both share at their ends."""


def render(changes: Iterable[Change], *, color: bool = False) -> Iterator[str]:
    """The diff line by line; whole lines without ``color``."""
    file = None
    for change in changes:
        if change.file != file:
            file = change.file
            for sign, shown in (("---", f"a/{file}"), ("+++", f"b/{file}")):
                yield f"\x1b[1m{sign} {shown}\x1b[0m" if color else f"{sign} {shown}"
        why = "; ".join(f"{code} {what}" for code, what in change.fixes)
        head = f"@@ -{change.line} +{change.line} @@ {why}"
        yield f"\x1b[36m{head}\x1b[0m" if color else head
        before = change.before.decode("utf-8", "backslashreplace")
        after = change.after.decode("utf-8", "backslashreplace")
        if color:
            old, new = _marked(before, after)
            yield f"\x1b[31m-{old}\x1b[0m"
            yield f"\x1b[32m+{new}\x1b[0m"
        else:
            yield f"-{before}"
            yield f"+{after}"


def _marked(before: str, after: str) -> tuple[str, str]:
    """Both lines with what differs in reverse video, and what is far from it left out."""
    old, new = "", ""
    blocks = _blocks(before, after)
    for index, (kind, a, b, c, d) in enumerate(blocks):
        if kind == "equal":
            same = _near(before[a:b], first=index == 0, last=index == len(blocks) - 1)
            old, new = old + same, new + same
        else:
            old += f"\x1b[7m{visible(before[a:b])}\x1b[27m" if b > a else ""
            new += f"\x1b[7m{visible(after[c:d])}\x1b[27m" if d > c else ""
    return old, new


def _blocks(before: str, after: str) -> list[tuple[str, int, int, int, int]]:
    first = 0
    while first < min(len(before), len(after)) and before[first] == after[first]:
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    a, b, c, d = first, len(before) - last, first, len(after) - last
    middle: list[tuple[str, int, int, int, int]] = [("replace", a, b, c, d)]
    if max(b - a, d - c) <= LONGEST_COMPARED:
        matcher = SequenceMatcher(None, before[a:b], after[c:d], autojunk=False)
        middle = [(kind, a + i, a + j, c + k, c + m) for kind, i, j, k, m in matcher.get_opcodes()]
    ends = [("equal", 0, a, 0, c)] if first else []
    return [*ends, *middle, *([("equal", b, len(before), d, len(after))] if last else [])]


def _near(text: str, *, first: bool, last: bool) -> str:
    """Text that both lines share, without what is far from a change."""
    if first:
        return ("…" + visible(text[-NEAR:])) if len(text) > NEAR else visible(text)
    if last:
        return (visible(text[:NEAR]) + "…") if len(text) > NEAR else visible(text)
    return visible(text) if len(text) <= 2 * NEAR else visible(text[:NEAR]) + "…" + visible(text[-NEAR:])
