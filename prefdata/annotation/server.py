"""The web app: a task page for people with a link, a dashboard for the owner, and nothing for anybody else."""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any

import click
from fastapi import Body, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from prefdata.annotation import owner
from prefdata.annotation.answers import AnswerError, answer_from, editable, read_answer
from prefdata.annotation.assignment import Task
from prefdata.annotation.dashboard import Dashboard
from prefdata.annotation.database import UnusableError
from prefdata.annotation.diffs import marked
from prefdata.annotation.links import Links
from prefdata.annotation.security import Guard
from prefdata.annotation.site import HERE, NO_LINK, Person, Reader, RefusedError, Site, Writer, progress_words
from prefdata.annotation.store import Saved, Store, UnknownTaskError
from prefdata.annotation.views import in_words
from prefdata.errors import PrefdataError

Document = Annotated[dict[str, Any], Body()]
COMPLAIN_SECONDS = 60.0


def build(store: Store, links: Links, hosts: frozenset[str], url: str) -> FastAPI:
    """The app for one store, which answers to the names of ``hosts`` only and is reached at ``url``."""
    https = url.startswith("https:")
    app = FastAPI(title="prefdata annotate", docs_url=None, redoc_url=None, openapi_url=None)
    site = app.state.site = Site(store, links)
    app.state.dashboard = Dashboard(store)
    complaints = Complaints()
    app.include_router(owner.router)
    app.add_middleware(Guard, hosts=hosts, url=url)
    app.mount("/static", StaticFiles(directory=HERE / "static"))

    @app.exception_handler(RefusedError)
    def refused(request: Request, error: RefusedError) -> Response:
        return _said(site, request, error.status, "No way in", error.text)

    @app.exception_handler(PrefdataError)
    def failed(request: Request, error: PrefdataError) -> Response:
        status = 422 if isinstance(error, AnswerError) else 404 if isinstance(error, UnknownTaskError) else 409
        hint = f" – {error.hint}" if error.hint else ""
        return _said(site, request, status, "That does not work", error.message + hint)

    @app.exception_handler(UnusableError)
    def unusable(request: Request, error: UnusableError) -> Response:
        complaints.add(f"{error.message}; what people answer waits in their browsers")
        return _said(site, request, 503, "Not now", "The store cannot be used now. Try again in a while.")

    @app.get("/")
    def home(request: Request) -> Response:
        for role, path in (("annotator", "/task"), ("owner", "/dashboard")):
            try:
                site.person(request, role)  # type: ignore[arg-type]
            except RefusedError:
                continue
            return RedirectResponse(path, 303)
        raise RefusedError(401, NO_LINK)

    @app.get("/in/{signed}")
    def enter(signed: str) -> Response:
        found = links.read(signed)
        if found is None or not site.known(found):
            raise RefusedError(401, "This link is not one of this store. Ask for a new one.")
        reply = RedirectResponse("/dashboard" if found[0] == "owner" else "/task", 303)
        # Lax, not strict: a strict cookie would be missing right after the click on a link in a mail.
        reply.set_cookie(
            site.cookie(found[0]), signed, httponly=True, samesite="lax", secure=https, max_age=365 * 86400
        )
        return reply

    @app.get("/task")
    def task_page(person: Reader) -> Response:
        return site.page("task.html", person, **site.task_values(store.next(person.name), person.name))

    @app.get("/task/{id}")
    def earlier(id: int, person: Reader) -> Response:
        return site.page("task.html", person, **site.task_values(store.task(person.name, id), person.name))

    @app.get("/next")
    def next_fragment(person: Reader, after: int | None = None) -> Response:
        task = store.next(person.name, after)
        return JSONResponse({"next": None if after is not None and task is None else site.fragment(person, task)})

    @app.post("/answers")
    def answers(document: Document, person: Writer) -> Response:
        task = store.task(person.name, _whole(document, "task"))
        answer = read_answer(document.get("answer"), store.response_set(task.item), task.shown, store.settings.template)
        token, seen = str(document.get("token") or ""), str(document.get("seen") or "")
        saved = store.submit(person.name, task.id, token, seen, answer, follow=document.get("have") is None)
        judges = "; ".join(
            f"{one['judge']}: {in_words(one['ranking'], one['flags'], task.shown)}"
            for one in store.judges_of(task.item)
        )
        return _saved(site, person, saved, saved.following, document, judges=judges or None)

    @app.post("/skips")
    def skips(document: Document, person: Writer) -> Response:
        token, reason = str(document.get("token") or ""), str(document.get("reason") or "")
        saved = store.skip(person.name, _whole(document, "task"), token, reason)
        following = store.next(person.name) if document.get("have") is None else None
        return _saved(site, person, saved, following, document)

    @app.post("/undo")
    def undo(document: Document, person: Writer) -> Response:
        saved = store.undo(person.name, str(document.get("token") or ""))
        if saved is None:
            return JSONResponse({"error": "there is nothing to undo"}, 409)
        return JSONResponse({"saved": True, "always": True, "next": site.fragment(person, store.next(person.name))})

    @app.post("/diff")
    def difference(document: Document, person: Writer) -> Response:
        task = store.task(person.name, _whole(document, "task"))
        place = _whole(document, "place")
        by_id = {response.id: response for response in store.response_set(task.item).responses}
        if not 0 <= place < len(task.shown):
            return JSONResponse({"error": "no such response"}, 404)
        old = editable(by_id[task.shown[place]].content) or ""
        return JSONResponse({"html": marked(old.replace("\r\n", "\n"), str(document.get("text") or ""))})

    @app.get("/history")
    def history(person: Reader) -> Response:
        rows = [_told(store, task) for task in store.history(person.name)]
        return site.page("history.html", person, rows=rows, progress=progress_words(store.progress(person.name)))

    return app


