"""What an edit changed is marked word by word, however long the text is."""

from __future__ import annotations

import random
import re

from prefdata.annotation.diffs import marked


def test_a_change_in_a_long_paragraph_is_marked_alone() -> None:
    draw = random.Random(0)
    words = [f"w{draw.randrange(2000)}" for _ in range(12_000)]
    changed = [*words[:4000], "one", *words[4001:9000], "two", "three", *words[9000:]]
    found = marked(" ".join(words), " ".join(changed))
    assert [text.strip() for text in re.findall("<ins>(.*?)</ins>", found)] == ["one", "two three"]
    assert [text.strip() for text in re.findall("<del>(.*?)</del>", found)] == [words[4000]]


def test_lines_that_stand_are_not_touched() -> None:
    old = "The first line.\n\nThe <second> line.\nThe third."
    assert marked(old, old.replace("second", "2nd")) == (
        "The first line.\n\nThe &lt;<del>second</del><ins>2nd</ins>&gt; line.\nThe third."
    )
