"""Judges held against people before any pair is made: how often their pairs would be right, and what to use.

Every choice of judge and samples is tried on the couples that people decided, by the very pairing that will be used.
The recommendation is the cheapest choice that the couples cannot tell from the best one. The sets that people judged
are held in memory.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from prefdata.pairing.agreement import Agreement
from prefdata.pairing.pairs import PairingSettings, pairs_of
from prefdata.pairing.votes import EQUAL, comparisons, judge_name, views_of_couples
from prefdata.stats import Estimate, Rate, bootstrap, krippendorff_alpha, rate
from prefdata.types import Judgment, ResponseSet

FEW = 10
"""Pairs below a margin from which on it is worth a recommendation."""
UNDECIDED = 0.5
"""What a couple counts on which a choice makes no pair: as much as a coin."""
FEW_COUPLES = 30
"""Couples below which a recommendation is said to rest on little."""


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of judges and samples, on the couples that people decided."""

    judges: tuple[str, ...]
    samples: int
    couples: int
    decided: Rate
    """Couples that it makes a pair of."""
    right: Rate
    """Of these pairs, the ones that people agree with."""
    score: Estimate
    """Mean over all couples: 1 where right, 0 where wrong, 1/2 without a pair. Bootstrap interval."""
    tokens: float
    """For one couple, in and out."""
    dollars: float | None
    """For 1,000 couples, where prices are known."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to judge the rest with."""

    judges: tuple[str, ...]
    samples: int
    min_margin: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the couples that people judged say of the judges."""

    agreement: Agreement
    """The report of ``prefdata agree`` with people as gold."""
    alphas: Mapping[str, Estimate]
    """Krippendorff's alpha (ordinal: first, tie, second) of each judge and people, with a bootstrap interval."""
    weights: Mapping[str, float]
    """Of the judges' votes, by ``kind:name``; empty for one judge."""
    options: tuple[Option, ...]
    recommendation: Recommendation

    def document(self) -> dict[str, Any]:
        """The calibration as JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Outcome:
    """One choice on one couple."""

    right: bool | None
    """``None``: it makes no pair."""
    margin: float
    tokens: int
    dollars: float


class Calibrator:
    """Takes the sets that people judged one by one, and says what follows from them."""

    def __init__(self, settings: PairingSettings, *, samples: int, seed: int) -> None:
        self._settings, self._samples, self._seed = settings, samples, seed
        self._sets: list[tuple[ResponseSet, list[Judgment], dict[tuple[str, str], str]]] = []
        self._right: dict[str, int] = {}
        self._decided: dict[str, int] = {}
        self._units: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)

    def add(self, response_set: ResponseSet, judgments: Sequence[Judgment], people: Sequence[Judgment]) -> None:
        """One response set; people's majority on a couple is what is right, and couples without one do not count."""
        aliases = {response.id: response.id for response in response_set.responses}
        said = {couple: one for couple, one in comparisons(people, aliases).items() if sum(one.votes)}
        gold = {couple: one.winner for couple, one in said.items() if one.winner is not None}
        self._sets.append((response_set, list(judgments), gold))
        for couple, seen in views_of_couples(judgments, aliases).items():
            for view in seen if couple in said else ():
                name = judge_name(view.judge)
                if view.vote.counts:
                    unit = [0, 0, 0]
                    for winner in (view.vote.winner, said[couple].winner):
                        unit[1 if winner is None else 2 * couple.index(winner)] += 1
                    self._units[name][tuple(unit)] += 1
                if couple not in gold:
                    continue
                self._decided[name] = self._decided.get(name, 0) + (view.vote.winner is not None)
                self._right[name] = self._right.get(name, 0) + (view.vote.winner == gold[couple])

    @property
    def couples(self) -> int:
        """Couples on which people name a winner."""
        return sum(len(gold) for _, _, gold in self._sets)

    def weights(self) -> Mapping[str, float]:
        """The jury's weights: log odds of being right, the best of independent voters (Nitzan and Paroush 1982).

        With p = (right + 1) / (decided + 2), at least 0 and scaled to a mean of 1; none for one judge, or where no
        judge is right more often than not.
        """
        if len(self._decided) < 2:
            return EQUAL
        odds = {
            name: max(0.0, math.log((self._right[name] + 1) / (self._decided[name] - self._right[name] + 1)))
            for name in sorted(self._decided)
        }
        mean = math.fsum(odds.values()) / len(odds)
        return {name: own / mean for name, own in odds.items()} if mean else EQUAL

    def calibration(self, agreement: Agreement) -> Calibration:
        """What was added, in figures and in a recommendation."""
        weights, names = self.weights(), sorted(self._decided)
        juries = [(name,) for name in names] + ([tuple(names)] if len(names) > 1 else [])
        outcomes = {
            (jury, samples): self._outcomes(jury, samples, weights if len(jury) > 1 else EQUAL)
            for jury in juries
            for samples in sorted({1, self._samples})
        }
        options = {choice: self._option(*choice, own) for choice, own in outcomes.items()}
        alphas = {name: krippendorff_alpha(self._units[name], "ordinal", seed=self._seed) for name in names}
        lengths = [each.accuracy.mean.value for each in agreement.baselines if each.name == "longest wins"]
        recommended = self._recommended(options, outcomes, next(iter(lengths), None))
        return Calibration(agreement, alphas, dict(weights), tuple(options.values()), recommended)

    def _outcomes(self, jury: Collection[str], samples: int, weights: Mapping[str, float]) -> list[_Outcome]:
        settings = PairingSettings(strategy="all", weights=weights, ranking=self._settings.ranking)
        found = []
        for response_set, judgments, gold in self._sets:
            own = [
                judgment
                for judgment in judgments
                if judge_name(judgment.judge) in jury and judgment.metadata.get("sample", 0) < samples
            ]
            made = {}
            for pair in pairs_of(response_set, own, settings)[0]:
                ids = (pair.metadata["chosen_response_id"], pair.metadata["rejected_response_id"])
                made[frozenset(ids)] = (ids[0], pair.margin or 0.0)
            contents = {response.id: response.content for response in response_set.responses}
            share = max(1, sum(contents[a] != contents[b] for a, b in combinations(contents, 2)))
            tokens = sum(
                int(each.usage.get(name) or 0) for each in own for name in ("prompt_tokens", "completion_tokens")
            )
            dollars = sum(float(each.metadata.get("cost", 0.0)) for each in own)
            for couple, winner in gold.items():
                chosen, margin = made.get(frozenset(couple), (None, 0.0))
                right = None if chosen is None else chosen == winner
                found.append(_Outcome(right, margin, round(tokens / share), dollars / share))
        return found

    def _option(self, jury: tuple[str, ...], samples: int, outcomes: Sequence[_Outcome]) -> Option:
        right = sum(each.right is True for each in outcomes)
        decided = sum(each.right is not None for each in outcomes)
        counts = [decided - right, len(outcomes) - decided, right]
        dollars = math.fsum(each.dollars for each in outcomes) / len(outcomes) * 1000
        return Option(
            judges=jury,
            samples=samples,
            couples=len(outcomes),
            decided=rate(decided, len(outcomes)),
            right=rate(right, decided),
            score=bootstrap(
                counts, lambda drawn: drawn @ np.array([0.0, UNDECIDED, 1.0]) / drawn.sum(-1), seed=self._seed
            ),
            tokens=sum(each.tokens for each in outcomes) / len(outcomes),
            dollars=dollars or None,
        )

    def _recommended(
        self,
        options: Mapping[tuple[tuple[str, ...], int], Option],
        outcomes: Mapping[tuple[tuple[str, ...], int], Sequence[_Outcome]],
        longest: float | None,
    ) -> Recommendation:
        def value(choice: tuple[tuple[str, ...], int]) -> float:
            return options[choice].score.value or 0.0

        cheap = sorted(options, key=lambda choice: (options[choice].tokens, len(choice[0]), choice[1], -value(choice)))
        best = max(cheap, key=value)
        taken, gain = best, Estimate(0.0)
        for choice in cheap:
            gain = self._gain(outcomes[best], outcomes[choice])
            if choice == best or gain.low is None or gain.low <= 0:
                taken = choice
                break
        own = options[taken]
        what = f"is right on {_percent(own.right)} of the pairs that it makes, and makes one of {_percent(own.decided)}"
        reasons = [f"{_named(own)} {what} of the couples"]
        if taken != best:
            more = (
                f"{options[best].tokens / own.tokens:.1f} times the tokens" if own.tokens else "tokens that it spares"
            )
            points = "{:.1f} points more ({:.1f} to {:.1f})".format(
                *(100 * (each or 0) for each in (gain.value, gain.low, gain.high))
            )
            tell = f"which {own.couples} couples do not tell from nothing, for {more}"
            reasons.append(f"{_named(options[best])} scores {points}, {tell}")
        elif len(options) > 1:
            cheaper = "every cheaper choice scores less, by more than chance explains"
            reasons.append(cheaper if cheap[0] != best else "no other choice scores more, and none takes less")
        if longest is not None and (own.score.value or 0.0) <= longest:
            reasons.append(f"but the longer response alone is right on {100 * longest:.1f}%: this judge tells no more")
        margin = self._margin(outcomes[taken], reasons)
        if own.couples < FEW_COUPLES:
            reasons.append(f"{own.couples} couples are few: more judgments by people would make this surer")
        return Recommendation(taken[0], taken[1], margin, tuple(reasons))

    def _gain(self, best: Sequence[_Outcome], other: Sequence[_Outcome]) -> Estimate:
        """Mean difference in score on the same couples, with a bootstrap interval."""
        steps = (-1.0, -0.5, 0.0, 0.5, 1.0)
        differences = [_score(one) - _score(two) for one, two in zip(best, other, strict=True)]
        counts = [differences.count(step) for step in steps]
        return bootstrap(counts, lambda drawn: drawn @ np.array(steps) / drawn.sum(-1), seed=self._seed)

    @staticmethod
    def _margin(outcomes: Iterable[_Outcome], reasons: list[str]) -> float:
        """The least margin that leaves out pairs which are wrong more often than right; 0 without ``FEW`` such."""
        pairs = sorted((each.margin, each.right) for each in outcomes if each.right is not None)
        best, least, below = 0, 0.0, 0
        balance = 0
        for place, (margin, right) in enumerate(pairs):
            balance += 1 if right else -1
            following = pairs[place + 1][0] if place + 1 < len(pairs) else None
            if following is not None and following > margin and place + 1 >= FEW and balance < best:
                best, least, below = balance, following, place + 1
        if below:
            share = rate(sum(right is True for _, right in pairs[:below]), below)
            reasons.append(f"pairs of a margin below {least:g} are right only in {_percent(share)}: they do harm")
        elif balance < 0:
            reasons.append("its pairs are wrong more often than right, and no least margin mends that")
        else:
            reasons.append(f"no {FEW} pairs below a margin are wrong more often than right: none need be left out")
        return least


def _score(outcome: _Outcome) -> float:
    return UNDECIDED if outcome.right is None else float(outcome.right)


def _named(option: Option) -> str:
    who = option.judges[0] if len(option.judges) == 1 else f"the jury of {len(option.judges)}"
    return who + (f" with {option.samples} samples" if option.samples > 1 else "")


def _percent(found: Rate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "none"
    return f"{100 * found.value:.1f}% ({100 * found.low:.1f}-{100 * found.high:.1f})"
