"""What was chosen on the screen is what is exported, text for text: random items, random choices, in Chromium."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from prefdata.annotation.export import export_annotations
from tests.annotation.conftest import start
from tests.annotation.projects import read, row, write
from tests.annotation.test_browser import saved, until

AWKWARD = [
    "**",
    "# ",
    "\n",
    "\r\n",
    "\t",
    " ",
    "<b>",
    "</script>",
    "&lt;",
    "$x$",
    "`",
    "| a |",
    "\u2028",
    "\u202e",
    "é",
    "😀",
]
TEXT = st.lists(st.one_of(st.text(min_size=1, max_size=12), st.sampled_from(AWKWARD)), min_size=1, max_size=8).map(
    "".join
)
KEYS = ["1", "2", "3", "4", "5", "6", "7", "g", "b", "c"]
SHOWN = """[...document.querySelectorAll('.response')].sort((a, b) => a.dataset.place - b.dataset.place)
  .map((one) => [...one.querySelectorAll('pre[data-raw]')].map((pre) => pre.textContent))"""


@st.composite
def items(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Responses of one set, all text or all trajectories, and what a person does with them."""
    count = draw(st.integers(2, 4))
    texts = draw(st.lists(TEXT, min_size=count, max_size=count, unique=True))
    if draw(st.booleans()):
        asked = draw(TEXT)
        texts = [
            [
                {"role": "assistant", "content": "so"},
                {"role": "user", "content": asked},
                {"role": "assistant", "content": text},
            ]
            for text in texts
        ]
    if count == 2:
        return texts, [draw(st.sampled_from(KEYS))]
    order = draw(st.permutations(range(count)))
    return texts, [order, [False, *(draw(st.booleans()) for _ in range(count - 1))]]


def rank(page: Any, order: list[int], tied: list[bool]) -> list[list[int]]:
    """Put the responses into ``order`` (places on the screen), each tied with the one above where ``tied``."""
    for target, place in enumerate(order):
        page.keyboard.press(str(place + 1))
        while (
            page.evaluate(
                f"[...document.querySelectorAll('ol.responses > li')].findIndex((li) => li.dataset.place === '{place}')"
            )
            > target
        ):
            page.keyboard.press("ArrowUp")
    for place, with_above in zip(order, tied, strict=True):
        if with_above:
            page.keyboard.press(str(place + 1))
            page.keyboard.press("t")
    page.keyboard.press("o")
    tiers: list[list[int]] = []
    for place, with_above in zip(order, tied, strict=True):
        tiers = [*tiers[:-1], [*tiers[-1], place]] if with_above else [*tiers, [place]]
    return tiers


def exact(content: Any) -> list[str]:
    """The texts of a content, as the raw view shows them."""
    return [content] if isinstance(content, str) else [message["content"] for message in content]


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=True,
)
@given(work=st.lists(items(), min_size=6, max_size=10))
def _each_choice(browser: Any, orders: set[int | None], work: list[tuple[list[Any], list[Any]]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "responses.jsonl", [row(f"s{n}", *texts) for n, (texts, _) in enumerate(work)])
        said: dict[str, Any] = {}
        served = start(folder, "--annotator", "ann")
        context = browser.new_context()
        try:
            page = context.new_page()
            page.goto(served.links["ann"])
            page.keyboard.press("r")
            for number, (_, what) in enumerate(work):
                until(page, f"document.querySelector('.context pre').textContent === 'prompt of s{number}'")
                shown = page.evaluate(SHOWN)
                if len(what) == 2:
                    said[f"s{number}"] = [sorted(shown[place] for place in tier) for tier in rank(page, *what)]
                else:
                    (key,) = what
                    page.keyboard.press(key)
                    left = key in "123"
                    both = [sorted(shown)] if key in "4gb" else [[shown[not left]], [shown[left]]]
                    said[f"s{number}"] = None if key == "c" else both
                page.keyboard.press("Enter")
            until(page, "document.getElementById('done') !== null")
            saved(page)
        finally:
            context.close()
            served.stop()
        export_annotations(folder / "s.db", folder / "j.jsonl", pairs=folder / "p.jsonl")
        contents = {
            f"s{n}": {f"r{m}": exact(text) for m, text in enumerate(texts)} for n, (texts, _) in enumerate(work)
        }
        for record in read(folder / "j.jsonl"):
            texts = contents[record["response_set_id"]]
            ranking = record["ranking"]
            found = None if ranking is None else [sorted(texts[id] for id in tier) for tier in ranking]
            assert found == said.pop(record["response_set_id"])
            orders.add(record.get("order"))
            for pair in read(folder / "p.jsonl"):
                if pair["metadata"]["response_set_id"] == record["response_set_id"]:
                    assert found is not None
                    assert exact(pair["chosen"]) in found[0]
                    assert exact(pair["rejected"]) in found[-1]
        assert not said


def test_each_choice_is_its_exported_row(browser: Any) -> None:
    orders: set[int | None] = set()
    _each_choice(browser, orders)
    assert {0, 1} <= orders, "either side must have stood left"
