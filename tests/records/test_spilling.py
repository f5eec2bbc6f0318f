"""A map that spills: a dictionary's answers, whatever part of it lies in the file."""

from __future__ import annotations

import random
import tracemalloc

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


def test_its_memory_does_not_grow_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary of 30,000 such entries takes 4 MB; here the peak is that of the part in memory."""
    monkeypatch.setattr(spilling, "IN_MEMORY", 3_000)
    tracemalloc.start()
    try:
        found = SpillingMap()
        for number in range(30_000):
            found[number.to_bytes(16, "big")] = number
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 30_000
    assert found.get((7_777).to_bytes(16, "big")) == 7_777
    assert peak < 1_500_000
