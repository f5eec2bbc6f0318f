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
    strength: float | None = None
    """2 for much better, 1 for better, 0 for a tie, where the template has such levels."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer says of one response (a score) or of all (places in tiers, best first); ``None``: unreadable."""

    score: float | None = None
    tiers: tuple[tuple[int, ...], ...] | None = None
    flags: tuple[str, ...] = ()


def read_answer(choice: Choice, template: Template) -> Reading:
    """The score or the ranking of one answer to a pointwise or a listwise template."""
    flags = _unreadable(choice)
    last = None if flags else _last(choice, template)
    if last is None:
        cut = ("cut",) if choice.finish_reason == "length" else ()
        return Reading(flags=flags or ("unreadable", *cut))
    if template.verdict["kind"] == "score":
        score = _score(_group(last, "score"), template.verdict)
        return Reading(score=score, flags=() if score is not None else ("unreadable",))
    tiers = _tiers(_group(last, "ranking"), template.labels)
    return Reading(tiers=tiers, flags=() if tiers is not None else ("unreadable",))


def read_verdict(choice: Choice, template: Template) -> Verdict:
    """The verdict of one answer; what cannot be read is flagged "unreadable" and with the cause where it is known."""
    kind = template.verdict["kind"]
    flags = _unreadable(choice)
    if flags == ("unreadable", "empty") and kind == "logprobs":
        flags = ()
    if flags:
        return Verdict(None, flags=flags)
    if kind == "logprobs":
        return _from_logprobs(choice, template)
    verdict = _from_pattern(choice, template) if kind == "regex" else Verdict(_from_json(choice.text, template))
    if verdict.side is None:
        return Verdict(None, flags=("unreadable", "cut") if choice.finish_reason == "length" else ("unreadable",))
    return verdict


def _unreadable(choice: Choice) -> tuple[str, ...]:
    """Flags of an answer in which no verdict is looked for."""
    if choice.refusal is not None:
        return ("unreadable", "refusal")
    if choice.finish_reason == "content_filter":
        return ("unreadable", "content_filter")
    return () if choice.text.strip() else ("unreadable", "empty")


def _from_pattern(choice: Choice, template: Template) -> Verdict:
    last = _last(choice, template)
    if last is None:
        return Verdict(None)
    ignore_case = bool(template.verdict.get("ignore_case"))
    if template.verdict.get("levels"):
        return _level(_group(last, "label"), template.labels, ignore_case)
    return Verdict(_side(_group(last, "label"), template.labels, ignore_case))


def _last(choice: Choice, template: Template) -> re.Match[str] | None:
    """The last match alone counts: an answer may quote a verdict before it gives its own."""
    ignore_case = bool(template.verdict.get("ignore_case"))
    last: re.Match[str] | None = None
    pattern = verdict_pattern(
        template.verdict["pattern"], template.labels, ignore_case=ignore_case, nonce=template.nonce
    )
    for match in pattern.finditer(choice.text):
        # With a nonce drawn, what does not hold it can only be a quotation.
        if template.nonce in match[0] or template.document.get("draw") == "letters":
            last = match
    if last is None:
        return None
    if choice.finish_reason == "length" and re.search(r"\w", choice.text[last.end() :]):
        return None  # cut off while still reasoning: this match was no conclusion
    return last


def _group(match: re.Match[str], name: str) -> str | None:
    """The group of that name, or the first."""
    value: str | None = match[name] if name in match.re.groupindex else match[1]
    return value


def _level(said: str | None, labels: Mapping[str, str], ignore_case: bool) -> Verdict:
    """``A>>B``, ``A>B``, ``A=B``, ``B>A`` or ``B>>A``; the sign may point the other way."""
    parts = re.fullmatch(r"(.*?[^<>=\s])\s*(>>|>|=|<<|<)\s*([^<>=\s].*)", (said or "").strip())
    if parts is None:
        return Verdict(None)
    sides = [_side(parts[place], labels, ignore_case) for place in (1, 3)]
    if sides not in (["a", "b"], ["b", "a"]):
        return Verdict(None)
    if parts[2] == "=":
        return Verdict("tie", strength=0.0)
    return Verdict(sides[parts[2].startswith("<")], strength=float(len(parts[2])))


def _score(said: str | None, verdict: Mapping[str, Any]) -> float | None:
    """A number on the template's scale; one beyond it is no score."""
    try:
        score = float(said or "")
    except ValueError:
        return None
    return score if verdict["minimum"] <= score <= verdict["maximum"] else None


def _tiers(said: str | None, labels: Mapping[str, str]) -> tuple[tuple[int, ...], ...] | None:
    """``B > A = C`` by place shown; ``None`` unless every label stands there exactly once."""
    places = {label: int(place) for place, label in labels.items()}
    tiers = [[part.strip() for part in tier.split("=")] for tier in (said or "").split(">")]
    if sorted(label for tier in tiers for label in tier) != sorted(places):
        return None
    return tuple(tuple(sorted(places[label] for label in tier)) for tier in tiers)


def _from_json(text: str, template: Template) -> Side | None:
    field = template.verdict["field"]
    side: Side | None = None
    for document in _objects(text):
        if field in document:
            said = _side(document[field], template.labels)
            if said is not None or not template.nonce:  # with drawn labels another label can only be a quotation
                side = said
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
