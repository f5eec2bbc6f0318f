"""``python -m tests.annotation.screenshots``: take the pictures of docs/annotation.md again, to be looked at."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.annotation.conftest import Served, start
from tests.annotation.projects import row, write
from tests.annotation.test_server import submit, task_on

OUT = Path(__file__).resolve().parents[2] / "docs" / "annotation"
PLEDGE = "To put 12 kg of ice water at 0 °C on the boil takes "


def talk(last: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant", "content": "For how many people?"},
        {"role": "user", "content": "For two, on Friday at seven."},
        {"role": "assistant", "content": last},
    ]


SETS = [
    row(
        "heat",
        PLEDGE + "about **5 MJ**:\n\n$$Q = m c \\Delta T = 12 \\cdot 4.19 \\cdot 100$$\n\nThat is some *1.4 kWh*.",
        PLEDGE + "a while. It depends on the stove.",
        prompt="How much energy do I need to bring 12 kg of ice water to the boil?",
    ),
    row(
        "table",
        talk("A table for two is booked for Friday, seven o'clock. See you then!"),
        talk("Friday is full. I can offer Thursday or Saturday at seven."),
        talk("Done."),
        prompt=[{"role": "user", "content": "I'd like to book a table."}],
    ),
    *(
        row(f"more-{n}", f"Answer one to question {n}.", f"The second answer to question {n} is longer.")
        for n in range(40)
    ),
]


def pictures(browser: Any, served: Served) -> None:
    """The task pages at two widths, then the owner's, after two people have done all."""
    context = browser.new_context(viewport={"width": 1000, "height": 620})
    page = context.new_page()
    page.goto(served.links["ann"])
    page.wait_for_selector("article")
    page.keyboard.press("2")
    page.screenshot(path=OUT / "two.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    page.screenshot(path=OUT / "phone.png")
    page.set_viewport_size({"width": 1000, "height": 620})
    page.keyboard.press("Enter")
    page.wait_for_selector("ol.responses")
    page.keyboard.press("3")
    page.keyboard.press("t")
    page.set_viewport_size({"width": 1000, "height": 900})
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=OUT / "list.png")
    draw = random.Random(0)
    for name, care in (("ann", 0.95), ("bob", 0.8)):
        person = served.client(name)
        while 'id="answer"' in (text := person.http.get("/task").text):
            task = task_on(text)
            if task["count"] == "3":
                submit(person, text, verdict="ranked", tiers=[[0], [2], [1]])
                continue
            second = next(n for n, said in enumerate(task["texts"][1:]) if "second" in said or "ice" in said)
            best = second if draw.random() < care else 1 - second
            submit(person, text, verdict="ranked", tiers=[[best], [1 - best]], milliseconds=draw.randint(4000, 30000))
    page.goto(served.owner)
    page.wait_for_selector("svg")
    page.set_viewport_size({"width": 1000, "height": 1150})
    page.screenshot(path=OUT / "dashboard.png")
    context.close()


def main() -> None:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        write(Path(name) / "responses.jsonl", SETS)
        served = start(Path(name), "--annotator", "ann", "--annotator", "bob", "--overlap", "2", "--reask-rate", "0.2")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            pictures(browser, served)
        finally:
            browser.close()
            served.stop()


if __name__ == "__main__":
    main()
