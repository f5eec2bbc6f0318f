"""Agreement of all judges together, and what their votes say of the models that wrote the responses."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from prefdata.pairing.votes import Couple, View
from prefdata.stats import Estimate, Moments, Rate, davidson, fleiss_kappa, kendall_w, krippendorff_alpha, rate
from prefdata.types import Judge, Judgment

ELO_BASE, ELO_SCALE = 1000.0, 400 / math.log(10)
"""Log strengths in the points of Elo's scale: 400 points are odds of ten to one; their mean is 1000."""
PRIOR_SD = 3.0
"""Of log strengths: a model that never lost gets a finite rating. Weak beside some ten votes."""
Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Together:
    """All judges at once; values are None where they are undefined, as on unanimous data."""

    units: int
    """Couples with a readable vote of at least two judges."""
    alpha_nominal: Estimate
    """Krippendorff's alpha of first, second and tie as names."""
    alpha_ordinal: Estimate
    """The same with a tie between first and second."""
    fleiss: Estimate
    """Fleiss' kappa of the same, over the couples with the commonest number of votes."""
    ranked_sets: int
    """Sets of three or more responses that at least two judges ranked whole."""
    kendall_w: Estimate
    """Mean of Kendall's W over these sets."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model against the others of the same sets."""

    model: str
    votes: int
    wins: Rate
    """Votes won, of all; ties are not won."""
    ties: Rate
    probability: Estimate
    """Mean probability of being the better one, as the judges gave it; a verdict without one counts 1, 1/2 or 0."""
    elo: Estimate
    """Bradley-Terry strength (Davidson's model, with ties) in Elo points."""


@dataclass(frozen=True, slots=True)
class Duel:
    """The votes between two models."""

    models: tuple[str, str]
    won: int
    """Votes for the first of them."""
    tied: int
    lost: int

    @property
    def share(self) -> float:
        """The first one's share, a tie counting half."""
        return (self.won + self.tied / 2) / (self.won + self.tied + self.lost)


@dataclass(slots=True)
class TogetherTally:
    """Counts behind a Together."""

    units: Counter[tuple[int, ...]] = field(default_factory=Counter)
    concordance: Moments = field(default_factory=Moments)

    def add_couple(self, couple: Couple, views: Sequence[View]) -> None:
        """The votes of all judges on one couple, in the order of the set."""
        votes = Counter(view.vote.winner for view in views if view.vote.counts)
        self.units[votes[couple[0]], votes[None], votes[couple[1]]] += 1

    def add_rankings(self, judgments: Sequence[Judgment]) -> None:
        """Whole rankings of one set; a judge that ranked it several times counts with its mean ranks."""
        largest = max((len(judgment.shown) for judgment in judgments), default=0)
        if largest < 3:
            return
        by_judge: dict[Judge, list[dict[str, float]]] = defaultdict(list)
        for judgment in judgments:
            if judgment.ranking is not None and len(judgment.shown) == largest:
                by_judge[judgment.judge].append(_mid_ranks(judgment.ranking))
        ids = sorted(next(iter(by_judge.values()))[0]) if by_judge else []
        own = [ranks for ranks in by_judge.values() if all(sorted(one) == ids for one in ranks)]
        found = (
            kendall_w([[sum(one[id] for one in ranks) / len(ranks) for id in ids] for ranks in own]) if own else None
        )
        if found is not None:
            self.concordance.add(found)

    def report(self, seed: int) -> Together:
        """The coefficients and their intervals."""
        units = dict(sorted(self.units.items()))
        return Together(
            units=sum(number for unit, number in units.items() if sum(unit) > 1),
            alpha_nominal=krippendorff_alpha(units, "nominal", seed=seed),
            alpha_ordinal=krippendorff_alpha(units, "ordinal", seed=seed),
            fleiss=fleiss_kappa(units, seed=seed),
            ranked_sets=self.concordance.count,
            kendall_w=self.concordance.estimate(0.0, 1.0),
        )


@dataclass(slots=True)
class ModelTally:
    """Votes between models; memory grows with the number of models only."""

    won: Counter[tuple[str, str]] = field(default_factory=Counter)
    tied: Counter[tuple[str, str]] = field(default_factory=Counter)
    chances: dict[str, Moments] = field(default_factory=lambda: defaultdict(Moments))

    def add_couple(self, couple: Couple, views: Sequence[View], models: Mapping[str, str | None]) -> None:
        """One vote of each judge."""
        one, other = (models.get(id) for id in couple)
        if one is None or other is None or one == other:
            return
        for view in views:
            if not view.vote.counts:
                continue
            if view.vote.winner is None:
                self.tied[one, other] += 1
            else:
                self.won[(one, other) if view.vote.winner == couple[0] else (other, one)] += 1

    def add_chances(self, judgments: Sequence[Judgment], models: Mapping[str, str | None]) -> None:
        """The probability that each judgment of two gives to each model."""
        for judgment in judgments:
            if len(judgment.shown) != 2:
                continue
            one, other = (models.get(id) for id in judgment.shown)
            chance = judgment.probability
            if chance is None and judgment.ranking is not None:
                chance = 0.5 if len(judgment.ranking) == 1 else float(judgment.ranking[0][0] == judgment.shown[0])
            if chance is not None and one is not None and other is not None and one != other:
                self.chances[one].add(chance)
                self.chances[other].add(1 - chance)

    def duels(self) -> tuple[Duel, ...]:
        """Every two models between which there are votes, by name."""
        couples = sorted({(min(couple), max(couple)) for couple in (*self.won, *self.tied)})
        return tuple(
            Duel(
                (one, other),
                self.won[one, other],
                self.tied[one, other] + self.tied[other, one],
                self.won[other, one],
            )
            for one, other in couples
        )

    def report(self) -> tuple[ModelReport, ...]:
        """The models, the strongest first."""
        names = sorted({name for couple in (*self.won, *self.tied) for name in couple})
        if not names:
            return ()
        place = {name: n for n, name in enumerate(names)}
        wins, ties = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
        for (winner, loser), number in self.won.items():
            wins[place[winner], place[loser]] += number
        for (one, other), number in self.tied.items():
            ties[place[one], place[other]] += number
            ties[place[other], place[one]] += number
        fitted = davidson(wins, ties, prior_sd=PRIOR_SD)
        made = []
        for name, n in place.items():
            middle = ELO_BASE + ELO_SCALE * float(fitted.strengths[n])
            half = Z * ELO_SCALE * float(max(fitted.covariance[n, n], 0.0)) ** 0.5
            won, tied, lost = (round(float(part)) for part in (wins[n].sum(), ties[n].sum(), wins[:, n].sum()))
            made.append(
                ModelReport(
                    model=name,
                    votes=won + tied + lost,
                    wins=rate(won, won + tied + lost),
                    ties=rate(tied, won + tied + lost),
                    probability=self.chances[name].estimate(0.0, 1.0),
                    elo=Estimate(middle, middle - half, middle + half),
                )
            )
        return tuple(sorted(made, key=lambda one: (-(one.elo.value or 0), one.model)))


def _mid_ranks(ranking: Sequence[Sequence[str]]) -> dict[str, float]:
    ranks, before = {}, 0
    for tier in ranking:
        ranks.update(dict.fromkeys(tier, before + (len(tier) + 1) / 2))
        before += len(tier)
    return ranks
