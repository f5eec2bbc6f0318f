"""The counts that agreement reports are made from; their size does not grow with the number of response sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from prefdata.pairing.agreement import Accuracy, JudgeReport, OwnFamily, RatingReport
from prefdata.pairing.votes import Couple, View, Vote
from prefdata.stats import Estimate, Moments, clustered_rate, krippendorff_alpha, mean_of, rate
from prefdata.types import Judge, Judgment

Swapped = bool
"""Whether the responses were shown in the other order than that of their set."""

MOST_LEVELS = 100
"""Different ratings that are told apart on one criterion."""


@dataclass(slots=True)
class AccuracyTally:
    """Counts behind an Accuracy."""

    couples: int = 0
    judged: Counter[Swapped] = field(default_factory=Counter)
    right: Counter[Swapped] = field(default_factory=Counter)
    shares: Counter[float] = field(default_factory=Counter)
    both: int = 0
    both_right: int = 0
    readable: int = 0
    agree: int = 0
    decided: int = 0
    right_if_decided: int = 0

    def add(self, orders: Mapping[Swapped, Vote], together: str | None, gold: str) -> None:
        """One couple: the vote in each order shown, the winner of all orders together, and the winner by gold."""
        right = {swapped: vote.winner == gold for swapped, vote in orders.items()}
        self.couples += 1
        self.judged.update(orders.keys())
        self.right.update(swapped for swapped, is_right in right.items() if is_right)
        self.shares[sum(right.values()) / len(right)] += 1
        if len(orders) == 2:
            self.both += 1
            self.both_right += all(right.values())
            if all(vote.counts for vote in orders.values()):
                self.readable += 1
                self.agree += len({vote.winner for vote in orders.values()}) == 1
        self.decided += together is not None
        self.right_if_decided += together == gold

    def accuracy(self, seed: int) -> Accuracy:
        """The rates and their intervals."""
        shares = sorted(self.shares)
        return Accuracy(
            couples=self.couples,
            order_0=rate(self.right[False], self.judged[False]),
            order_1=rate(self.right[True], self.judged[True]),
            mean=mean_of(shares, [self.shares[share] for share in shares], seed=seed),
            both_right=rate(self.both_right, self.both),
            orders_agree=rate(self.agree, self.readable),
            decided=rate(self.decided, self.couples),
            right_if_decided=rate(self.right_if_decided, self.decided),
        )


@dataclass(slots=True)
class OwnFamilyTally:
    """Counts behind an OwnFamily."""

    couples: int = 0
    wins: int = 0
    decided: int = 0
    shares: dict[str, Counter[tuple[float, float]]] = field(default_factory=lambda: defaultdict(Counter))
    """By what the judge is held against: its share for the own response, and theirs."""

    def add(self, own: str, vote: Vote, gold: float | None, others: float | None) -> None:
        """One couple with the response ``own`` in it; ``gold`` and ``others`` are shares for it in [0, 1]."""
        share = 0.5 if vote.winner is None else float(vote.winner == own)
        self.couples += 1
        self.decided += vote.winner is not None
        self.wins += vote.winner == own
        for against, theirs in (("gold", gold), ("others", others)):
            if theirs is not None:
                self.shares[against][share, theirs] += 1

    def report(self, family: str, *, gold: bool, seed: int) -> OwnFamily:
        """The rates and their intervals."""
        against: Literal["gold", "others"] = "gold" if gold else "others"
        seen = sorted(self.shares[against].items())
        counts = [count for _, count in seen]
        total = sum(counts)
        own, theirs = (sum(shares[side] * count for shares, count in seen) for side in (0, 1))
        return OwnFamily(
            family=family,
            couples=self.couples,
            wins=rate(self.wins, self.decided),
            against=against,
            compared=total,
            own_share=own / total if total else None,
            their_share=theirs / total if total else None,
            excess=mean_of([one - other for (one, other), _ in seen], counts, seed=seed) if total else Estimate(None),
        )


@dataclass(slots=True)
class RatingTally:
    """Counts behind RatingReports; memory grows with the ways in which responses were rated, not with responses."""

    units: dict[str, Counter[tuple[float, ...]]] = field(default_factory=lambda: defaultdict(Counter))
    """By criterion: how often the judges' ratings of one response, sorted, were these."""
    sums: dict[str, dict[Judge, Moments]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Moments)))

    def add(self, judgments: Sequence[Judgment]) -> None:
        """The judgments of one response set; a judge that rated a response several times counts with its mean."""
        found: dict[tuple[str, str], dict[Judge, list[float]]] = defaultdict(lambda: defaultdict(list))
        for judgment in judgments:
            for id, by_criterion in judgment.ratings.items():
                for criterion, rating in by_criterion.items():
                    found[criterion, id][judgment.judge].append(rating)
        for (criterion, _), by_judge in found.items():
            means = {judge: sum(own) / len(own) for judge, own in by_judge.items()}
            self.units[criterion][tuple(sorted(means.values()))] += 1
            for judge, mean in means.items():
                self.sums[criterion][judge].add(mean)

    def report(self, names: Mapping[Judge | str, str], seed: int) -> tuple[RatingReport, ...]:
        """One report a criterion, by name."""
        made = []
        for criterion, units in sorted(self.units.items()):
            levels = _levels(sorted({rating for unit in units for rating in unit}))
            counted: Counter[tuple[int, ...]] = Counter()
            for unit, count in sorted(units.items()):
                places = Counter(levels[rating] for rating in unit)
                counted[tuple(places[level] for level in range(max(levels.values()) + 1))] += count
            means = {names[judge]: own.estimate(-inf, inf).value or 0.0 for judge, own in self.sums[criterion].items()}
            several = sum(count for unit, count in units.items() if len(unit) > 1)
            alpha = krippendorff_alpha(counted, "ordinal", seed=seed)
            made.append(RatingReport(criterion, several, alpha, dict(sorted(means.items()))))
        return tuple(made)


