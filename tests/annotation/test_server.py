"""The web app over HTTP: links, forms, headers, and what each page tells to whom."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import resource
import secrets
import signal
import socket
import stat
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest

from prefdata import annotation
from tests.annotation.conftest import COMMAND, Person, Serve
from tests.annotation.projects import read, row, write
from tests.conftest import Run

SETS = [row(f"s{n}", f"one {n}", f"two {n}") for n in range(6)]


def task_on(page: str) -> dict[str, Any]:
    """What the form of a task page holds, and the texts it shows by place."""
    found: dict[str, Any] = dict(
        re.findall(r'data-(task|seen|item|count|previous)="([^"]*)"', page.split('id="answer"')[1])
    )
    found["previous"] = unescape(found["previous"])
    found["texts"] = [unescape(text).strip() for text in re.findall(r'<div class="rendered"[^>]*><p>(.*?)</p>', page)]
    return found


def submit(person: Person, page: str | None = None, token: str | None = None, **answer: Any) -> httpx2.Response:
    task = task_on(page or person.http.get("/task").text)
    document = {
        "task": int(task["task"]),
        "seen": task["seen"],
        "token": token or secrets.token_hex(8),
        "answer": answer,
    }
    return person.post("/answers", document)


LEFT = {"verdict": "ranked", "tiers": [[0], [1]], "strength": 2}


def test_a_person_with_a_link_works_through_all(serve: Serve) -> None:
    with serve(SETS) as served:
        ann = served.client()
        for number in range(6):
            reply = submit(ann, **LEFT)
            assert reply.status_code == 200, reply.text
            assert reply.json()["progress"].startswith(f"{number + 1} answered")
        assert "You are done" in ann.http.get("/task").text
        assert ann.http.get("/history").text.count("A &gt; B") == 6


def test_no_page_is_shown_without_a_link(serve: Serve) -> None:
    with serve(SETS) as served, httpx2.Client(base_url=served.url) as stranger:
        for path in (
            "/",
            "/task",
            "/task/2",
            "/history",
            "/next",
            "/dashboard",
            "/adjudicate",
            "/export.jsonl",
            "/docs",
        ):
            reply = stranger.get(path)
            assert reply.status_code in (401, 404), path
            assert "prompt of" not in reply.text
        for path in ("/answers", "/skips", "/undo", "/diff", "/adjudications"):
            assert stranger.post(path, json={}).status_code == 401, path


def test_forged_and_foreign_links_are_refused(serve: Serve, tmp_path: Path) -> None:
    with serve(SETS, "--annotator", "ann") as served:
        signed = served.links["ann"].rsplit("/", 1)[1]
        body, signature = signed.split(".")
        owner = base64.urlsafe_b64encode(b'["owner","owner"]').decode().rstrip("=")
        bob = base64.urlsafe_b64encode(b'["annotator","bob"]').decode().rstrip("=")
        other = tmp_path / "other"
        other.mkdir()
        with serve(SETS, "--annotator", "ann", folder=other) as foreign:
            links = [foreign.links["ann"].rsplit("/", 1)[1]]
        links += [f"{owner}.{signature}", f"{bob}.{signature}", f"{body}.{'A' * len(signature)}", body, "x"]
        for link in links:
            with httpx2.Client(base_url=served.url) as http:
                assert http.get(f"/in/{link}").status_code == 401, link
        with httpx2.Client(base_url=served.url) as http:
            assert http.get(served.links["ann"]).status_code == 303
            name = next(iter(http.cookies))
        for link in links:
            with httpx2.Client(base_url=served.url, cookies={name: link}) as http:
                assert http.get("/task").status_code == 401, link
        key = served.folder / "s.db.secret"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_link_of_an_annotator_opens_nothing_of_the_owner(serve: Serve) -> None:
    with serve(SETS) as served:
        ann = served.client()
        for path in ("/dashboard", "/adjudicate", "/export.jsonl"):
            assert ann.http.get(path).status_code == 401, path
        assert ann.post("/adjudications", {}).status_code == 401


def test_forms_from_elsewhere_are_refused(serve: Serve) -> None:
    with serve(SETS) as served:
        ann = served.client()
        task = task_on(ann.page)
        good = {"task": int(task["task"]), "seen": task["seen"], "token": "a-good-token", "answer": LEFT}
        bob = "0" * 64
        for headers in (
            {"x-prefdata-form": ""},
            {"x-prefdata-form": bob},
            {"x-prefdata-form": "x" * 64},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"content-type": "application/x-www-form-urlencoded"},
        ):
            reply = ann.post("/answers", good, **headers)
            assert reply.status_code in (403, 422), headers
        assert ann.http.get("/answers").status_code == 405
        assert ann.http.get("/history").text.count("&gt;") == 0
        assert ann.post("/answers", good, origin=served.url).status_code == 200


def test_a_name_that_another_site_points_here_is_refused(serve: Serve) -> None:
    with serve(SETS) as served:
        ann = served.client()
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::"):
            assert ann.http.get("/task", headers={"host": host}).status_code in (400, 421), host
        assert ann.http.get("/task", headers={"host": "localhost:1"}).status_code == 200


def test_every_answer_forbids_what_is_not_ours(serve: Serve) -> None:
    with serve(SETS) as served:
        ann = served.client()
        for path in ("/task", "/history", "/nothing", "/static/annotate.js", "/next"):
            headers = ann.http.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert ann.http.get("/task").headers["cache-control"] == "no-store"
        for page in ("/task", "/history"):
            text = ann.http.get(page).text
            assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", text)
            assert not re.search(r"\s(style|on\w+)=", text)


def test_a_double_click_and_a_retry_are_one_answer(serve: Serve, prefdata: Run) -> None:
    with serve(SETS) as served:
        ann = served.client()
        first = submit(ann, ann.page, token="the-same-token", **LEFT)
        again = submit(ann, ann.page, token="the-same-token", **LEFT)
        assert first.json()["seq"] == again.json()["seq"]
        assert submit(ann, ann.page, token="the-same-token", verdict="both_bad").status_code == 409
    done = prefdata("annotate", "export", served.folder / "s.db", "-o", served.folder / "j.jsonl")
    assert done.returncode == 0, done.stderr
    assert len(read(served.folder / "j.jsonl")) == 1


def test_undo_skip_and_going_back(serve: Serve) -> None:
    with serve(SETS) as served:
        ann = served.client()
        first = task_on(ann.page)
        submit(ann, **{**LEFT, "rationale": "because", "flags": {"1": ["broken"]}})
        page = ann.http.get(f"/task/{first['task']}").text
        assert '"rationale":"because"' in task_on(page)["previous"]
        assert submit(ann, page, verdict="both_good").status_code == 200
        assert "both good" in ann.http.get("/history").text
        assert f'data-task="{first["task"]}"' in ann.post("/undo", {"token": "undo-token-1"}).json()["next"]
        assert ann.post("/undo", {"token": "undo-token-2"}).status_code == 409
        skip = {"task": int(first["task"]), "token": "skip-token", "reason": "too long"}
        assert ann.post("/skips", {**skip, "reason": " "}).status_code == 422
        assert ann.post("/skips", skip).status_code == 200
        assert "skipped: too long" in ann.http.get("/history").text


def test_nobody_sees_or_answers_what_is_somebody_elses(serve: Serve) -> None:
    with serve(SETS, "--annotator", "ann", "--annotator", "bob", "--overlap", "2") as served:
        ann, bob = served.client("ann"), served.client("bob")
        task = task_on(ann.page)
        submit(ann, **{**LEFT, "rationale": "a secret of ann"})
        assert bob.http.get(f"/task/{task['task']}").status_code == 404
        document = {"task": int(task["task"]), "seen": task["seen"], "token": "token-of-bob", "answer": LEFT}
        assert bob.post("/answers", document).status_code == 404
        for path in ("/task", "/history"):
            assert "secret of ann" not in bob.http.get(path).text


def test_no_page_tells_who_wrote_what(serve: Serve) -> None:
    with serve([row("s", "one", "two", "three", metadata={"source": "hidden-source"})]) as served:
        text = served.client().page
        assert not re.search(r"model-\d|hidden-source|\"r\d\"|>r\d<", text)


def test_judges_are_hidden_until_the_answer_is_in(serve: Serve, tmp_path: Path) -> None:
    judged = [
        {
            "id": f"j{n}",
            "response_set_id": "s0",
            "shown": ["r0", "r1"],
            "ranking": [["r0"], ["r1"]],
            "judge": {"kind": "llm", "name": "the-judge"},
            "rationale": "because",
        }
        for n in range(1)
    ]
    queue = write(tmp_path / "j.jsonl", judged)
    with serve(SETS[:1], "--annotator", "ann", "--queue", queue) as served:
        ann = served.client()
        assert "the-judge" not in ann.page
        reply = submit(ann, **LEFT)
        assert "llm:the-judge: " in reply.json()["judges"]
        assert "the-judge" in ann.http.get("/history").text
        page = ann.http.get(f"/task/{task_on(ann.page)['task']}").text
        assert submit(ann, page, verdict="both_bad").status_code == 200
        exported = [json.loads(line) for line in served.client("owner").http.get("/export.jsonl").text.splitlines()]
        assert exported[0]["metadata"]["revealed"] is True


def test_other_machines_need_the_links_and_are_warned_of(serve: Serve) -> None:
    with serve(SETS, "--annotator", "ann", "--host", "0.0.0.0", "--url", "https://notes.example.org") as served:
        assert served.links["ann"].startswith("https://notes.example.org/in/")

    files = (served.folder / "responses.jsonl", "--store", served.folder / "s.db")
    process = subprocess.Popen(
        [COMMAND, "annotate", *files, "--host", "0.0.0.0", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "USER": "ann", "LOGNAME": "ann"},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    port = int(re.search(r":(\d+)/in/", lines[0])[1])  # type: ignore[index]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as stranger:
        assert stranger.get("/task").status_code == 401
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert "listens to other machines" in said


def test_a_server_for_others_answers_to_every_address_and_no_other_name(serve: Serve) -> None:
    """A machine has addresses that its own name does not lead to; a phone knows it by one of them."""
    with serve(SETS, "--annotator", "ann", "--host", "0.0.0.0") as served:
        ann = Person(served.links["ann"].replace(served.url.split("://")[1].split(":")[0], "127.0.0.1", 1))
        for host, status in (
            ("192.0.2.7:8080", 200),
            ("[2001:db8::7]", 200),
            ("evil.example", 421),
            ("7.evil.example", 421),
        ):
            assert ann.http.get("/task", headers={"host": host}).status_code == status, host
        ann.close()
    with serve(SETS) as served:
        assert served.client().http.get("/task", headers={"host": "192.0.2.7"}).status_code == 421


def test_forms_come_through_a_proxy_that_names_us_as_it_likes(serve: Serve) -> None:
    """nginx gives the address that it passes a request on to as its host, unless it is told otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serve(SETS, "--annotator", "ann", "--url", "http://Notes.example.org:80", "--port", str(port)) as served:
        ann = Person(f"http://127.0.0.1:{port}/in/{served.links['ann'].rsplit('/', 1)[1]}")
        for origin, status in (
            ("http://other.example.org", 403),
            ("https://notes.example.org", 403),
            ("http://notes.example.org", 409),  # let in: there is nothing to undo
        ):
            assert ann.post("/undo", {"token": "a-good-token"}, origin=origin).status_code == status, origin
        ann.close()


