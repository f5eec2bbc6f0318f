"""What agreement reports say, and the counts that they are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from prefdata.pairing.concordance import ModelReport, Together
from prefdata.pairing.votes import Couple, View, Vote
from prefdata.stats import Estimate, Rate, mean_of, rate

Swapped = bool
"""Whether the responses were shown in the other order than that of their set."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Verdicts against gold, over the couples on which gold has a winner; a tie or no verdict is not right."""

    couples: int
    order_0: Rate
    """Right where the responses were shown in the order of their set."""
    order_1: Rate
    """Right where they were swapped."""
    mean: Estimate
    """Mean over couples of the share of its orders that are right."""
    both_right: Rate
    orders_agree: Rate
    """The same outcome in both orders, ties included; couples with both orders readable."""
    decided: Rate
    """Couples on which all orders together name a winner: those that would become pairs."""
    right_if_decided: Rate


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """One judge or person."""

    judge: str
    judgments: int
    couples: int
    """Couples of responses judged; a ranking over N has N(N-1)/2."""
    unreadable: Rate
    """Verdicts that could not be read, of all."""
    failed: Rate
    abstained: Rate
    both_bad: Rate
    """Of the readable verdicts; so are ties, which do not include them."""
    ties: Rate
    first_shown: Rate
    """The response shown first wins, of the verdicts with a winner: 0.5 is without bias where both orders are asked."""
    longer: Rate | None
    """The longer response wins, of the verdicts with a winner on two of different length; None without responses."""
    orders_agree: Rate
    """The same outcome in both orders, of the couples with both orders readable."""
    accuracy: Accuracy | None
    """Against gold; None without gold."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What needs no judge, against the same gold."""

    name: str
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class Between:
    """Two judges on the couples that both judged: outcomes are first, second and tie."""

    judges: tuple[str, str]
    couples: int
    same: Rate
    kappa: Estimate
    """Cohen's kappa; its value is None where it is undefined."""


@dataclass(frozen=True, slots=True)
class Group:
    """The judgments of one source (of the prompts' metadata) or of one criterion."""

    by: Literal["source", "criterion"]
    name: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement, consistency and bias of judges and people."""

    judges: tuple[JudgeReport, ...]
    between: tuple[Between, ...]
    baselines: tuple[Baseline, ...]
    gold_couples: int
    """Couples on which gold has a winner."""
    gold_undecided: int
    judgments: int
    unused: Mapping[str, int]
    """Judgments that bear on nothing, by reason."""
    invalid_lines: int
    together: Together
    models: tuple[ModelReport, ...] = ()
    """The models that wrote the responses, the strongest first; none without responses that name them."""
    groups: tuple[Group, ...] = ()
    """The same for each source and each criterion, where there are several."""

    @property
    def ok(self) -> bool:
        """Whether every line could be read and every judgment belongs to a response that is there."""
        return not self.invalid_lines and not self.unused


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
class JudgeTally:
    """Counts behind a JudgeReport."""

    judgments: int = 0
    couples: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    first_shown: int = 0
    of_different_length: int = 0
    longer: int = 0
    both: int = 0
    agree: int = 0
    accuracy: AccuracyTally = field(default_factory=AccuracyTally)

    def add_view(self, couple: Couple, view: View, longer: str | None) -> None:
        """One couple as this judge sees it; ``longer`` is the longer response, if there is one."""
        self.couples += 1
        for swapped, vote in view.orders.items():
            self.verdicts["winner" if vote.winner is not None else vote.reason or "tie"] += 1
            if vote.winner is not None:
                self.first_shown += vote.winner == couple[swapped]
                if longer is not None:
                    self.of_different_length += 1
                    self.longer += vote.winner == longer
        if len(view.orders) == 2 and all(vote.counts for vote in view.orders.values()):
            self.both += 1
            self.agree += len({vote.winner for vote in view.orders.values()}) == 1

    def report(self, judge: str, *, gold: bool, lengths: bool, seed: int) -> JudgeReport:
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
            first_shown=rate(self.first_shown, seen["winner"]),
            longer=rate(self.longer, self.of_different_length) if lengths else None,
            orders_agree=rate(self.agree, self.both),
            accuracy=self.accuracy.accuracy(seed) if gold else None,
        )