def _levels(ratings: Sequence[float]) -> dict[float, int]:
    """The place of each rating among those given; more than MOST_LEVELS are told apart only so finely."""
    if len(ratings) <= MOST_LEVELS:
        return {rating: place for place, rating in enumerate(ratings)}
    low, width = ratings[0], (ratings[-1] - ratings[0]) / MOST_LEVELS
    return {rating: min(int((rating - low) / width), MOST_LEVELS - 1) for rating in ratings}


@dataclass(slots=True)
class JudgeTally:
    """Counts behind a JudgeReport."""

    judgments: int = 0
    couples: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    first_shown: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Couples by their verdicts for the response shown first, and with a winner at all."""
    longer: Counter[tuple[int, int]] = field(default_factory=Counter)
    both: int = 0
    agree: int = 0
    accuracy: AccuracyTally = field(default_factory=AccuracyTally)
    own_family: OwnFamilyTally = field(default_factory=OwnFamilyTally)

    def add_view(self, couple: Couple, view: View, longer: str | None) -> None:
        """One couple as this judge sees it; ``longer`` is the longer response, if there is one."""
        self.couples += 1
        for vote in view.orders.values():
            self.verdicts["winner" if vote.winner is not None else vote.reason or "tie"] += 1
        won = [(swapped, vote.winner) for swapped, vote in view.orders.items() if vote.winner is not None]
        self.first_shown[sum(winner == couple[swapped] for swapped, winner in won), len(won)] += 1
        if longer is not None:
            self.longer[sum(winner == longer for _, winner in won), len(won)] += 1
        if len(view.orders) == 2 and all(vote.counts for vote in view.orders.values()):
            self.both += 1
            self.agree += len({vote.winner for vote in view.orders.values()}) == 1

    def report(self, judge: str, family: str | None, *, gold: bool, lengths: bool, seed: int) -> JudgeReport:
        """The rates and their intervals."""
        seen = self.verdicts
        readable = seen["winner"] + seen["tie"] + seen["both-bad"]
        return JudgeReport(
            judge=judge,
            judgments=self.judgments,
            couples=self.couples,
            unreadable=rate(seen["unreadable-verdict"], seen.total()),
            failed=rate(seen["call-failed"], seen.total()),
            abstained=rate(seen["abstained"], seen.total()),
            both_bad=rate(seen["both-bad"], readable),
            ties=rate(seen["tie"], readable),
            first_shown=clustered_rate(self.first_shown, seed=seed),
            longer=clustered_rate(self.longer, seed=seed) if lengths else None,
            orders_agree=rate(self.agree, self.both),
            accuracy=self.accuracy.accuracy(seed) if gold or self.accuracy.couples else None,
            own_family=self.own_family.report(family, gold=gold, seed=seed)
            if family is not None and self.own_family.couples
            else None,
        )
