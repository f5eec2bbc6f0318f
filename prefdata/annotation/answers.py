"""What a person can say of one task, checked; places on the screen become response ids here and nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from typing import Any, Literal, get_args

from prefdata.annotation.rubric import Rubric
from prefdata.errors import UsageError
from prefdata.records.codec import content_record
from prefdata.records.ids import canonical
from prefdata.types import Content, Message, ResponseSet

Verdict = Literal["ranked", "both_good", "both_bad", "cannot_judge"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FLAGS = {
    "harmful": "harmful",
    "refusal": "refuses to answer",
    "personal_data": "personal data",
    "broken": "broken or cut off",
}
STRENGTHS = {1: "slightly better", 2: "better", 3: "much better"}
LONGEST_TEXT = 200_000
"""Characters of a rationale or of an edited response."""


class AnswerError(UsageError):
    """An answer that cannot be meant; its message goes back to the person who gave it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said, by response id."""

    verdict: Verdict
    ranking: tuple[tuple[str, ...], ...] | None
    """Tiers, best first; one tier where both (or all) are good or bad; None where the person cannot judge."""
    strength: int | None = None
    """1 to 3 (see ``STRENGTHS``), for two responses of which one is better."""
    ratings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rationale: str | None = None
    edits: Mapping[str, str] = field(default_factory=dict)
    """New text by response id, where it differs from the old."""
    milliseconds: int | None = None
    """How long the task was on the screen before the answer."""

    def record(self) -> dict[str, Any]:
        """The answer as it stands in the log; edits are events of their own."""
        return {
            "verdict": self.verdict,
            "ranking": None if self.ranking is None else [list(tier) for tier in self.ranking],
            "strength": self.strength,
            "ratings": {id: dict(own) for id, own in self.ratings.items()},
            "flags": {id: list(own) for id, own in self.flags.items()},
            "rationale": self.rationale,
            "milliseconds": self.milliseconds,
        }


def answer_from(record: Mapping[str, Any]) -> Answer:
    """An answer as it stands in the log, without its edits."""
    ranking = record["ranking"]
    return Answer(
        verdict=record["verdict"],
        ranking=None if ranking is None else tuple(tuple(tier) for tier in ranking),
        strength=record["strength"],
        ratings=record["ratings"],
        flags={id: tuple(own) for id, own in record["flags"].items()},
        rationale=record["rationale"],
        milliseconds=record["milliseconds"],
    )


def read_answer(document: Any, response_set: ResponseSet, shown: Sequence[str], rubric: Rubric | None) -> Answer:
    """An answer as a browser sends it, in places on the screen from 0, checked; raises AnswerError.

    ``{"verdict", "tiers": [[0], [1]], "strength", "ratings": {"0": {criterion: number}}, "flags": {"0": [flag]},
    "rationale", "edits": {"0": text}, "milliseconds"}``; all but the verdict may be left out.
    """
    if not isinstance(document, dict):
        raise AnswerError("an answer must be a JSON object")
    verdict = document.get("verdict")
    if verdict not in VERDICTS:
        raise AnswerError(f"the verdict must be one of {', '.join(VERDICTS)}")
    answer = Answer(
        verdict=verdict,
        ranking=_ranking(verdict, document.get("tiers"), shown),
        ratings=_ratings(document.get("ratings") or {}, shown, rubric),
        flags=_flags(document.get("flags") or {}, shown),
        rationale=_text(document.get("rationale"), "the rationale"),
        edits=_edits(document.get("edits") or {}, shown, response_set),
        milliseconds=_milliseconds(document.get("milliseconds")),
    )
    if verdict == "ranked" and len(shown) == 2 and answer.ranking is not None and len(answer.ranking) == 2:
        strength = document.get("strength", 2)
        if strength not in STRENGTHS or isinstance(strength, bool):
            raise AnswerError("the strength must be 1, 2 or 3")
        answer = replace(answer, strength=strength)
    return answer


def content_sha256(response_set: ResponseSet, shown: Sequence[str]) -> str:
    """SHA-256 over the raw texts of a task in the order shown: what was seen, to be held beside what trains."""
    by_id = {response.id: response for response in response_set.responses}
    document = {
        "prompt": content_record(response_set.prompt.content),
        "tools": [dict(tool) for tool in response_set.prompt.tools],
        "responses": [content_record(by_id[id].content) for id in shown],
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def editable(content: Content) -> str | None:
    """The text that a person may improve: the text itself, or the last message of a trajectory."""
    if isinstance(content, str):
        return content
    last = content[-1]
    return last.content if last.role == "assistant" and not last.tool_calls else None


def edited(content: Content, text: str) -> Content:
    """``content`` with its editable text replaced."""
    if isinstance(content, str):
        return text
    last = content[-1]
    return (*content[:-1], Message(last.role, text, name=last.name))


def diff(old: str, new: str) -> str:
    """What changed, as a unified diff of lines."""
    lines = unified_diff(old.splitlines(), new.splitlines(), "original", "edited", lineterm="")
    return "\n".join(lines)


def _ranking(verdict: Verdict, tiers: Any, shown: Sequence[str]) -> tuple[tuple[str, ...], ...] | None:
    if verdict == "cannot_judge":
        return None
    if verdict != "ranked":
        return (tuple(shown),)
    if not isinstance(tiers, list) or not all(isinstance(tier, list) and tier for tier in tiers):
        raise AnswerError("a ranking needs tiers, best first")
    places = [place for tier in tiers for place in tier]
    if not all(type(place) is int for place in places) or sorted(places) != list(range(len(shown))):
        raise AnswerError("a ranking must hold every response once")
    # Inside a tier the order means nothing; the order shown makes equal answers equal records.
    return tuple(tuple(shown[place] for place in sorted(tier)) for tier in tiers)


def _by_response(found: Any, shown: Sequence[str], what: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(key.isdecimal() and int(key) < len(shown) for key in found):
        raise AnswerError(f"{what} must be given by the place of a response")
    return {shown[int(key)]: value for key, value in found.items()}


def _ratings(found: Any, shown: Sequence[str], rubric: Rubric | None) -> dict[str, dict[str, float]]:
    scales = {criterion.name: criterion for criterion in rubric.criteria} if rubric else {}
    ratings: dict[str, dict[str, float]] = {}
    for id, own in _by_response(found, shown, "ratings").items():
        if not isinstance(own, dict):
            raise AnswerError("ratings must be numbers by criterion")
        for name, value in own.items():
            scale = scales.get(name)
            if scale is None:
                raise AnswerError(f"the rubric has no criterion {name!r}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not scale.low <= value <= scale.high:
                raise AnswerError(f"{name} is rated from {scale.low} to {scale.high}")
        if own:
            ratings[id] = own
    return ratings


def _flags(found: Any, shown: Sequence[str]) -> dict[str, tuple[str, ...]]:
    flags = {}
    for id, own in _by_response(found, shown, "flags").items():
        if not isinstance(own, list) or not set(map(str, own)) <= FLAGS.keys():
            raise AnswerError(f"flags are {', '.join(FLAGS)}")
        if own:
            flags[id] = tuple(name for name in FLAGS if name in own)
    return flags


def _edits(found: Any, shown: Sequence[str], response_set: ResponseSet) -> dict[str, str]:
    contents = {response.id: response.content for response in response_set.responses}
    edits = {}
    for id, new in _by_response(found, shown, "edits").items():
        old, text = editable(contents[id]), _text(new, "an edited response")
        if old is None:
            raise AnswerError("this response does not end in text, so that it cannot be edited")
        if text is None:
            raise AnswerError("an edited response must not be empty")
        # A form field turns every line end into \n; that alone is no edit.
        if text != old.replace("\r\n", "\n").replace("\r", "\n"):
            edits[id] = text
    return edits


def _text(found: Any, what: str) -> str | None:
    if found is None:
        return None
    if not isinstance(found, str):
        raise AnswerError(f"{what} must be text")
    if len(found) > LONGEST_TEXT:
        raise AnswerError(f"{what} has more than {LONGEST_TEXT} characters")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise AnswerError(f"{what} holds half of a character") from None
    return found if found.strip() else None


def _milliseconds(found: Any) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e12:
        return None
    return int(found)
