"""The same work without a browser: one person, one terminal, the same store."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from prefdata.annotation.answers import FLAGS, AnswerError, diff, editable, read_answer
from prefdata.annotation.assignment import Task
from prefdata.annotation.safe_html import INVISIBLE
from prefdata.annotation.site import progress_words
from prefdata.annotation.store import Store
from prefdata.annotation.views import Block, TaskView, in_words, task_view
from prefdata.types import ResponseSet

HELP_TWO = "1-3 A is much/-/slightly better, 4 tie, 5-7 B is slightly/-/much better"
HELP_LIST = "the order, best first, as 2>1=3"
HELP = "g all good, b all bad, c cannot judge; f flags, r ratings, n why, e improve, u undo, s skip, ? this, q quit"
SCALE: dict[str, tuple[list[list[int]], int | None]] = {
    "1": ([[0], [1]], 3),
    "2": ([[0], [1]], 2),
    "3": ([[0], [1]], 1),
    "4": ([[0, 1]], None),
    "5": ([[1], [0]], 1),
    "6": ([[1], [0]], 2),
    "7": ([[1], [0]], 3),
}
VERDICTS = {"g": "both_good", "b": "both_bad", "c": "cannot_judge"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One task on the screen, and what was said of it beside the verdict."""

    store: Store
    view: TaskView
    response_set: ResponseSet
    said: dict[str, Any]


def ask(store: Store, annotator: str) -> None:
    """Ask ``annotator`` until nothing is left or they quit (q, or the end of input)."""
    while (task := store.next(annotator)) is not None:
        try:
            if not _one(store, annotator, task):
                break
        except click.Abort:  # Ctrl-C or the end of input
            click.echo()
            break
    else:
        click.echo("Nothing is left for you.")
    click.echo(progress_words(store.progress(annotator)))


def _one(store: Store, annotator: str, task: Task) -> bool:
    """One task; False to quit."""
    response_set = store.response_set(task.item)
    view = task_view(task, response_set)
    _show(store, view)
    said: dict[str, Any] = {"flags": {}, "ratings": {}, "edits": {}, "rationale": None}
    began = time.monotonic()
    while True:
        line = click.prompt(click.style("your answer", bold=True), prompt_suffix="> ").strip()
        if line == "q":
            return False
        if line == "u":
            if store.undo(annotator, secrets.token_hex(8)) is None:
                click.echo("there is nothing to undo")
                continue
            return True
        if line == "s":
            try:
                store.skip(annotator, task.id, secrets.token_hex(8), click.prompt("why do you skip it"))
            except AnswerError as error:
                click.echo(error.message)
                continue
            return True
        if line in MORE:
            MORE[line](Turn(store, view, response_set, said))
            continue
        document = {**_verdict(line, len(view.responses)), **said}
        if "verdict" not in document:
            _help(view)
            continue
        document["milliseconds"] = round(1000 * (time.monotonic() - began))
        try:
            answer = read_answer(document, response_set, task.shown, store.settings.template)
        except AnswerError as error:
            click.echo(f"{error.message}")
            continue
        store.submit(annotator, task.id, secrets.token_hex(8), task.sha256, answer)
        for one in store.judges_of(task.item):
            click.echo(f"  {one['judge']}: {in_words(one['ranking'], one['flags'], task.shown)}")
        return True


def _verdict(line: str, count: int) -> dict[str, Any]:
    """What a line says; empty where it says nothing.

    >>> _verdict("3", 2)
    {'verdict': 'ranked', 'tiers': [[0], [1]], 'strength': 1}
    >>> _verdict("2 > 1=3", 3)
    {'verdict': 'ranked', 'tiers': [[1], [0, 2]]}
    """
    if line in VERDICTS:
        return {"verdict": VERDICTS[line]}
    if count == 2:
        if line not in SCALE:
            return {}
        tiers, strength = SCALE[line]
        return {"verdict": "ranked", "tiers": tiers} | ({"strength": strength} if strength else {})
    try:
        return {
            "verdict": "ranked",
            "tiers": [[int(place) - 1 for place in tier.split("=")] for tier in line.split(">")],
        }
    except ValueError:
        return {}


def _show(store: Store, view: TaskView) -> None:
    rubric = store.settings.template
    click.echo("\n" + "=" * 79)
    click.echo(progress_words(store.progress(view.task.annotator)))
    if rubric and rubric.instructions:
        click.echo(printable(rubric.instructions))
    for block in view.context:
        _message(block, "")
    for response in view.responses:
        click.echo(click.style(f"\n--- Response {response.label} " + "-" * 50, bold=True))
        for number, block in enumerate(response.blocks):
            if number == response.diverges and number:
                click.echo("  ~~~ the responses differ from here ~~~")
            _message(block, "  ")
    _help(view)


def _message(block: Block, indent: str) -> None:
    click.echo(click.style(f"{indent}[{block.role}]", bold=True))
    for line in printable(block.raw).split("\n"):
        click.echo(f"{indent}{line}")
    if block.calls:
        click.echo(printable(block.calls))


def printable(text: str) -> str:
    """``text`` without what would steer the terminal: such characters are named.

    >>> printable("red \\x1b[31m")
    'red U+001B[31m'
    """
    shown = INVISIBLE.sub(lambda found: f"U+{ord(found[0]):04X}", text.replace("\r\n", "\n"))
    return shown.replace("\r", "U+000D").replace("\x00", "U+0000")


def _help(view: TaskView) -> None:
    click.echo(f"\n{HELP_TWO if len(view.responses) == 2 else HELP_LIST}\n{HELP}")


def _place(view: TaskView) -> int | None:
    labels = [response.label for response in view.responses]
    said = click.prompt(f"which response ({', '.join(labels)})").strip().upper()
    return labels.index(said) if said in labels else None


def _flags(turn: Turn) -> None:
    if (place := _place(turn.view)) is None:
        return
    flags = click.prompt(f"flags ({', '.join(FLAGS)})").replace(",", " ").split()
    turn.said["flags"][str(place)] = [flag for flag in flags if flag in FLAGS]
    click.echo(f"flagged: {', '.join(turn.said['flags'][str(place)]) or 'nothing'}")


def _ratings(turn: Turn) -> None:
    rubric = turn.store.settings.template
    if rubric is None or not rubric.criteria:
        click.echo("there is no rubric; --template gives one")
        return
    if (place := _place(turn.view)) is None:
        return
    for criterion in rubric.criteria:
        rated = click.prompt(
            f"{criterion.question} ({criterion.low} to {criterion.high})",
            type=click.IntRange(criterion.low, criterion.high),
        )
        turn.said["ratings"].setdefault(str(place), {})[criterion.name] = rated


def _why(turn: Turn) -> None:
    turn.said["rationale"] = click.prompt("why")


def _improve(turn: Turn) -> None:
    if (place := _place(turn.view)) is None:
        return
    by_id = {response.id: response for response in turn.response_set.responses}
    old = editable(by_id[turn.view.task.shown[place]].content)
    if old is None:
        click.echo("this response does not end in text, so that it cannot be edited")
        return
    try:
        new = click.edit(old)
    except click.ClickException as error:  # no editor, or one that failed
        click.echo(error.format_message())
        return
    if new is None:
        return
    # An editor ends the last line of a file whether or not the text did.
    new = new.removesuffix("\n") if not old.endswith("\n") else new
    turn.said["edits"][str(place)] = new
    click.echo(printable(diff(old, new)))


Command = Callable[[Turn], None]
MORE: dict[str, Command] = {"f": _flags, "r": _ratings, "n": _why, "e": _improve}
