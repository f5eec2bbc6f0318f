"""The real command serving a real store, and Debian's chromium looking at it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

COMMAND = str(Path(sys.executable).parent / "prefdata")


@dataclass
class Served:
    """A running ``prefdata annotate``."""

    process: subprocess.Popen[str]
    links: dict[str, str]
    owner: str
    folder: Path
    people: list[Person] = field(default_factory=list)
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = self.owner.split("/in/")[0]

    def client(self, name: str = "ann") -> Person:
        """A person who has opened their link, without a browser."""
        person = Person(self.owner if name == "owner" else self.links[name])
        self.people.append(person)
        return person

    def stop(self, how: int = signal.SIGINT) -> str:
        """End the server; gives what it printed on stderr."""
        for person in self.people:
            person.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            _, said = self.process.communicate(timeout=20)
        except ValueError:  # stopped before
            said = ""
        return said


class Person:
    """What a person's browser sends."""

    def __init__(self, link: str) -> None:
        self.url = link.split("/in/")[0]
        self.http = httpx2.Client(base_url=self.url, timeout=30)
        opened = self.http.get(link, follow_redirects=True)
        assert opened.status_code == 200, opened.text
        self.page = opened.text
        self.token = opened.text.split('name="form-token" content="')[1].split('"')[0]

    def post(self, path: str, document: Any, **headers: str) -> httpx2.Response:
        """A form of the page."""
        return self.http.post(path, json=document, headers={"x-prefdata-form": self.token, **headers})

    def close(self) -> None:
        self.http.close()


def start(folder: Path, *arguments: str | Path, port: int = 0) -> Served:
    """``prefdata annotate`` on ``folder/responses.jsonl`` in a process of its own."""
    files = (folder / "responses.jsonl", "--store", folder / "s.db")
    process = subprocess.Popen(
        [COMMAND, "annotate", *files, "--port", str(port), "--format", "json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            break
    else:
        raise AssertionError(f"the server did not start: {process.communicate()[1]}")
    told = json.loads(text)
    return Served(process, told["annotators"], told["owner"], folder)


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``with serve(rows, "--annotator", "ann") as served``: the command on these response sets."""

    @contextmanager
    def serving(rows: Any, *arguments: str | Path, folder: Path = tmp_path) -> Iterator[Served]:
        (folder / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        served = start(folder, *(arguments or ("--annotator", "ann")))
        try:
            yield served
        finally:
            served.stop()

    return serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; the test skips, saying so, where there is none.

    One for each file: while Playwright is open its event loop runs in this thread, and other files begin their own.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("PREFDATA_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is absent: the pages are not tried in a browser (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # The sandbox of chromium needs rights that a container's root does not have.
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page; the test fails where its script fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(10_000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    yield made
    context.close()
    assert not errors
