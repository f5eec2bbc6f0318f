"""From acts of judging to comparisons: each judge's orders become one vote on two responses, the votes one outcome.

A judge's vote needs every order that was asked for. Where one of them gave no readable verdict there is no vote: a
verdict seen in one order must not pass for one seen in both (position bias, Zheng et al. 2023, arXiv:2306.05685).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Literal

from prefdata.types import Judge, Judgment

Couple = tuple[str, str]
"""Two response ids, sorted: the unordered pair that a comparison is about."""

Verdict = Literal["first", "second", "tie", "both-bad", "abstained", "unreadable-verdict", "call-failed"]
"""What one act of judging says of two responses; the last three are no verdict at all."""

TELLING = ("call-failed", "unreadable-verdict", "inconsistent-orders", "both-bad", "abstained", "tie", "no-judgment")
"""Reasons without a winner, the one that a person would want to know of first at the front."""


EQUAL: Mapping[str, float] = MappingProxyType({})
"""Every judge's vote counts 1."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all judges together say of two responses."""

    ids: Couple
    winner: str | None
    reason: str | None
    """Why there is no winner; one of ``TELLING``."""
    detail: str | None
    votes: tuple[float, float, float]
    """Judges for ``ids[0]``, for ``ids[1]``, and for neither, each by its weight (1 unless weights are given)."""
    score_difference: float | None
    """Score of ``ids[0]`` less that of ``ids[1]``, where all judges that count give scores on one scale."""
    judgment_ids: tuple[str, ...]
    probability: float = 0.5
    """P(``ids[0]`` is better): the weighted mean of what each judge says; 0.5 where none says anything."""

    def share(self, id: str) -> float:
        """The share of votes for ``id``, a tie counting half; 0.5 where nobody voted."""
        first, second, ties = self.votes
        total = first + second + ties
        return ((first if id == self.ids[0] else second) + ties / 2) / total if total else 0.5


@dataclass(frozen=True, slots=True)
class Vote:
    """One judge on two responses: a winner, or a tie and its reason; ``counts`` is False where there is no verdict."""

    winner: str | None
    reason: str | None
    counts: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """One judgment's bearing on a couple, by the ids that the judgment itself uses (aliases of the couple's)."""

    judgment: Judgment
    first: str
    second: str

    @property
    def swapped(self) -> bool:
        """Whether the second of the couple was shown before the first."""
        shown = self.judgment.shown
        return shown.index(self.second) < shown.index(self.first)


@dataclass(frozen=True, slots=True)
class View:
    """One judge on one couple: its vote in each order shown (by ``Sighting.swapped``), and both together."""

    judge: Judge
    orders: Mapping[bool, Vote]
    vote: Vote


def verdict(judgment: Judgment, first: str, second: str) -> Verdict:
    """What ``judgment`` says of two of the responses that it was shown."""
    flags = {flag.replace("-", "_") for flag in judgment.flags}
    if "call_failed" in flags:
        return "call-failed"
    if "abstain" in flags or "abstained" in flags:
        return "abstained"
    if "both_bad" in flags:
        return "both-bad"
    if judgment.ranking is None or "unreadable" in flags:
        return "unreadable-verdict"
    place = {id: tier for tier, ids in enumerate(judgment.ranking) for id in ids}
    if place[first] == place[second]:
        return "tie"
    return "first" if place[first] < place[second] else "second"