class Complaints:
    """Tells the owner, at the terminal, what is wrong with the store: not once for every try of every browser."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def add(self, text: str) -> None:
        """Say ``text``, unless it was said within the last minute."""
        with self._lock:
            if self._next.get(text, 0.0) > time.monotonic():
                return
            self._next[text] = time.monotonic() + COMPLAIN_SECONDS
        click.echo(f"error: {text}", err=True)


def _said(site: Site, request: Request, status: int, title: str, text: str) -> Response:
    """A message as the page that a person asked for, or as the JSON that a script did."""
    if request.method == "POST" or request.url.path == "/next":
        return JSONResponse({"error": text}, status)
    link = ("/task", "To the task") if status == 404 else None
    return site.page("message.html", None, status, title=title, text=text, link=link)


def _saved(
    site: Site, person: Person, saved: Saved, following: Task | None, document: dict[str, Any], **more: Any
) -> Response:
    """What the page is told once an answer is on the disk; with the next task, unless it holds that already."""
    found: dict[str, Any] = {"saved": True, "seq": saved.seq, "surplus": saved.surplus, "next": None, **more}
    if document.get("have") is None:
        found["next"] = site.fragment(person, following)
    found["progress"] = progress_words(site.store.progress(person.name))
    return JSONResponse(found)


def _told(store: Store, task: Task) -> dict[str, Any]:
    """One line of the history."""
    response_set = store.response_set(task.item)
    assert task.answer is not None
    event = store.event(task.answer)
    content = response_set.prompt.content
    text = content if isinstance(content, str) else content[-1].content or content[-1].role
    row: dict[str, Any] = {"task": task, "start": " ".join(text.split())[:80] or "(an empty prompt)", "judges": None}
    if event.kind == "skipped":
        return {**row, "words": f"skipped: {event.body['reason']}", "diffs": []}
    answer = answer_from(event.body)
    olds = {response.id: editable(response.content) or "" for response in response_set.responses}
    said = [
        f"{one['judge']}: {in_words(one['ranking'], one['flags'], task.shown)}" for one in store.judges_of(task.item)
    ]
    return {
        **row,
        "words": in_words(answer.ranking, [answer.verdict], task.shown),
        "judges": "; ".join(said),
        "diffs": [_diff(olds[id], text) for id, text in store.edits_of(event.seq).items()],
    }


def _diff(old: str, new: str) -> Any:
    from markupsafe import Markup

    return Markup(marked(old.replace("\r\n", "\n"), new))


def _whole(document: dict[str, Any], name: str) -> int:
    found = document.get(name)
    return found if type(found) is int else -1
