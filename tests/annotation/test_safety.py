"""In Chromium: nothing of imported or typed text runs, loads or leads away, and everybody can use every page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.annotation.attacks import ALL
from tests.annotation.conftest import Serve
from tests.annotation.projects import row
from tests.annotation.test_browser import saved, wait_for
from tests.annotation.test_server import submit, task_on

NAME = '"><img src=x onerror=pwned()>'


def talk(first: str) -> list[dict[str, Any]]:
    """Every attack as a message of its own, and once more as what a tool call holds."""
    roles = ("assistant", "user")
    said: list[dict[str, Any]] = [{"role": roles[n % 2], "content": text} for n, text in enumerate((first, *ALL))]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "</pre><script>pwned()</script>"}}
    return [
        *said,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "content": first},
    ]


class Watched:
    """A page that tells what ran in it and what it asked for."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.asked: list[str] = []
        page.add_init_script("window.pwned = () => { window.ran = true; }; window.ran = false;")
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("dialog", lambda dialog: self.asked.append(f"dialog {dialog.message}"))
        page.context.on("page", lambda opened: self.asked.append(f"window {opened.url}"))

    def check(self) -> None:
        """Nothing ran, nothing was asked for elsewhere, and we are still here."""
        self.page.wait_for_timeout(150)
        assert self.page.evaluate("window.ran") is False
        assert self.page.url.startswith(self.url)
        elsewhere = [url for url in self.asked if not url.startswith((self.url, "data:,"))]
        assert not elsewhere, elsewhere


def test_nothing_runs_and_nothing_leaves_the_page(serve: Serve, page: Any) -> None:
    joined = "\n\n".join(ALL)
    sets = [
        row("joined", joined, joined + " once more", prompt=joined),
        row(
            "talk",
            talk("a"),
            talk("b"),
            talk("c"),
            prompt=[{"role": "user", "content": text} for text in ALL],
            tools=[{"name": "</pre><script>pwned()</script>"}],
        ),
    ]
    with serve(sets, "--annotator", NAME, "--annotator", "bob", "--overlap", "2") as served:
        watched = Watched(page, served.url)
        page.goto(served.links[NAME])
        wait_for(page, "once more")
        watched.check()
        inside = "script, style, iframe, object, embed, img, svg, form, input, a, link, base, meta, video"
        inside += ", [style], [href], [src]"
        assert page.evaluate(f"document.querySelectorAll('.rendered :is({inside})').length") == 0
        page.keyboard.press("r")
        watched.check()
        shown = page.evaluate("document.querySelector('pre[data-raw=\"context.0\"]').textContent")
        assert shown == joined
        page.keyboard.press("r")
        page.locator("#response-0 [data-edit]").click()
        page.locator("#edit-0").fill("\n".join(ALL).replace("\x00", ""))
        page.locator("#response-0 [data-diff]").click()
        page.wait_for_selector("#response-0 ins", state="attached")
        watched.check()
        page.locator("#rationale").fill("<script>pwned()</script><img src=x onerror=pwned()>")
        page.locator("input[data-key='1']").check()
        page.get_by_role("button", name="Save and go on").click()
        page.wait_for_selector("ol.responses")
        saved(page)
        watched.check()
        page.keyboard.press("s")
        page.locator("#other").fill("</li><img src=x onerror=pwned()>")
        page.locator("[data-do=skip-now]").click()
        wait_for(page, "You are done")
        saved(page)
        page.goto(f"{served.url}/history")
        watched.check()
        page.get_by_role("link", name="pwned").last.click()
        wait_for(page, "once more")
        watched.check()
        bob = served.client("bob")
        submit(bob, verdict="both_bad", rationale="<svg onload=pwned()>")
        page.goto(served.owner)
        watched.check()
        page.goto(f"{served.url}/adjudicate")
        wait_for(page, "<svg onload=pwned()>")
        watched.check()
        page.goto(f"{served.url}/in/<script>pwned()</script>")
        watched.check()


def violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found.response["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_on_any_page(serve: Serve, page: Any, tmp_path: Any, scheme: str) -> None:
    pytest.importorskip("axe_playwright_python")
    page.emulate_media(color_scheme=scheme)
    markdown = (
        "# A title\n\n### Another\n\n| a | b |\n|--|--|\n| 1 | "
        + "x" * 400
        + " |\n\n```python\ndef f(): return 'x' # y\n```\n$x^2$"
    )
    markdown += "\n\n<b>raw</b> [a link](http://x) ![an image](http://y)"
    said = [{"role": "assistant", "content": "Same"}, {"role": "user", "content": "Same"}]
    sets = [
        row(
            "two",
            markdown,
            "# Other\n\nmore",
            prompt=[{"role": "system", "content": "Be."}, {"role": "user", "content": "Hi"}],
        ),
        row(
            "list",
            *(
                [*said, {"role": "assistant", "content": f"A long beginning that all of them share {n}"}]
                for n in range(3)
            ),
            tools=[{"name": "f"}],
        ),
        row("third", "a", "b"),
    ]
    rubric = tmp_path / "rubric.yaml"
    rubric.write_text("instructions: |\n  # Read\n  both\ncriteria:\n  wit: How witty?\n  style: How is the style?\n")
    with serve(sets, "--annotator", "ann", "--annotator", "bob", "--overlap", "2", "--template", rubric) as served:
        page.goto(served.links["ann"])
        wait_for(page, "Another")
        assert violations(page) == []
        page.locator("#response-0 [data-edit]").click()
        page.locator("#edit-0").fill("other words")
        page.locator("#response-0 [data-diff]").click()
        page.wait_for_selector("#response-0 ins", state="attached")
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        page.keyboard.press("r")
        page.get_by_role("button", name="Save and go on").click()
        assert violations(page) == []
        page.locator("input[data-key='1']").check()
        page.get_by_role("button", name="Save and go on").click()
        page.wait_for_selector("ol.responses")
        page.keyboard.press("1")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("t")
        assert violations(page) == []
        page.keyboard.press("Enter")
        wait_for(page, "prompt of third")
        page.keyboard.press("b")
        page.keyboard.press("Enter")
        wait_for(page, "You are done")
        saved(page)
        assert violations(page) == []
        page.goto(f"{served.url}/history")
        assert violations(page) == []
        bob = served.client("bob")
        for _ in range(3):
            task = task_on(bob.http.get("/task").text)
            order = [[place] for place in range(int(task["count"]))]
            assert submit(bob, verdict="ranked", tiers=order[::-1], rationale="so").status_code == 200
        page.goto(served.owner)
        page.wait_for_selector("svg")
        assert violations(page) == []
        page.goto(f"{served.url}/adjudicate")
        wait_for(page, "What they said")
        assert violations(page) == []
        page.goto(f"{served.url}/in/nothing")
        wait_for(page, "No way in")
        assert violations(page) == []


def test_the_watch_sees_what_runs_and_axe_what_is_wrong(page: Any) -> None:
    """Both checks fail where they should."""
    watched = Watched(page, "data:")
    page.goto("data:text/html,<img src=x onerror=pwned()>")
    with pytest.raises(AssertionError):
        watched.check()
    assert any("image-alt" in one for one in violations(page))
