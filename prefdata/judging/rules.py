"""Rules as judges: each response gets a score, and the scores a ranking. They cost nothing and never change their mind.

rule:exact-match                 the final text equals a reference, white space at its ends aside
rule:regex:PATTERN               the final text holds a match
rule:length:MIN-MAX              the final text has so many characters; either bound may be left out
rule:python:MODULE:FUNCTION      score(prompt, response, reference or None) -> float or bool; or PATH.py:FUNCTION
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.inprocess import Engine
from prefdata.endpoint.session import Session
from prefdata.errors import UsageError
from prefdata.judging.judges import Couple, Look, Record, Work
from prefdata.judging.transcript import final_text, prompt_text, reference_text, response_text
from prefdata.records.ids import content_id
from prefdata.types import Judge, Judgment, Prompt, Response, ResponseSet

Score = Callable[[Prompt, Response], float | None]
"""The score of a response; ``None`` where the rule does not apply to its prompt."""

FORMS = "rule:exact-match, rule:regex:PATTERN, rule:length:MIN-MAX or rule:python:MODULE:FUNCTION (or PATH.py:FUNCTION)"


class RuleJudge:
    """Judges all responses of a set at once, by their scores."""

    def __init__(self, spec: str) -> None:
        name, _, argument = spec.partition(":")
        if name not in RULES:
            raise UsageError(f"there is no rule {name!r}", f"write {FORMS}")
        self._score = RULES[name](argument)
        self.judge = Judge("rule", spec)
        self.endpoint: Endpoint | None = None
        self.engine: Engine | None = None
        self.spared = 0

    def work(self, response_set: ResponseSet, look: Look, only: Collection[Couple] | None = None) -> Work:
        """Rules ask nobody."""
        yield from ()
        return self._judgments(response_set)

    def most(self, response_set: ResponseSet) -> int:
        """Rules make no call."""
        return 0

    def answered(self, record: Record, session: Session) -> None:
        """Rules are never answered."""

    def _judgments(self, response_set: ResponseSet) -> Iterator[Judgment]:
        """One judgment of all responses; an abstention where the rule does not apply."""
        if not response_set.responses:
            return
        shown = tuple(response.id for response in response_set.responses)
        scores: dict[str, float] = {}
        for response in response_set.responses:
            try:
                score = self._score(response_set.prompt, response)
            except UsageError as error:
                where = f"response {response.id} of response set {response_set.id}"
                raise UsageError(f"{error.message} on {where}", error.hint) from None
            if score is not None:
                scores[response.id] = score
        whole = len(scores) == len(shown)
        yield Judgment(
            id=content_id([self.judge.kind, self.judge.name, response_set.id, shown]),
            response_set_id=response_set.id,
            shown=shown,
            ranking=tiers_of(scores) if whole else None,
            judge=self.judge,
            flags=() if whole else ("abstain",),
            scores=scores if whole else {},
            rationale=None if whole else "the prompt has no reference",
        )


def tiers_of(scores: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """Ids by score, the best first; equal scores are tied."""
    tiers: dict[float, list[str]] = defaultdict(list)
    for id, score in scores.items():
        tiers[score].append(id)
    return tuple(tuple(tiers[score]) for score in sorted(tiers, reverse=True))


def _exact_match(argument: str) -> Score:
    if argument:
        raise UsageError("rule:exact-match takes no argument", f"write {FORMS}")

    def score(prompt: Prompt, response: Response) -> float | None:
        if not prompt.reference:
            return None
        return float(final_text(response).strip() in {text.strip() for text in prompt.reference})

    return score


def _regex(argument: str) -> Score:
    try:
        pattern = re.compile(argument)
    except re.error as error:
        raise UsageError(f"rule:regex: {argument!r} is no pattern ({error})", "quote it for the shell") from None
    if not argument:
        raise UsageError("rule:regex needs a pattern", "for example rule:regex:'^[A-Z]'")
    return lambda _, response: float(pattern.search(final_text(response)) is not None)


def _length(argument: str) -> Score:
    match = re.fullmatch(r"(\d*)-(\d*)", argument)
    if not match or not (match[1] or match[2]):
        raise UsageError(f"rule:length: {argument!r} is no range", "write MIN-MAX in characters: 10-200, 10- or -200")
    least, most = int(match[1] or 0), float(match[2] or "inf")
    if least > most:
        raise UsageError(f"rule:length: {argument!r} holds nothing", "write the smaller number first")
    return lambda _, response: float(least <= len(final_text(response)) <= most)


def _python(argument: str) -> Score:
    module, _, name = argument.rpartition(":")
    if not module or not name:
        raise UsageError(f"rule:python: {argument!r} names no function", f"write {FORMS}")
    function = getattr(_imported(module), name, None)
    if not callable(function):
        raise UsageError(f"rule:python: {module} has no function {name}", "check its name")

    def score(prompt: Prompt, response: Response) -> float:
        try:
            value = function(prompt_text(prompt), response_text(response), reference_text(prompt))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            raise UsageError(f"rule:python:{argument} raised {_said(error)}", "mend the function") from None
        try:
            number = math.nan if isinstance(value, str) else float(value)  # NumPy's and PyTorch's numbers are welcome
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(f"rule:python:{argument} returned {value!r:.80}", "return a finite number or a bool")
        return number

    return score


def _imported(module: str) -> Any:
    try:
        if not module.endswith(".py"):
            if str(Path.cwd()) not in sys.path:  # as with python -m; a console script lacks it
                sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(module)
        path = Path(module)
        if not path.is_file():
            raise UsageError(f"rule:python: {path}: no such file", "write PATH.py:FUNCTION")
        spec = importlib.util.spec_from_file_location(f"prefdata_rule_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing the user's code may raise anything, or end
        raise UsageError(f"rule:python: {module} cannot be imported: {_said(error)}", "mend the module") from None
    return loaded


def _said(error: BaseException) -> str:
    """An exception of the user's code, and the line of it that raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"


RULES: dict[str, Callable[[str], Score]] = {
    "exact-match": _exact_match,
    "regex": _regex,
    "length": _length,
    "python": _python,
}