def test_who_is_in_the_store_is_let_in_again_unnamed(serve: Serve, prefdata: Run) -> None:
    with serve(SETS, "--annotator", "ann", "--annotator", "bob") as served:
        links = {name: link.rsplit("/", 1)[1] for name, link in served.links.items()}
    with serve(SETS, "--lease", "20") as served:
        assert {name: link.rsplit("/", 1)[1] for name, link in served.links.items()} == links
    files = (served.folder / "responses.jsonl", "--store", served.folder / "s.db")
    asked = prefdata("annotate", *files, "--terminal")
    assert asked.returncode == 2
    assert "ann, bob" in asked.stderr


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="files cannot be kept from growing here")
def test_a_disk_that_is_full_is_said_and_answers_wait(serve: Serve, tmp_path: Path) -> None:
    with serve(SETS) as served:
        ann = served.client()
        hard = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        for _ in range(3):
            reply = submit(ann, ann.page, token="the-same-token", **LEFT)
            assert reply.status_code == 503
            assert "cannot be used now" in reply.json()["error"]
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert submit(ann, ann.page, token="the-same-token", **LEFT).status_code == 200
        said = served.stop()
    assert said.count("s.db cannot be used now") == 1
    assert "Traceback" not in said
    many = write(tmp_path / "many.jsonl", [row(f"s{n}", "x" * 1000, "y" * 1000) for n in range(2000)])
    command = [COMMAND, "annotate", many, "--store", tmp_path / "t.db", "--port", "0"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 400; exec "$@"', "sh", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "t.db cannot be used now" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("t.db*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jsonl", "--store", "s.db"], "no such file"),
        (["r.jsonl", "--store", "no/s.db"], "does not exist"),
        (["r.jsonl", "--store", "r.jsonl"], "not an annotation store"),
        (["r.jsonl"], "Missing option '--store'"),
        (["r.jsonl", "--store", "s.db", "--overlap", "0"], "--overlap"),
        (["r.jsonl", "--store", "s.db", "--gold-rate", "2"], "the gold rate is 2"),
        (["r.jsonl", "--store", "s.db", "--annotator", "owner"], "owner"),
        (["r.jsonl", "--store", "s.db", "--template", "bad.yaml"], "bad.yaml: unknown key 'ask'; the scale of 'x'"),
        (["r.jsonl", "--store", "s.db", "--annotator", "ann "], "'ann ' is no name"),
        (["r.jsonl", "--store", "s.db", "--url", "here"], "no address"),
        (["r.jsonl", "--store", "s.db", "--url", "https://example.org/notes"], "stand at the root"),
        (["empty.jsonl", "--store", "s.db"], "is empty"),
        (["bad.yaml", "--store", "s.db"], "is a response set"),
        (["export", "none.db", "-o", "j.jsonl"], "no such store"),
    ],
)
def test_bad_input_is_said_in_a_line(tmp_path: Path, prefdata: Run, arguments: list[str], words: str) -> None:
    (tmp_path / "r.jsonl").write_text(
        '{"prompt": {"prompt": "p"}, "responses": [{"response": "a"}, {"response": "b"}]}\n'
    )
    (tmp_path / "bad.yaml").write_text("ask: 1\ncriteria: {x: {scale: [5, 1]}}\n")
    (tmp_path / "empty.jsonl").write_text("")
    done = prefdata("annotate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("s.db*")), "a store that could not be filled is not left behind"


def test_a_port_that_is_taken_is_said(serve: Serve, prefdata: Run) -> None:
    with serve(SETS) as served:
        port = served.url.rsplit(":", 1)[1]
        again = prefdata(
            "annotate", served.folder / "responses.jsonl", "--store", served.folder / "t.db", "--port", port
        )
    assert again.returncode == 3
    assert "cannot listen" in again.stderr


def test_code_of_others_is_as_its_list_says() -> None:
    """The vendored files are those whose versions, licences and hashes the README beside them tells."""
    folder = Path(annotation.__file__).parent / "static" / "vendor"
    listed = dict(
        re.findall(r"^\| `(.+\.js)` .* `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE)
    )
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.js")}
    assert len(list(folder.glob("*.LICENSE.txt"))) == len(listed) == 2
