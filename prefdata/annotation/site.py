"""What the routes of the web app share: the store, signatures, templates, and who sends a request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prefdata.annotation.answers import FLAGS, answer_from
from prefdata.annotation.assignment import Task
from prefdata.annotation.links import Links, Role
from prefdata.annotation.safe_html import render
from prefdata.annotation.store import OWNER, Progress, Store
from prefdata.annotation.views import answer_places, task_view

HERE = Path(__file__).parent
NO_LINK = "Open the link that was made for you: this page is shown to nobody without one."


@dataclass(frozen=True, slots=True)
class Person:
    """Who sends a request, by a signed cookie."""

    role: Role
    name: str


class RefusedError(Exception):
    """A request without a link, or a form that is not ours."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Site:
    """What the routes share: the store, the signatures, the templates."""

    def __init__(self, store: Store, links: Links) -> None:
        self.store, self.links = store, links
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        rubric = store.settings.template
        self.criteria = rubric.criteria if rubric else ()
        self.instructions = render(rubric.instructions).html if rubric and rubric.instructions else None

    def cookie(self, role: Role) -> str:
        """The cookie's name: two stores on one machine share a cookie jar."""
        return f"prefdata-{self.store.id[:8]}-{role}"

    def person(self, request: Request, role: Role) -> Person:
        """Whose cookie this is; raises RefusedError."""
        found = self.links.read(request.cookies.get(self.cookie(role), ""))
        if found is None or found[0] != role or not self.known(found):
            raise RefusedError(401, NO_LINK)
        return Person(*found)

    def known(self, who: tuple[Role, str]) -> bool:
        """Whether a signature is of somebody whom the store let in."""
        return who == ("owner", OWNER) or (who[0] == "annotator" and who[1] in self.store.annotators())

    def checked(self, request: Request, role: Role) -> Person:
        """The same for a form, which must come from a page of ours."""
        person = self.person(request, role)
        if not self.links.form_token_holds(request.headers.get("x-prefdata-form", ""), person.role, person.name):
            raise RefusedError(403, "This form does not come from a page of this server. Load the page again.")
        return person

    def page(self, name: str, person: Person | None = None, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page."""
        return HTMLResponse(self.html(name, person, **values), status)

    def html(self, template: str, person: Person | None = None, **values: Any) -> str:
        """A template as HTML."""
        who = {
            "store_id": self.store.id if person else "",
            "person": person.name if person else "",
            "form_token": self.links.form_token(person.role, person.name) if person else None,
            "owner": person is not None and person.role == "owner",
        }
        return self._templates.get_template(template).render(**{**who, **values})

    def task_values(self, task: Task | None, annotator: str) -> dict[str, Any]:
        """What ``_task.html`` needs."""
        if task is None:
            return {"view": None}
        previous = None
        if task.answer is not None and (event := self.store.event(task.answer)).kind == "answered":
            previous = answer_places(answer_from(event.body), self.store.edits_of(event.seq), task.shown)
        return {
            "view": task_view(task, self.store.response_set(task.item)),
            "progress": progress_words(self.store.progress(annotator)),
            "previous": orjson.dumps(previous, option=orjson.OPT_NON_STR_KEYS).decode(),
            "flags": FLAGS,
            "criteria": self.criteria,
            "instructions": self.instructions,
            "others": None,
            "url": "/answers",
        }

    def fragment(self, person: Person, task: Task | None) -> str:
        """One task as HTML for a page that is there already."""
        return self.html("_task.html", person, **self.task_values(task, person.name))


def progress_words(found: Progress) -> str:
    """How far one is, in words.

    >>> progress_words(Progress(3, 1, 20, 42.0))
    '3 answered · 1 skipped · 20 left · 42 s each'
    """
    parts = [f"{found.answered} answered"]
    if found.skipped:
        parts.append(f"{found.skipped} skipped")
    parts.append(f"{found.left} left")
    if found.pace is not None:
        parts.append(f"{found.pace:.0f} s each")
    return " · ".join(parts)


def annotator(request: Request) -> Person:
    """The annotator whose page this is."""
    return site_of(request).person(request, "annotator")


def writing_annotator(request: Request) -> Person:
    """The annotator whose form this is."""
    return site_of(request).checked(request, "annotator")


def owner(request: Request) -> Person:
    """The owner, whose page this is."""
    return site_of(request).person(request, "owner")


def writing_owner(request: Request) -> Person:
    """The owner, whose form this is."""
    return site_of(request).checked(request, "owner")


def site_of(request: Request) -> Site:
    """The site that the app serves."""
    site: Site = request.app.state.site
    return site


Reader = Annotated[Person, Depends(annotator)]
Writer = Annotated[Person, Depends(writing_annotator)]
OwnReader = Annotated[Person, Depends(owner)]
OwnWriter = Annotated[Person, Depends(writing_owner)]
