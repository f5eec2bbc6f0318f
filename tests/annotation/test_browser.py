"""A person's road, in Chromium: compare, rank, undo, edit, lose the network, come back, finish."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from prefdata.annotation.database import events
from prefdata.annotation.export import export_annotations
from prefdata.annotation.store import opened
from tests.annotation.conftest import Serve, start
from tests.annotation.projects import read, row
from tests.annotation.test_server import submit

SAVED = "All answers are saved."


def said(text: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant", "content": "Which one?"},
        {"role": "user", "content": "The second."},
        {"role": "assistant", "content": text},
    ]


SETS = [
    row("two", "The sky is **blue**.", "The sky is green."),
    row("list", "alpha", "beta", "gamma", "delta"),
    row("edit", "A good answer.", "A answer with a mistake."),
    row("long", said("It is open."), said("It is closed."), prompt=[{"role": "user", "content": "Is it open?"}]),
    row("five", "yes", "no"),
    row("six", "left or right", "right or left"),
]


def until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression holds; Playwright's own way would need eval, which the page forbids."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression} does not come true; the page says: {page.inner_text('body')}")


def saved(page: Any) -> None:
    """Wait until the page says that all is saved."""
    until(page, f"document.getElementById('save').textContent === {SAVED!r}")


def texts(page: Any) -> list[str]:
    """The raw texts of the responses by place, as the page would show them."""
    return list(
        page.evaluate(
            "[...document.querySelectorAll('.response')].sort((a, b) => a.dataset.place - b.dataset.place)"
            ".map((one) => [...one.querySelectorAll('pre[data-raw]')].pop().textContent)"
        )
    )


def task_open(page: Any) -> None:
    """Wait until the task that a click opens is there, and its script: keys pressed before that are lost."""
    page.wait_for_selector("#answer")
    page.wait_for_load_state()


def wait_for(page: Any, text: str) -> None:
    """Wait until a task with that text is shown."""
    until(page, f"document.getElementById('main').textContent.includes({text!r})")


def exported(folder: Path, name: str = "j.jsonl") -> dict[str, Any]:
    export_annotations(folder / "s.db", folder / name, overwrite=True)
    return {record["response_set_id"]: record for record in read(folder / name)}


def test_the_road(serve: Serve, page: Any) -> None:
    with serve(SETS) as served:
        page.goto(served.links["ann"])
        # Compare, by keyboard.
        wait_for(page, "prompt of two")
        shown = texts(page)
        assert page.inner_text(".rendered strong") == "blue"
        page.keyboard.press("Enter")
        assert "Choose an answer" in page.inner_text("#problem")
        page.keyboard.press(str(shown.index("The sky is **blue**.") * 6 + 1))  # 1: A, 7: B, much better
        page.keyboard.press("n")
        page.keyboard.type("Look up: it's blue 1 2 3 u r")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        # Rank, by drag, by keyboard and by buttons, and tie.
        wait_for(page, "prompt of list")
        place = {text: number for number, text in enumerate(texts(page))}
        handle = page.locator(f"#response-{place['delta']} .handle")
        first = page.locator("ol.responses > li").first
        if page.locator("ol.responses > li").first.get_attribute("data-place") != str(place["delta"]):
            handle.drag_to(first)
            until(page, f"document.querySelector('ol.responses > li').dataset.place === '{place['delta']}'")
        page.keyboard.press(str(place["alpha"] + 1))
        for _ in range(3):
            page.keyboard.press("ArrowDown")
        page.keyboard.press(str(place["beta"] + 1))
        for _ in range(3):
            page.keyboard.press("ArrowUp")
        page.locator(f"#response-{place['beta']} [data-move=down]").click()
        page.keyboard.press(str(place["gamma"] + 1))
        page.keyboard.press("t")
        order = page.evaluate("[...document.querySelectorAll('ol.responses > li')].map((one) => one.dataset.place)")
        assert order == [str(place[name]) for name in ("delta", "beta", "gamma", "alpha")]
        ranks = page.locator("[data-rank]").all_inner_texts()
        assert ranks == ["rank 1", "rank 2", "rank 2", "rank 4"]
        page.keyboard.press("Enter")
        # Undo brings it back as it was left.
        wait_for(page, "prompt of edit")
        saved(page)
        page.keyboard.press("u")
        wait_for(page, "prompt of list")
        assert page.locator("[data-rank]").all_inner_texts() == ranks
        page.keyboard.press("Enter")
        # Edit to improve, with its diff.
        wait_for(page, "prompt of edit")
        worse = texts(page).index("A answer with a mistake.")
        page.keyboard.press("2" if worse else "6")
        page.locator(f"#response-{worse} [data-edit]").click()
        page.locator(f"#edit-{worse}").fill("An answer without a mistake.")
        page.locator(f"#response-{worse} [data-diff]").click()
        page.wait_for_selector(f"#response-{worse} ins")
        assert page.locator(f"#response-{worse} del").all_inner_texts() == ["A", "with"]
        page.locator(f"#response-{worse} [data-flag=broken]").check()
        page.keyboard.press("Control+Enter")
        wait_for(page, "Is it open?")
        assert page.locator(".diverges").count() == 2
        saved(page)
        until(page, "ready !== null")  # the task behind this one is here
        # Lose the network: the answer waits, the task behind it is there.
        page.context.set_offline(True)
        page.keyboard.press("c")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of five")
        page.wait_for_selector(".save.waiting")
        assert "1 answer waits in this browser" in page.inner_text("#save")
        page.keyboard.press("g")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('save').textContent.includes('2 answers wait')")
        assert len(exported(served.folder)) == 3
        # Come back, and finish.
        page.context.set_offline(False)
        saved(page)
        wait_for(page, "prompt of six")
        page.keyboard.press("s")
        page.locator("[data-do=skip-now]").click()
        wait_for(page, "You are done")
        saved(page)
    found = exported(served.folder)
    assert list(found) == ["two", "list", "edit", "long", "five"]
    assert found["two"]["ranking"] == [["r0"], ["r1"]]
    assert found["two"]["strength"] == 3
    assert found["two"]["rationale"] == "Look up: it's blue 1 2 3 u r"
    tiers = [sorted(tier) for tier in found["list"]["ranking"]]
    assert tiers == [["r3"], ["r1", "r2"], ["r0"]]
    assert found["edit"]["metadata"]["response_flags"] == {"r1": ["broken"]}
    assert found["long"]["flags"] == ["abstain"]
    assert found["five"]["flags"] == ["both_good"]
    edited = read(served.folder / "j.edits.jsonl")
    assert edited[0]["responses"][0]["response"] == "An answer without a mistake."
    drops = {drop["response_set_id"]: drop["reason"] for drop in read(served.folder / "j.dropped.jsonl")}
    assert drops == {"long": "abstained", "five": "tie", "six": "skipped"}


def test_an_answer_outlives_the_page_and_the_server(serve: Serve, page: Any, tmp_path: Path) -> None:
    """The server is killed, the answer given, the page closed; both come back, and the answer is sent."""
    with serve(SETS[:2]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        until(page, "ready !== null")
        served.stop(signal.SIGKILL)
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        page.wait_for_selector(".save.waiting")
        context = page.context
        page.goto("about:blank")
        again = start(tmp_path, "--annotator", "ann", port=int(served.url.rsplit(":", 1)[1]))
        try:
            fresh = context.new_page()
            fresh.goto(again.links["ann"])
            wait_for(fresh, "prompt of list")
            saved(fresh)
        finally:
            again.stop()
    assert list(exported(tmp_path)) == ["two"]


def test_two_tabs_lose_nothing(serve: Serve, page: Any) -> None:
    """Both send what waits when the network is back; each answer is there once."""
    with serve(SETS[4:]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of five")
        until(page, "ready !== null")
        other = page.context.new_page()
        other.goto(f"{served.url}/task")
        wait_for(other, "prompt of five")
        page.context.set_offline(True)
        for name in ("five", "six"):
            wait_for(page, f"prompt of {name}")
            page.keyboard.press("g")
            page.keyboard.press("Enter")
        until(page, "document.getElementById('save').textContent.includes('2 answers wait')")
        page.context.set_offline(False)
        wait_for(page, "You are done")
        saved(page)
        other.close()
    assert {id: one["flags"] for id, one in exported(served.folder).items()} == {
        "five": ["both_good"],
        "six": ["both_good"],
    }


def test_an_answer_is_sent_where_the_browser_keeps_nothing(serve: Serve, page: Any) -> None:
    page.add_init_script("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };")
    with serve(SETS[:2]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.context.set_offline(True)
        page.keyboard.press("g")
        page.keyboard.press("Enter")
        page.wait_for_selector(".save.waiting")
        assert "1 answer waits on this page" in page.inner_text("#save")
        page.context.set_offline(False)
        saved(page)
    assert list(exported(served.folder)) == ["two"]


def test_going_back_changes_an_answer(serve: Serve, page: Any) -> None:
    with serve(SETS[:2]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of list")
        saved(page)
        page.keyboard.press("p")
        page.get_by_role("link", name="prompt of two").click()
        wait_for(page, "prompt of two")
        assert page.locator("input[data-key='2']").is_checked()
        page.keyboard.press("b")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of list")
        saved(page)
    assert exported(served.folder)["two"]["flags"] == ["both_bad"]


def test_what_was_begun_is_there_after_a_reload(serve: Serve, page: Any) -> None:
    with serve(SETS[1:2]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of list")
        page.keyboard.press("1")
        page.keyboard.press("ArrowDown")
        page.locator("#rationale").fill("half a thought")
        order = page.locator("ol.responses > li h2").all_inner_texts()
        page.reload()
        assert page.locator("#rationale").input_value() == "half a thought"
        assert page.locator("ol.responses > li h2").all_inner_texts() == order


def test_keys_can_be_turned_off(serve: Serve, page: Any) -> None:
    with serve(SETS[:1]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.keyboard.press("k")
        page.keyboard.press("1")
        assert page.locator("input[name=verdict]:checked").count() == 0
        page.reload()
        page.keyboard.press("1")
        assert page.locator("input[name=verdict]:checked").count() == 0
        page.keyboard.press("k")
        page.keyboard.press("1")
        assert page.locator("input[name=verdict]:checked").count() == 1


def test_what_the_server_refuses_is_said_and_not_lost(serve: Serve, page: Any) -> None:
    with serve(SETS[:1]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.evaluate("document.getElementById('answer').dataset.seen = '0'")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.wait_for_selector("#notice:not([hidden])")
        assert "not the texts that were shown" in page.inner_text("#notice")
        assert page.locator("input[data-key='1']").is_checked()


def test_ratings_and_instructions_of_a_rubric(serve: Serve, page: Any, tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.yaml"
    rubric.write_text("instructions: Read **all**.\ncriteria:\n  wit: {question: 'How witty?', scale: [0, 3]}\n")
    with serve(SETS[:1], "--annotator", "ann", "--template", rubric) as served:
        page.goto(served.links["ann"])
        assert page.inner_text(".instructions strong") == "all"
        place = texts(page).index("The sky is green.")
        page.locator(f"#response-{place} select").select_option("3")
        page.locator(f"#response-{1 - place} select").select_option("0")
        page.keyboard.press("Escape")
        page.locator("input[data-key='4']").check()
        page.get_by_role("button", name="Save and go on").click()
        wait_for(page, "You are done")
        saved(page)
    found = exported(served.folder)["two"]
    assert found["ratings"] == {"r0": {"wit": 0}, "r1": {"wit": 3}}
    assert len(found["judge"]["template_sha256"]) == 64


@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 450)])
def test_pages_fit_a_phone_and_twice_the_size(serve: Serve, page: Any, width: int, height: int) -> None:
    """640 by 450 CSS pixels are what a window of 1280 by 900 has at a zoom of 200%."""
    wide = "| a | b | c |\n|---|---|---|\n| " + "x" * 90 + " | " + "y" * 90 + " | z |"
    sets = [row("two", wide + "\n\n```python\n" + "a" * 200 + "\n```\n\n$" + "x+" * 120 + "y$", "w" * 300), SETS[1]]
    with serve(sets) as served:
        page.set_viewport_size({"width": width, "height": height})

        def fits() -> None:
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, page.url

        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        fits()
        page.keyboard.press("r")
        fits()
        page.keyboard.press("r")
        page.locator("#response-0 [data-edit]").click()
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        fits()
        page.locator("input[data-key='1']").check()
        page.get_by_role("button", name="Save and go on").click()
        wait_for(page, "prompt of list")
        fits()
        saved(page)
        page.goto(f"{served.url}/history")
        fits()
        page.goto(served.owner)
        fits()
        words = "[...document.querySelectorAll('nav a')].filter((link) => !link.textContent.includes(' '))"
        assert page.evaluate(f"{words}.every((link) => link.getClientRects().length === 1 && link.offsetHeight < 40)")


def test_no_request_goes_elsewhere(serve: Serve, page: Any) -> None:
    with serve(SETS) as served:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.goto(served.owner)
        page.wait_for_timeout(200)
        assert asked
        assert all(re.match(rf"({served.url}/|data:)", url) for url in asked), asked


def test_the_dashboard_is_live(serve: Serve, page: Any) -> None:
    with serve(SETS[:2]) as served:
        page.goto(served.owner)
        until(page, "document.body.textContent.includes('0 of 2 items')")
        submit(served.client("ann"), verdict="both_good")
        until(page, "document.body.textContent.includes('1 of 2 items')")


def test_a_badge_says_what_rendering_hides(serve: Serve, page: Any) -> None:
    hiding = "| a |\n|---|\n| seen | unseen |"
    with serve([row("s", hiding, "plain")]) as served:
        page.goto(served.links["ann"])
        place = texts(page).index(hiding)
        badge = page.locator(f"#response-{place} .badge")
        assert "unseen" in badge.inner_text()
        assert "unseen" not in page.locator(f"#response-{place} .rendered").inner_text()
        page.keyboard.press("r")
        assert page.locator(f"#response-{place} pre.raw").inner_text() == hiding
        assert page.locator(".badge").count() == 1


def said_of(folder: Path) -> list[str]:
    """What people did, by kind, in its order."""
    with opened(folder / "s.db") as store, store.database.reading() as db:
        return [event.kind for event in events(db) if event.kind not in ("configured", "shown")]


def press(page: Any, key: str, code: str) -> None:
    """A key of a keyboard that is not Playwright's American one."""
    session = page.context.new_cdp_session(page)
    for kind in ("keyDown", "keyUp"):
        session.send("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code, "text": key})


def test_one_answer_however_often_it_is_sent_off(serve: Serve, page: Any) -> None:
    """With nothing to go on with the form stays, and Enter is pressed again while the server is away."""
    with serve(SETS[:1]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.context.set_offline(True)
        page.keyboard.press("2")
        for key in ("Enter", "Enter", "6", "Control+Enter"):
            page.keyboard.press(key)
        page.wait_for_selector(".save.waiting")
        assert page.locator("input[data-key='2']").is_checked()
        page.context.set_offline(False)
        wait_for(page, "You are done")
        saved(page)
    assert said_of(served.folder) == ["answered"]


def test_what_was_begun_stays_with_its_task(serve: Serve, page: Any) -> None:
    with serve(SETS[:2]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of list")
        saved(page)
        page.locator("#rationale").fill("half a thought")
        page.keyboard.press("Escape")
        page.keyboard.press("p")  # back, to change the earlier answer
        page.get_by_role("link", name="prompt of two").click()
        wait_for(page, "prompt of two")
        page.keyboard.press("6")
        page.reload()
        assert page.locator("input[data-key='6']").is_checked()
        assert "not saved yet" in page.inner_text("#notice")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of list")
        saved(page)
        assert page.locator("#rationale").input_value() == "half a thought"


def test_what_the_owner_began_stays_with_its_item(serve: Serve, page: Any) -> None:
    with serve([SETS[0], *SETS[4:]], "--annotator", "ann", "--annotator", "bob", "--overlap", "2") as served:
        for name, verdict in (("ann", "both_bad"), ("bob", "both_good")):
            for _ in range(3):
                submit(served.client(name), verdict=verdict)
        page.goto(served.owner)
        page.get_by_role("link", name="prompt of two").click()
        task_open(page)
        page.keyboard.press("1")
        page.locator("#rationale").fill("two is clear")
        page.goto(f"{served.url}/dashboard")
        page.get_by_role("link", name="prompt of five").click()
        task_open(page)
        assert page.locator("input[name=verdict]:checked").count() == 0
        assert page.locator("#rationale").input_value() == ""
        page.go_back()
        page.get_by_role("link", name="prompt of two").click()
        task_open(page)
        assert page.locator("#rationale").input_value() == "two is clear"
        page.get_by_role("button", name="Save and go on").click()
        wait_for(page, "prompt of five")
        page.reload()
        wait_for(page, "prompt of five")


def test_what_waits_is_sent_in_its_order_when_the_clock_is_set_back(serve: Serve, page: Any) -> None:
    with serve(SETS[4:]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of five")
        until(page, "ready !== null")
        page.context.set_offline(True)
        page.keyboard.press("g")
        page.keyboard.press("Enter")
        page.evaluate("() => { const now = Date.now() - 3600000; Date.now = () => now; }")
        page.keyboard.press("u")
        until(page, "document.getElementById('save').textContent.includes('2 answers wait')")
        page.context.set_offline(False)
        wait_for(page, "prompt of five")
        saved(page)
    assert said_of(served.folder) == ["answered", "undone"]


def test_long_texts_come_over_a_slow_line(serve: Serve, page: Any) -> None:
    """The next task takes longer to come than the server may be silent; the page's clock runs ten times as fast."""
    page.add_init_script(
        "const slow = setTimeout; window.setTimeout = (call, ms) => slow(call, ms / 10);"
        "const signal = AbortSignal.timeout; AbortSignal.timeout = (ms) => signal.call(AbortSignal, ms / 10);"
    )
    with serve([row(f"s{n}", "word " * 30_000, "more " * 30_000) for n in range(2)]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of s0")
        until(page, "ready !== null")
        page.evaluate("ready = null")
        session = page.context.new_cdp_session(page)
        slow = {"offline": False, "latency": 0, "downloadThroughput": 150_000, "uploadThroughput": 150_000}
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", slow)
        page.keyboard.press("g")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of s1")
        saved(page)


def test_a_refused_answer_comes_back_with_its_task(serve: Serve, page: Any) -> None:
    with serve(SETS[4:]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of five")
        until(page, "ready !== null")
        page.evaluate("document.getElementById('answer').dataset.seen = '0'")
        page.keyboard.press("g")
        page.locator("#rationale").fill("a long thought")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#notice:not([hidden])")
        page.goto(f"{served.url}/task")
        wait_for(page, "prompt of five")
        assert page.locator("#rationale").input_value() == "a long thought"


def test_enter_in_a_reason_skips_and_answers_nothing(serve: Serve, page: Any) -> None:
    with serve(SETS[4:]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of five")
        page.keyboard.press("2")
        page.keyboard.press("s")
        page.locator("#other").fill("both are cut off")
        page.keyboard.press("Enter")
        wait_for(page, "prompt of six")
        saved(page)
    assert said_of(served.folder) == ["skipped"]


def test_a_key_held_down_is_one_press(serve: Serve, page: Any) -> None:
    with serve(SETS[4:]) as served:
        page.goto(served.links["ann"])
        for name in ("five", "six"):
            wait_for(page, f"prompt of {name}")
            page.keyboard.press("g")
            page.keyboard.press("Enter")
        wait_for(page, "You are done")
        saved(page)
        for _ in range(3):
            page.keyboard.down("u")
        page.keyboard.up("u")
        wait_for(page, "prompt of six")
        saved(page)
    assert said_of(served.folder) == ["answered", "answered", "undone"]


def test_keys_of_other_keyboards_count_by_their_place(serve: Serve, page: Any) -> None:
    with serve(SETS[:1]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of two")
        for key, code, wanted in (("и", "KeyB", "b"), ("é", "Digit2", "2"), ("&", "Digit1", "1"), ("g", "KeyH", "g")):
            press(page, key, code)
            assert page.locator(f"input[data-key='{wanted}']").is_checked(), key


def test_flags_are_those_of_the_chosen_response(serve: Serve, page: Any) -> None:
    with serve(SETS[1:2]) as served:
        page.goto(served.links["ann"])
        wait_for(page, "prompt of list")
        page.keyboard.press("3")
        page.keyboard.press("f")
        page.keyboard.press("Space")
        flagged = page.locator("input[data-flag]:checked")
        assert flagged.evaluate_all("(boxes) => boxes.map((box) => box.closest('.response').dataset.place)") == ["2"]


def test_the_point_of_difference_stands_after_what_is_alike(serve: Serve, page: Any) -> None:
    """An emoji is one letter here and two in a browser."""
    alike = "😀👍 Oh, what a lovely question! "
    with serve([row("s", alike + "Apples.", alike + "Pears.")]) as served:
        page.goto(served.links["ann"])
        page.keyboard.press("r")
        assert page.locator("pre.raw .alike").all_text_contents() == [alike, alike]


def test_text_runs_the_way_of_its_script(serve: Serve, page: Any) -> None:
    """Else the full stop of an Arabic sentence stands at its wrong end."""
    arabic = "مرحبا بكم.\n\nAn English paragraph.\n\n```\nprint(1)\n```"
    with serve([row("s", arabic, "English. مرحبا", prompt="لماذا؟")]) as served:
        page.goto(served.links["ann"])
        place = texts(page).index(arabic)
        first = page.locator(f"#response-{place} .rendered p").first
        box = "(element) => { const range = document.createRange(); range.selectNodeContents(element);"
        box += "const text = range.getBoundingClientRect(), all = element.getBoundingClientRect();"
        box += "return [text.left - all.left, all.right - text.right]; }"
        left, right = first.evaluate(box)
        assert left > right
        left, right = page.locator(f"#response-{place} .rendered p").nth(1).evaluate(box)
        assert left < right
        page.locator(f"#response-{place} [data-edit]").click()
        for selector, way in ((".rendered", "rtl"), (".rendered code", "ltr"), ("textarea", "rtl")):
            found = page.locator(f"#response-{place} {selector}").first.evaluate(
                "(one) => getComputedStyle(one).direction"
            )
            assert found == way, selector
        assert (
            page.locator(f"#response-{1 - place} .rendered").evaluate("(one) => getComputedStyle(one).direction")
            == "ltr"
        )