def distinct(judgments: Sequence[Judgment]) -> list[Judgment]:
    """``judgments`` without exact repetitions (the same file given twice counts once).

    A person is one judge, whatever the rubric: a vote by each of two would count that person twice.
    """
    by_id: dict[str, list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        if judgment not in by_id[judgment.id]:
            by_id[judgment.id].append(judgment)
    return [_by_person(judgment) for same in by_id.values() for judgment in same]


def _by_person(judgment: Judgment) -> Judgment:
    judge = judgment.judge
    if judge.kind != "human" or judge == (person := Judge(judge.kind, judge.name)):
        return judgment
    return replace(judgment, judge=person)


def sightings(judgments: Sequence[Judgment], aliases: Mapping[str, str]) -> dict[Couple, list[Sighting]]:
    """What bears on every couple that some judgment saw, sorted; rankings over N are expanded to their couples.

    ``aliases`` maps each response id to the id that stands for its content, so that verdicts on copies of one response
    add up; ids that it lacks are passed over.
    """
    found: dict[Couple, list[Sighting]] = defaultdict(list)
    for judgment in distinct(judgments):
        for one, other in combinations([id for id in judgment.shown if id in aliases], 2):
            a, b = aliases[one], aliases[other]
            if a < b:
                found[a, b].append(Sighting(judgment, one, other))
            elif b < a:
                found[b, a].append(Sighting(judgment, other, one))
    return dict(sorted(found.items()))


def views(couple: Couple, seen: Sequence[Sighting], *, call_failed: bool = False) -> list[View]:
    """What each judge says of a couple.

    ``call_failed`` says that some call of the response set gave no judgment: a language model's comparison that was
    then seen in one order only is no vote.
    """
    verdicts: dict[Judge, dict[bool, list[Verdict]]] = defaultdict(lambda: defaultdict(list))
    for sighting in seen:
        said = verdict(sighting.judgment, sighting.first, sighting.second)
        verdicts[sighting.judgment.judge][sighting.swapped].append(said)
    made = []
    for judge, by_order in verdicts.items():
        orders = {swapped: _order_vote(couple, said) for swapped, said in by_order.items()}
        incomplete = call_failed and judge.kind == "llm" and len(orders) == 1
        made.append(View(judge, orders, _together(list(orders.values()), incomplete)))
    return made


def views_of_couples(judgments: Sequence[Judgment], aliases: Mapping[str, str]) -> dict[Couple, list[View]]:
    """What each judge says of every couple that some judgment saw."""
    return {couple: views(couple, seen) for couple, seen in sightings(judgments, aliases).items()}


def comparisons(
    judgments: Sequence[Judgment],
    aliases: Mapping[str, str],
    *,
    call_failed: bool = False,
    weights: Mapping[str, float] = EQUAL,
) -> dict[Couple, Comparison]:
    """Every couple of responses that some judgment saw, with the outcome of all judges together."""
    return {
        couple: _compare(couple, seen, views(couple, seen, call_failed=call_failed), weights)
        for couple, seen in sightings(judgments, aliases).items()
    }


def judge_name(judge: Judge) -> str:
    """``kind:name``, by which weights name a judge."""
    return f"{judge.kind}:{judge.name}"


def weight_of(judge: Judge, weights: Mapping[str, float]) -> float:
    """The weight of a judge's vote; 1 where none is given."""
    return weights.get(judge_name(judge), 1)


def _compare(
    couple: Couple, seen: Sequence[Sighting], judges: Sequence[View], weights: Mapping[str, float]
) -> Comparison:
    """The majority of the judges' votes by weight, ties being votes."""
    counted = [
        (weight, view.vote) for view in judges if view.vote.counts and (weight := weight_of(view.judge, weights))
    ]
    by_winner: dict[str | None, list[float]] = defaultdict(list)
    for weight, vote in counted:
        by_winner[vote.winner].append(weight)
    # fsum makes the sums independent of the order of judgments.
    tally = {winner: math.fsum(by_winner[winner]) if weights else len(by_winner[winner]) for winner in (*couple, None)}
    total = math.fsum(tally.values())
    winner = next((id for id in couple if 2 * tally[id] > total), None)
    reason = detail = None
    if winner is None:
        reasons = {vote.reason for _, vote in counted} or {view.vote.reason for view in judges}
        if all(tally[id] for id in couple):
            reason, detail = "tie", f"the judges disagree ({tally[couple[0]]:g} to {tally[couple[1]]:g})"
        elif reasons <= {None}:
            reason, detail = "no-judgment", "every judge has weight 0"
        else:
            reason = next(name for name in TELLING if name in reasons)
            if any(tally[id] for id in couple):
                detail = "no majority of the judges"
    return Comparison(
        couple,
        winner,
        reason,
        detail,
        (tally[couple[0]], tally[couple[1]], tally[None]),
        _score_difference(seen, judges, weights),
        tuple(sorted({sighting.judgment.id for sighting in seen})),
        _probability(seen, weights),
    )


def _together(orders: Sequence[Vote], incomplete: bool) -> Vote:
    """All orders of one judge as one vote; they must agree."""
    lost = {order.reason for order in orders if not order.counts}
    if lost:
        return Vote(None, next(name for name in TELLING if name in lost), counts=False)
    if incomplete:
        return Vote(None, "call-failed", counts=False)
    if len({order.winner for order in orders}) > 1:
        return Vote(None, "inconsistent-orders", counts=True)
    return next((order for order in orders if order.reason != "both-bad"), orders[0])


def _order_vote(couple: Couple, verdicts: Sequence[Verdict]) -> Vote:
    """Repeated verdicts in one shown order as one: what more than half of the readable ones say, else a tie."""
    count = Counter(verdicts)
    readable = count["first"] + count["second"] + count["tie"] + count["both-bad"]
    if not readable:
        return Vote(None, next(name for name in TELLING if count[name]), counts=False)  # type: ignore[index]
    if 2 * count["first"] > readable:
        return Vote(couple[0], None, counts=True)
    if 2 * count["second"] > readable:
        return Vote(couple[1], None, counts=True)
    return Vote(None, "both-bad" if 2 * count["both-bad"] > readable else "tie", counts=True)


def _probability(seen: Sequence[Sighting], weights: Mapping[str, float]) -> float:
    """P(first of the couple is better): over judges, the mean of each judge's mean over its orders' means.

    A judgment says it by its probability; a reward model by the logistic function of the difference of its scores,
    which is how it was trained (Bradley and Terry 1952); any other by its verdict: 1, 0, or 1/2 for a tie.
    """
    said: dict[Judge, dict[bool, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sighting in seen:
        value = _chance(sighting)
        if value is not None:
            said[sighting.judgment.judge][sighting.swapped].append(value)
    total = above = 0.0
    for judge in sorted(
        said, key=lambda judge: (judge.kind, judge.name, judge.version or "", judge.template_sha256 or "")
    ):
        orders = [math.fsum(own) / len(own) for _, own in sorted(said[judge].items())]
        weight = weight_of(judge, weights)
        total += weight
        above += weight * math.fsum(orders) / len(orders)
    return above / total if total else 0.5


def _chance(sighting: Sighting) -> float | None:
    judgment, first, second = sighting.judgment, sighting.first, sighting.second
    what = verdict(judgment, first, second)
    if what not in ("first", "second", "tie", "both-bad"):
        return None
    if judgment.probability is not None and len(judgment.shown) == 2:
        return judgment.probability if judgment.shown[0] == first else 1 - judgment.probability
    if judgment.judge.kind == "reward" and first in judgment.scores and second in judgment.scores:
        return _logistic(judgment.scores[first] - judgment.scores[second])
    return {"first": 1.0, "second": 0.0}.get(what, 0.5)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _score_difference(seen: Sequence[Sighting], judges: Sequence[View], weights: Mapping[str, float]) -> float | None:
    """Mean difference in score, over judges by weight, of each judge's mean; fsum makes it independent of their order.

    None unless every judge whose vote counts gives scores, all on one scale: points of one rubric are, those of two
    rules or reward models are not.
    """
    voters = {view.judge for view in judges if view.vote.counts and weight_of(view.judge, weights)}
    differences: dict[Judge, list[float]] = defaultdict(list)
    for sighting in seen:
        scores = sighting.judgment.scores
        if sighting.judgment.judge in voters and sighting.first in scores and sighting.second in scores:
            differences[sighting.judgment.judge].append(scores[sighting.first] - scores[sighting.second])
    if not voters or differences.keys() != voters or len({_scale(judge) for judge in voters}) > 1:
        return None
    means = [weight_of(judge, weights) * math.fsum(own) / len(own) for judge, own in differences.items()]
    return math.fsum(means) / math.fsum(weight_of(judge, weights) for judge in voters)


def _scale(judge: Judge) -> Judge | tuple[str, str | None]:
    """What two judges must share for their scores to be comparable."""
    return (judge.kind, judge.template_sha256) if judge.kind in ("human", "llm") else judge
