"""What is wrong with a template: all of it at once, each problem with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from prefdata.judging.template import PLACEHOLDER, verdict_pattern
from prefdata.schema import violations

SHOWN = {
    "pairwise": ("prompt", "response_a", "response_b", "reference", "criteria"),
    "pointwise": ("prompt", "response", "reference", "criteria", "criterion"),
    "listwise": ("prompt", "responses", "labels", "reference", "criteria"),
}
NEEDED = {"pairwise": ("response_a", "response_b"), "pointwise": ("response",), "listwise": ("responses",)}
LABELS = ("label_a", "label_b", "label_tie")
OURS = ("model", "messages", "n", "stream", "logprobs", "top_logprobs", "response_format")
"""Fields of a request that follow from the template and are not parameters of it."""


def problems_of(document: Any) -> list[str]:
    """Every problem of a template, or those that its schema finds, where there are any."""
    problems = [f"{each.pointer or '/'}: {each.message}" for each in violations("judge_template", document)]
    return problems or list(_problems(document))


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    labels: Mapping[str, str] = document.get("labels", {})
    mode = document.get("mode", "pairwise")
    verdict = document["verdict"]
    common = ("nonce",) if "draw" in document else ()
    made: list[str] = []
    for place, step in enumerate(document.get("prepare") or ()):
        known = ("prompt", "reference", "criteria", *made)
        for part in ("system", "user"):
            yield from _unknown(f"/prepare/{place}/{part}", step.get(part, ""), known)
        if step["name"] != "reference" and step["name"] in (*SHOWN[mode], *LABELS, "nonce", *made):
            yield f"/prepare/{place}/name: {step['name']} is the name of something else"
        yield from _parameters(f"/prepare/{place}", step)
        made.append(step["name"])
    known = (*SHOWN[mode], *(f"label_{side}" for side in labels), *common, *made)
    for part in ("system", "user"):
        yield from _unknown(f"/{part}", document.get(part, ""), known)
    used = {name for part in ("system", "user") for name in PLACEHOLDER.findall(document.get(part, ""))}
    for name in NEEDED[mode]:
        if name not in used:
            yield f"/user: {{{{{name}}}}} is not shown"
    if mode == "listwise":
        yield from _unknown("/item", document["item"], ("label", "response", *common))
        for name in {"label", "response"} - set(PLACEHOLDER.findall(document["item"])):
            yield f"/item: {{{{{name}}}}} is not shown"
    if used & {"criteria", "criterion"} and not document.get("criteria"):
        yield "/criteria: the template shows criteria and has none"
    yield from _label_problems(document, labels)
    yield from _parameters("", document)
    if "draw" in document and verdict["kind"] == "regex" and not PLACEHOLDER.search(verdict["pattern"]):
        yield "/verdict/pattern: labels that are drawn must stand in it as {{label_a}} and {{label_b}}"
    if "pattern" in verdict:
        yield from _pattern_problems(verdict["pattern"], labels, "draw" in document)


def _unknown(pointer: str, text: str, known: tuple[str, ...]) -> Iterator[str]:
    for placeholder in PLACEHOLDER.findall(text):
        if placeholder in known:
            continue
        if placeholder in LABELS and "label_a" in known:
            yield f"{pointer}: {{{{{placeholder}}}}} has no label under /labels"
        elif placeholder == "nonce":
            yield f"{pointer}: {{{{nonce}}}} needs /draw"
        else:
            yield f"{pointer}: unknown placeholder {{{{{placeholder}}}}} (known: {', '.join(known)})"


def _parameters(pointer: str, document: Mapping[str, Any]) -> Iterator[str]:
    for field in document.get("parameters") or {}:
        if field in OURS:
            yield f"{pointer}/parameters/{field}: is set by prefdata"


def _label_problems(document: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[str]:
    verdict = document["verdict"]
    fold = str.casefold if verdict.get("ignore_case") else str
    if len({fold(label.strip()) for label in labels.values()}) < len(labels):
        yield "/labels: two of them are the same"
    if verdict["kind"] == "logprobs" and document.get("draw") != "letters":
        if labels["a"][0] == labels["b"][0]:
            yield "/labels: a and b must differ in their first character, which is what the first token tells"
        if "draw" in document:
            yield "/draw: a verdict of one token needs letters"


def _pattern_problems(pattern: str, labels: Mapping[str, str], drawn: bool) -> Iterator[str]:
    for placeholder in PLACEHOLDER.findall(pattern):
        if placeholder.removeprefix("label_") not in labels and not (placeholder == "nonce" and drawn):
            yield f"/verdict/pattern: unknown placeholder {{{{{placeholder}}}}}"
            return
    try:
        compiled = verdict_pattern(pattern, labels)
    except re.error as error:
        yield f"/verdict/pattern: no regular expression ({error})"
        return
    if not compiled.groups:
        yield "/verdict/pattern: it needs a group that holds the label, as in \\[\\[(?P<label>A|B)\\]\\]"
