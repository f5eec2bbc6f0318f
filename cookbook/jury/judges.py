"""Three judges of sums: one that can add, one that likes brevity, one that likes manners."""

from __future__ import annotations

import re


def adds(prompt: str, response: str, _reference: str | None) -> bool:
    """Whether the sum stands in the response."""
    return sum(map(int, re.findall(r"\d+", prompt))) in map(int, re.findall(r"\d+", response))


def brief(_prompt: str, response: str, _reference: str | None) -> int:
    """The fewer words the better."""
    return -len(response.split())


def polite(_prompt: str, response: str, _reference: str | None) -> bool:
    """Whether it says please, or thanks."""
    return re.search("please|thank", response) is not None
