"""Responses that speak to the judge: a verdict, an instruction, or the marks that a template puts around responses.

A constant text of this kind, which answers nothing, has won 86.5% against real answers (Zheng et al. 2024,
arXiv:2410.07137). What is found here changes no verdict. It is said with the judgment and in the summary, so that a
person can look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prefdata.judging.template import PLACEHOLDER, Template, verdict_pattern

VERDICT, INSTRUCTION, FENCE = "verdict_in_response", "instruction_in_response", "fence_in_response"
SUSPICIONS = (VERDICT, INSTRUCTION, FENCE)
"""Flags of a judgment that was shown such a response."""

_WHO = r"(?:response|answer|output|assistant|candidate|completion)"
_SIDE = r"[\"'(\[]*(?:(?-i:[ABCMm])|[12]|one|two|first|second)\b[\"')\]]*(?!\s+[a-z])"
_VERDICTS = re.compile(
    rf"""
    \[\[\s*(?:[ABCm]|tie|{_WHO}\s+[AB12])\s*(?:(?:>>?|<<?|=)\s*[AB12]\s*)?\]\]
    | \brating\s*:\s*\[\[
    | "(?:better|winner|verdict|preference|preferred|best|choice)"\s*:\s*"[^"]{{1,40}}"
    | \b(?:verdict|judge?ment|preference|winner)\s*(?:is|:)\s*[*_`]*(?:{_WHO}\s+)?{_SIDE}
    | \b{_WHO}\s+[\"'(\[]*[AB12m]\b[\"')\]]*\s+(?:is|was)\s+
        (?:(?:clearly|much|significantly|far|slightly)\s+)?(?:the\s+)?(?:better|best|superior|winner|preferred)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_INSTRUCTIONS = re.compile(
    rf"""
    \b(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+|the\s+|your\s+)*
        (?:previous|prior|above|earlier|preceding|other|system)\s+
        (?:instruction|prompt|direction|rule|response|answer|message|text|criteria)
    | \b(?:choose|pick|select|prefer|vote\s+for|rank|rate|score|grade|judge|mark|declare)\s+
        (?:me\b(?!\s+(?:up|out|a|an|the|some|one)\b)|mine\b
        |(?:this|my)\s+{_WHO}\b|(?:the\s+)?{_WHO}\s+{_SIDE})
    | \b(?:dear|attention|(?:note|message)\s+(?:to|for)(?:\s+the)?|instructions?\s+(?:to|for)(?:\s+the)?)[\s,:]+
        (?:\w+\s+)?(?:judge|evaluator|grader|rater)s?\b
    | \b(?:give|assign|award)\s+(?:me|(?:this|my)\s+{_WHO})\s+(?:an?\s+|the\s+)?
        (?:full|top|perfect|highest|maximum|best|10|100|5)\b
    | \bas\s+(?:an?\s+|the\s+)?(?:impartial\s+)?(?:judge|evaluator|grader),?\s+you\s+
        (?:must|should|have\s+to|will|need)\b
    | <\|(?:im_start|im_end|eot_id|start_header_id|system|The\s+(?:Start|End)\s+of)
    | \[(?:The\s+)?(?:Start|End)\s+of\s+(?:Assistant|Output|Response|Answer|Instruction)
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Inspector:
    """Looks at responses the way one template would be misled by them."""

    def __init__(self, template: Template) -> None:
        self._verdict: re.Pattern[str] | None = None
        if template.verdict["kind"] == "regex":
            fold = bool(template.verdict.get("ignore_case"))
            self._verdict = verdict_pattern(template.verdict["pattern"], template.labels, ignore_case=fold)
        self._fences = _fences(template)

    def suspicions(self, text: str) -> tuple[str, ...]:
        """What is suspicious about one response, of ``SUSPICIONS``."""
        own = self._verdict is not None and any(match[0].strip() for match in self._verdict.finditer(text))
        found = {
            VERDICT: own or _VERDICTS.search(text) is not None,
            INSTRUCTION: _INSTRUCTIONS.search(text) is not None,
            FENCE: self._fences is not None and self._fences.search(text) is not None,
        }
        return tuple(flag for flag in SUSPICIONS if found[flag])


def told(found: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], str | None]:
    """The flags of a judgment and the words for them, from the suspicions by response id."""
    flags = tuple(flag for flag in SUSPICIONS if any(flag in own for own in found.values()))
    words = [f"{id} holds {', '.join(_WORDS[flag] for flag in own)}" for id, own in found.items() if own]
    return flags, "; ".join(words) or None


_WORDS = {VERDICT: "a verdict", INSTRUCTION: "an instruction to the judge", FENCE: "the template's own marks"}


def _fences(template: Template) -> re.Pattern[str] | None:
    """The lines next to a response in the template; labels and nonces in them stand for anything."""
    lines = [line.strip() for line in str(template.document["user"]).splitlines()]
    lines += [line.strip() for line in str(template.document.get("item", "")).splitlines()]
    shown = [place for place, line in enumerate(lines) if any(name in line for name in ("response_", "{{response}}"))]
    marks = set()
    for place in shown:
        for near in (place - 1, place + 1):
            line = lines[near] if 0 <= near < len(lines) else ""
            if len(PLACEHOLDER.sub("", line).strip()) >= 4 and near not in shown:
                marks.add(line)
    parts = []
    for mark in sorted(marks):
        if tag := re.match(r"</?(\w+)\b[^<>]*>$", mark):  # whatever it calls the response that it pretends to end
            parts.append(rf"</?{tag[1]}\b[^<>\n]{{0,80}}>")
            continue
        literal = [re.escape(part) for part in PLACEHOLDER.split(mark)[::2]]
        parts.append(r"\S{0,40}".join(literal))
    return re.compile("|".join(rf"^\s*{part}\s*$" for part in parts), re.MULTILINE) if parts else None
