"""The routes of the one who owns the store: dashboard, adjudication, live export."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from prefdata.annotation.answers import answer_from, read_answer
from prefdata.annotation.assignment import Task
from prefdata.annotation.dashboard import LISTED, Dashboard, adjudication_task
from prefdata.annotation.export import Policy, exports, moment, standing
from prefdata.annotation.site import OwnReader, OwnWriter, Person, Site, owner, site_of
from prefdata.annotation.store import OWNER, StaleError, UnknownTaskError
from prefdata.annotation.views import in_words
from prefdata.errors import UsageError
from prefdata.records.codec import judgment_record
from prefdata.records.rows import line

router = APIRouter()


def board_of(request: Request) -> Dashboard:
    """The dashboard that the app keeps."""
    found: Dashboard = request.app.state.dashboard
    return found


@router.get("/dashboard")
def dashboard(request: Request, person: OwnReader) -> Response:
    """The whole page; its parts are fetched again now and then."""
    site, board = site_of(request), board_of(request)
    apart = board.disagreements()
    return site.page(
        "dashboard.html",
        person,
        last=board.last(),
        numbers=board.numbers(),
        statistics=board.statistics(fresh=True),
        apart=sorted(apart, key=lambda one: one.adjudicated)[:LISTED],
        more=max(0, len(apart) - LISTED),
        path=str(site.store.path),
    )


@router.get("/dashboard/numbers", dependencies=[Depends(owner)])
def numbers(request: Request, known: int = -1) -> Response:
    """Progress, as a part of the page; nothing where the page has it already."""
    site, board = site_of(request), board_of(request)
    if (last := board.last()) == known:
        return Response(status_code=204)
    return HTMLResponse(site.html("_live.html", part="numbers", last=last, content=board.numbers()))


@router.get("/dashboard/statistics", dependencies=[Depends(owner)])
def statistics(request: Request, known: int = -1) -> Response:
    """Agreement, as a part of the page; nothing where the page has it already."""
    site, board = site_of(request), board_of(request)
    content = board.statistics()
    if (last := board.board().last) == known:
        return Response(status_code=204)
    return HTMLResponse(site.html("_live.html", part="statistics", last=last, content=content))


@router.get("/adjudicate")
def first_open(request: Request, person: OwnReader) -> Response:
    """The first item whose answers differ."""
    return _page(request, person, _open_item(request))


@router.get("/adjudicate/{item}")
def one_item(item: int, request: Request, person: OwnReader) -> Response:
    """Any item with answers."""
    if all(one.item != item for one in board_of(request).disagreements()):
        raise UnknownTaskError(f"item {item} has no answers that differ")
    return _page(request, person, item)


@router.post("/adjudications")
def adjudications(document: Annotated[dict[str, Any], Body()], request: Request, person: OwnWriter) -> Response:
    """The owner's word on one item."""
    site = site_of(request)
    item = document.get("item")
    if type(item) is not int or all(one.item != item for one in board_of(request).disagreements()):
        raise UnknownTaskError("there is no such item to adjudicate")
    task = adjudication_task(site.store, item)
    if document.get("seen") != task.sha256:
        raise StaleError("these are not the texts that were shown", "load the page again")
    answer = read_answer(
        document.get("answer"), site.store.response_set(item), task.shown, site.store.settings.template
    )
    seq = site.store.adjudicate(item, str(document.get("token") or ""), task.shown, answer)
    following = _values(request, _open_item(request))
    return JSONResponse(
        {"saved": True, "seq": seq, "always": True, "next": site.html("_task.html", person, **following)}
    )


@router.get("/export.jsonl", dependencies=[Depends(owner)])
def export(request: Request, as_of: str | None = None) -> Response:
    """The judgments that stand now, or stood at a time."""
    store = site_of(request).store
    try:
        with store.database.reading() as db:
            last, _ = moment(db, as_of)
            judgments = [one for found in exports(db, store.id, Policy(), last) for one in found.judgments]
    except UsageError as error:
        return JSONResponse({"error": error.message, "help": error.hint}, 422)
    return Response(
        b"".join(line(judgment_record(one)) for one in judgments),
        media_type="application/jsonl",
        headers={"content-disposition": 'attachment; filename="judgments.jsonl"'},
    )


def _open_item(request: Request) -> int | None:
    found = board_of(request).disagreements()
    return next((one.item for one in found if not one.adjudicated), None)


def _page(request: Request, person: Person, item: int | None) -> Response:
    return site_of(request).page("task.html", person, **_values(request, item))


def _values(request: Request, item: int | None) -> dict[str, Any]:
    site = site_of(request)
    if item is None:
        return {"view": None}
    task = adjudication_task(site.store, item)
    open_ = sum(not one.adjudicated for one in board_of(request).disagreements())
    values = site.task_values(task, OWNER)
    others = _others(site, task)
    return {**values, "others": others, "url": "/adjudications", "progress": f"items whose answers differ: {open_}"}


def _others(site: Site, task: Task) -> list[dict[str, Any]]:
    """What each annotator said, in the names of the owner's screen."""
    with site.store.database.reading() as db:
        state = standing(db, moment(db, None)[0])[task.item]
    found = []
    for one in state.answers:
        answer = answer_from(one.event.body)
        words = in_words(answer.ranking, [answer.verdict], task.shown)
        words += " (asked again)" if one.event.body["ask"] else ""
        found.append({"name": one.event.annotator, "words": words, "rationale": answer.rationale})
    return found
