"""A map that spills: a dictionary's answers, whatever part of it lies in the file."""

from __future__ import annotations

import random

import pytest

from prefdata.records import spilling
from prefdata.records.spilling import SpillingMap


def test_it_answers_like_a_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling, "IN_MEMORY", 7)
    draw, ours, theirs = random.Random(0), SpillingMap(), dict[bytes, int]()
    keys = [draw.randbytes(16) for _ in range(60)]
    for step in range(2000):
        key, number = draw.choice(keys), draw.randrange(-(1 << 62), 1 << 62)
        if draw.random() < 0.3:
            assert ours.setdefault(key, number) == theirs.setdefault(key, number)
        elif draw.random() < 0.5:
            ours[key] = theirs[key] = number
        assert (ours.get(key), key in ours, len(ours)) == (theirs.get(key), key in theirs, len(theirs)), step
    assert {key: ours.get(key) for key in keys} == {key: theirs.get(key) for key in keys}
