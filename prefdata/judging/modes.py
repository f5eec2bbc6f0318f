"""The modes of judging: two responses a call, one response a call, or all of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import xxhash

from prefdata.endpoint.calls import Call
from prefdata.judging.drawing import LETTERS
from prefdata.judging.judges import Couple, Look, Record, Work
from prefdata.judging.outcomes import choice_of
from prefdata.judging.template import Template, listed
from prefdata.judging.transcript import response_text
from prefdata.judging.verdict import Reading, Verdict, read_answer, read_verdict
from prefdata.types import Judgment, Response, ResponseSet

if TYPE_CHECKING:
    from prefdata.judging.llm import LLMJudge

WIDE = 0.8
"""|2 P - 1| from which on a verdict in one order is not asked for again in the other, where orders are adaptive."""
FAILED = Verdict(None, flags=("call_failed",))

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """One call: what it shows, in which order, and how its answer is read."""

    shown: tuple[Response, ...]
    order: int
    sample: int
    template: Template
    call: Call
    criterion: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(response.id for response in self.shown)

    @property
    def more(self) -> tuple[int, ...]:
        """What tells its judgment from that of another sample."""
        return (self.sample,) if self.sample else ()


Asking = Callable[[Response, Response, int, int], Question]
"""The question about two responses in an order (0 or 1), for one sample."""


def pairwise(
    judge: LLMJudge, response_set: ResponseSet, texts: Texts, look: Look, only: Collection[Couple] | None = None
) -> Work:
    """Every two responses that differ (of ``only``, where couples are named), in the orders asked for."""
    settings, template = judge.settings, judge.template
    different = [each for each in combinations(response_set.responses, 2) if each[0].content != each[1].content]
    couples = [each for each in different if only is None or frozenset((each[0].id, each[1].id)) in only]

    def asked(first: Response, second: Response, order: int, sample: int) -> Question:
        shown = (first, second) if order == 0 else (second, first)
        values = {**texts, "response_a": response_text(shown[0]), "response_b": response_text(shown[1])}
        drawn = template.drawn_for(list(values.values()), sample)
        return Question(shown, order, sample, drawn, judge.call(drawn, values, sample))

    def drawn_order(first: Response, second: Response) -> int:
        text = "\0".join((str(settings.seed), response_set.id, first.id, second.id))
        return xxhash.xxh3_64_intdigest(text.encode()) & 1

    questions: list[list[Question]] = []
    if settings.orders == "adaptive":
        questions = yield from _adaptive(judge, couples, asked, drawn_order, look)
    else:
        for first, second in couples:
            orders = (0, 1) if settings.orders == "both" else (drawn_order(first, second),)
            questions.append([asked(first, second, order, n) for order in orders for n in range(settings.samples)])
        yield [question.call for own in questions for question in own]
    return _pairwise_judgments(judge, response_set, questions, look, settled=len(different) - len(couples))


def _adaptive(
    judge: LLMJudge,
    couples: Sequence[tuple[Response, Response]],
    asked: Asking,
    drawn_order: Callable[[Response, Response], int],
    look: Look,
) -> Generator[Sequence[Call], None, list[list[Question]]]:
    """One order first; the other where that verdict is no wide one; more samples where the two do not agree."""
    questions = [[asked(first, second, drawn_order(first, second), 0)] for first, second in couples]
    yield [question.call for (question,) in questions]
    for own, (first, second) in zip(questions, couples, strict=True):
        if not _wide(_verdict(own[0], look)):
            own.append(asked(first, second, 1 - own[0].order, 0))
    yield [own[1].call for own in questions if len(own) > 1]
    for own, (first, second) in zip(questions, couples, strict=True):
        if len(own) > 1 and not _agree(own, look):
            own += [asked(first, second, order, n) for order in (0, 1) for n in range(1, judge.settings.samples)]
        own.sort(key=lambda question: (question.order, question.sample))
    yield [question.call for own in questions for question in own if question.sample]
    return questions


def _pairwise_judgments(
    judge: LLMJudge, response_set: ResponseSet, questions: Sequence[Sequence[Question]], look: Look, *, settled: int
) -> Iterator[Judgment]:
    found = judge.suspicions(response_set.responses)
    most = (1 if judge.settings.orders == "one" else 2) * judge.settings.samples
    judge.spared += settled * most
    for own in questions:
        judge.spared += most - len(own)
        for question in own:
            record = look(question.call)
            assert record is not None
            verdict = _verdict(question, look)
            yield judge.judgment(
                response_set,
                question.ids,
                [record],
                found,
                more=question.more,
                sample=question.sample,
                flags=verdict.flags,
                ranking=_ranking(question.ids, verdict),
                probability=verdict.probability,
                strength=verdict.strength,
                order=question.order,
            )


def _verdict(question: Question, look: Look) -> Verdict:
    """The verdict of a question; that of a call which is not made yet is unreadable."""
    record = look(question.call)
    if record is None:
        return Verdict(None)
    choice = choice_of(record)
    return FAILED if choice is None else read_verdict(choice, question.template)


def _wide(verdict: Verdict) -> bool:
    """Whether the other order need not be asked; a template without probabilities or levels never says so."""
    if verdict.flags:
        return verdict == FAILED  # the comparison is lost already
    if verdict.probability is not None:
        return abs(2 * verdict.probability - 1) >= WIDE
    return verdict.strength is not None and verdict.strength >= 2


def _agree(questions: Sequence[Question], look: Look) -> bool:
    """Whether both orders name the same winner, or a call failed and more samples cannot help."""
    verdicts = [_verdict(question, look) for question in questions]
    if FAILED in verdicts:
        return True
    rankings = {_ranking(question.ids, verdict) for question, verdict in zip(questions, verdicts, strict=True)}
    return len(rankings) == 1 and len(rankings.pop() or ()) == 2


def _ranking(shown: tuple[str, ...], verdict: Verdict) -> tuple[tuple[str, ...], ...] | None:
    """The verdict in terms of response ids: here the shown order is undone."""
    first, second = shown
    if verdict.side is None:
        return None
    return {"a": ((first,), (second,)), "b": ((second,), (first,)), "tie": ((first, second),)}[verdict.side]


def pointwise(
    judge: LLMJudge, response_set: ResponseSet, texts: Texts, look: Look, only: Collection[Couple] | None = None
) -> Work:
    """A score for every response and criterion; the mean over criteria and samples ranks the responses."""
    template = judge.template
    criteria = template.criteria if template.per_criterion else {"": ""}
    questions: list[Question] = []
    for response in concerned(response_set, only):
        for criterion, meaning in criteria.items():
            told = listed(criterion, meaning).removeprefix("- ")
            values = {**texts, "response": response_text(response), "criterion": told}
            for sample in range(judge.settings.samples):
                drawn = template.drawn_for(list(values.values()), sample)
                call = judge.call(drawn, values, sample)
                questions.append(Question((response,), 0, sample, drawn, call, criterion))
    yield [question.call for question in questions]
    return _pointwise_judgments(judge, response_set, questions, look)


def _pointwise_judgments(
    judge: LLMJudge, response_set: ResponseSet, questions: Sequence[Question], look: Look
) -> Iterator[Judgment]:
    found = judge.suspicions(response_set.responses)
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    lost: dict[str, set[str]] = defaultdict(set)
    records: dict[str, list[Record]] = defaultdict(list)
    for question in questions:
        (id,) = question.ids
        record = look(question.call)
        assert record is not None
        records[id].append(record)
        choice = choice_of(record)
        reading = Reading(flags=FAILED.flags) if choice is None else read_answer(choice, question.template)
        if reading.score is None:
            lost[id] |= set(reading.flags)
        else:
            scores[id][question.criterion].append(reading.score)
    # A mean over fewer criteria or samples than others have is not comparable with theirs.
    ratings = {
        id: {criterion: math.fsum(own) / len(own) for criterion, own in by_criterion.items()}
        for id, by_criterion in scores.items()
        if id not in lost
    }
    means = {id: math.fsum(own.values()) / len(own) for id, own in ratings.items()}
    named = [criterion for criterion in judge.template.criteria if judge.template.per_criterion]
    if len(means) > 1:
        tiers: dict[float, list[str]] = defaultdict(list)
        for id, mean in means.items():
            tiers[mean].append(id)
        yield judge.judgment(
            response_set,
            list(means),
            [record for id in means for record in records[id]],
            found,
            ranking=tuple(tuple(tiers[mean]) for mean in sorted(tiers, reverse=True)),
            scores=means,
            ratings=ratings if named else {},
            criterion=named[0] if len(named) == 1 else None,
            order=0,
        )
    for id, flags in lost.items():
        shown = [id, *(each.id for each in response_set.responses if each.id != id)]
        yield judge.judgment(
            response_set, shown, records[id], found, more=("lost",), flags=_sorted(flags), ranking=None, order=0
        )


def listwise(
    judge: LLMJudge, response_set: ResponseSet, texts: Texts, look: Look, only: Collection[Couple] | None = None
) -> Work:
    """All responses in one call, in the orders asked for: as they stand, and reversed."""
    settings, template = judge.settings, judge.template
    different: list[Response] = []
    for response in concerned(response_set, only):
        if all(response.content != known.content for known in different):
            different.append(response)
    if len(different) < 2:
        return iter(())
    drawn_order = xxhash.xxh3_64_intdigest(f"{settings.seed}\0{response_set.id}".encode()) & 1
    questions: list[Question] = []
    for order in (drawn_order,) if settings.orders == "one" else (0, 1):
        shown = tuple(different[::-1] if order else different)
        own = [response_text(response) for response in shown]
        for sample in range(settings.samples):
            names = {str(place): _letter(place) for place in range(len(shown))}
            drawn = template.drawn_for([*texts.values(), *own], sample, names)
            block = "\n\n".join(drawn.item(drawn.labels[str(place)], text) for place, text in enumerate(own))
            values = {**texts, "responses": block, "labels": ", ".join(drawn.labels.values())}
            questions.append(Question(shown, order, sample, drawn, judge.call(drawn, values, sample)))
    yield [question.call for question in questions]
    return _listwise_judgments(judge, response_set, questions, look)


def _listwise_judgments(
    judge: LLMJudge, response_set: ResponseSet, questions: Sequence[Question], look: Look
) -> Iterator[Judgment]:
    found = judge.suspicions(response_set.responses)
    for question in questions:
        record = look(question.call)
        assert record is not None
        choice = choice_of(record)
        reading = Reading(flags=FAILED.flags) if choice is None else read_answer(choice, question.template)
        ids = question.ids
        yield judge.judgment(
            response_set,
            ids,
            [record],
            found,
            more=question.more,
            sample=question.sample,
            flags=reading.flags,
            ranking=None if reading.tiers is None else tuple(tuple(ids[n] for n in tier) for tier in reading.tiers),
            order=question.order,
        )


def concerned(response_set: ResponseSet, only: Collection[Couple] | None) -> list[Response]:
    """The responses that stand in one of the couples ``only``; all of them for ``None``."""
    open_ids = None if only is None else {id for couple in only for id in couple}
    return [response for response in response_set.responses if open_ids is None or response.id in open_ids]


def _letter(place: int) -> str:
    """A, B, …, Z, A2, B2, …"""
    turn, letter = divmod(place, len(LETTERS))
    return LETTERS[letter] + (str(turn + 1) if turn else "")


def _sorted(flags: set[str]) -> tuple[str, ...]:
    return tuple(sorted(flags, key=lambda flag: (flag not in ("call_failed", "unreadable"), flag)))


def most_calls(judge: LLMJudge, response_set: ResponseSet) -> int:
    """The calls that judging a whole response set takes where no order is adaptive."""
    responses, samples = response_set.responses, judge.settings.samples
    if judge.template.mode == "pointwise":
        return len(responses) * samples * (len(judge.template.criteria) if judge.template.per_criterion else 1)
    orders = 1 if judge.settings.orders == "one" else 2
    couples = sum(one.content != other.content for one, other in combinations(responses, 2))
    return orders * samples * (couples if judge.template.mode == "pairwise" else 1)


MODES = {"pairwise": pairwise, "pointwise": pointwise, "listwise": listwise}
