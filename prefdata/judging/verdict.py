"""From what a judge answered to what it said: the last verdict in the text, or the log-probabilities of its label."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prefdata.endpoint.calls import Choice
from prefdata.judging.template import Template, verdict_pattern

Side = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer says of the response shown first ("a") and second ("b"); ``None`` where it cannot be read."""

    side: Side | None
    probability: float | None = None
    """P("a" is better), in [0, 1]."""
    flags: tuple[str, ...] = ()


def read_verdict(choice: Choice, template: Template) -> Verdict:
    """The verdict of one answer; what cannot be read is flagged "unreadable" and with the cause where it is known."""
    if choice.refusal is not None:
        return Verdict(None, flags=("unreadable", "refusal"))
    if choice.finish_reason == "content_filter":
        return Verdict(None, flags=("unreadable", "content_filter"))
    kind = template.verdict["kind"]
    if kind == "logprobs":
        return _from_logprobs(choice, template)
    if not choice.text.strip():
        return Verdict(None, flags=("unreadable", "empty"))
    side = _from_pattern(choice, template) if kind == "regex" else _from_json(choice.text, template)
    if side is None:
        return Verdict(None, flags=("unreadable", "cut") if choice.finish_reason == "length" else ("unreadable",))
    return Verdict(side)


def _from_pattern(choice: Choice, template: Template) -> Side | None:
    """The last match alone counts: an answer may quote a verdict before it gives its own."""
    ignore_case = bool(template.verdict.get("ignore_case"))
    last: re.Match[str] | None = None
    for match in verdict_pattern(template.verdict["pattern"], template.labels, ignore_case=ignore_case).finditer(
        choice.text
    ):
        last = match
    if last is None:
        return None
    if choice.finish_reason == "length" and re.search(r"\w", choice.text[last.end() :]):
        return None  # cut off while still reasoning: this match was no conclusion
    named = "label" in last.re.groupindex
    return _side(last["label"] if named else last[1], template.labels, ignore_case)


def _from_json(text: str, template: Template) -> Side | None:
    field = template.verdict["field"]
    side: Side | None = None
    for document in _objects(text):
        if field in document:
            side = _side(document[field], template.labels)
    return side


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Every outermost JSON object in ``text``: servers that ignore response_format wrap it in words or fences."""
    import json

    decoder, place = json.JSONDecoder(), text.find("{")
    while place >= 0:
        try:
            document, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            place = text.find("{", place + 1)
            continue
        except RecursionError:
            return
        if isinstance(document, dict):
            yield document
        place = text.find("{", place)


def _from_logprobs(choice: Choice, template: Template) -> Verdict:
    """P(a) = p(label a) / (p(label a) + p(label b)) at the token that holds the verdict.

    Without log-probabilities the text may still be a label; the verdict then has no probability.
    """
    labels = template.labels
    alternatives = _label_token(choice, labels)
    if alternatives is None:
        return Verdict(_side(choice.text, labels)) if _side(choice.text, labels) else _no_label(choice)
    weights = {side: sum(math.exp(p) for token, p in alternatives if _names(token, side, labels)) for side in labels}
    both = weights["a"] + weights["b"]
    if weights.get("tie", 0.0) > max(weights["a"], weights["b"]):
        return Verdict("tie", weights["a"] / both if both else None)
    if not both:
        return _no_label(choice)
    probability = weights["a"] / both
    if abs(2 * probability - 1) <= template.verdict.get("tie_margin", 0.0):
        return Verdict("tie", probability)
    return Verdict("a" if probability > 0.5 else "b", probability)


def _no_label(choice: Choice) -> Verdict:
    return Verdict(None, flags=("unreadable",) if choice.logprobs else ("unreadable", "no_logprobs"))


def _label_token(choice: Choice, labels: Mapping[str, str]) -> list[tuple[str, float]] | None:
    """The alternatives at the last token that is a label, else at the first token that is no space."""
    stripped = [str(token.get("token", "")).strip() for token in choice.logprobs]
    whole = [place for place, token in enumerate(stripped) if token in labels.values()]
    place = whole[-1] if whole else next((place for place, token in enumerate(stripped) if token), None)
    if place is None:
        return None
    token = choice.logprobs[place]
    seen: dict[str, float] = {}
    for entry in (token, *(token.get("top_logprobs") or ())):
        logprob = entry.get("logprob") if isinstance(entry, dict) else None
        if isinstance(logprob, int | float):
            seen[str(entry.get("token", ""))] = float(logprob)
    return list(seen.items()) or None


def _names(token: str, side: str, labels: Mapping[str, str]) -> bool:
    """Whether a token is the label of ``side``, or the beginning of that label and of no other."""
    word = token.strip()
    if word in labels.values():
        return word == labels[side]
    return word != "" and [each for each, label in labels.items() if label.startswith(word)] == [side]


def _side(label: Any, labels: Mapping[str, str], ignore_case: bool = False) -> Side | None:
    if not isinstance(label, str):
        return None
    fold = str.casefold if ignore_case else str
    sides: dict[str, Side] = {fold(labels[side].strip()): side for side in ("a", "b", "tie") if side in labels}
    return sides.get(fold(label.strip()))
