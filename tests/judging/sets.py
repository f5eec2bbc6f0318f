"""Response sets as files, a judge that can be asked, and what a run left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import prefdata
from prefdata.judging.tally import JudgeResult
from tests.servers import Answer, Reply, Request, Server, completion, last_words


def row(id: str, *texts: Any, prompt: Any = None, **rest: Any) -> dict[str, Any]:
    """One response set whose response ids are r0, r1, …"""
    responses = [{"id": f"r{place}", "response": text} for place, text in enumerate(texts)]
    return {"id": id, "prompt": {"prompt": prompt or f"prompt of {id}", **rest}, "responses": responses}


def write(path: Path, rows: Iterable[Any]) -> Path:
    """One JSON line a row; bytes as they are."""
    path.write_bytes(
        b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in rows) + b"\n"
    )
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown(request: Request) -> tuple[str, str]:
    """The two responses that the built-in templates show."""
    text = last_words(request)
    first, second = (text.split(f"<response {name}>\n")[1].split(f"\n</response {name}>")[0] for name in names(request))
    return first, second


def names(request: Request) -> list[str]:
    """What the two responses are called, drawn for this call."""
    text = last_words(request)
    found = re.findall(r"^\s*<response ([A-Z][^>]*)>$", text, re.MULTILINE)
    if nonce := re.match(r"<request (\w+)>", text):
        found = [name for name in found if nonce[1] in name]
    return found or ["A", "B"]


def said(request: Request, side: str) -> str:
    """The verdict A, B or C in the labels of this call."""
    first, second = (name.split()[0] for name in names(request))
    tie = "C-" + first.split("-")[1] if "-" in first else "C"
    return f"[[{ {'A': first, 'B': second, 'C': tie}.get(side, side) }]]"


def judging(prefer: Callable[[str, str], str]) -> Answer:
    """A judge that answers [[A]], [[B]] or [[C]], labels as drawn, as ``prefer`` says of the two texts shown."""

    def answer(request: Request, count: int) -> Reply:
        return completion(f"I think so. {said(request, prefer(*shown(request)))}")

    return answer


def longer(first: str, second: str) -> str:
    """A judge without position bias."""
    return "C" if len(first) == len(second) else "A" if len(first) > len(second) else "B"


def timeless(path: Path) -> bytes:
    """A file without the one field that two runs may not share."""
    return re.sub(rb'"created_at":"[^"]*",?', b"", path.read_bytes())


SETS = [
    row("clear", "short", "a longer one"),
    row("even", "same", "size"),
    row("copies", "same", "same"),
    row("alone", "only"),
]


def judged(folder: Path, server: Server, **options: Any) -> JudgeResult:
    """``prefdata.judge`` on r.jsonl in ``folder``, with ``server`` as the judge."""
    options = {"judge": f"llm:m@{server.url}", "retries": 0, **options}
    result = prefdata.judge(folder / "r.jsonl", folder / "p.jsonl", **options)
    assert isinstance(result, JudgeResult)
    return result


def reasons(folder: Path) -> dict[str, str]:
    """Why each response set gave no pair."""
    return {drop.get("response_set_id", drop.get("line")): drop["reason"] for drop in read(folder / "p.dropped.jsonl")}
