"""What agreement reports say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prefdata.pairing.concordance import Duel, ModelReport, Together
from prefdata.stats import Estimate, Rate


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Verdicts against gold (or the majority of others), over the couples on which that has a winner.

    A tie or no verdict is not right.
    """

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
class OwnFamily:
    """How a language model judges responses of its own family, on couples with exactly one of them."""

    family: str
    couples: int
    """Such couples on which the judge has a vote."""
    wins: Rate
    """The own response wins, of the votes with a winner."""
    against: Literal["gold", "others"]
    """What the judge is held against: gold where there is some, else the mean vote of judges of no such family."""
    compared: int
    """Couples on which that has a vote too."""
    own_share: float | None
    """The judge's share for the own response on these, a tie counting half."""
    their_share: float | None
    """That of gold, or of the others, on the same couples."""
    excess: Estimate
    """Mean of the difference, in [-1, 1]: above 0 the judge prefers its own more than they do. Bootstrap interval."""


@dataclass(frozen=True, slots=True)
class RatingReport:
    """Ratings on one criterion, response by response."""

    criterion: str
    responses: int
    """Responses that at least two judges rated."""
    alpha: Estimate
    """Krippendorff's alpha, ordinal; its value is None where it is undefined."""
    means: Mapping[str, float]
    """The mean rating that each judge gave."""


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
    """Against gold; without gold against the majority of the other judges, and None for a judge alone."""
    own_family: OwnFamily | None = None
    """None where no response of the judge's family stands beside one of another, or responses name no models."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What needs no judge, against the same gold; without gold against the majority of all judges."""

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
    against: Literal["gold", "others"]
    """What accuracies are against."""
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
    duels: tuple[Duel, ...] = ()
    """The votes between every two of these models."""
    groups: tuple[Group, ...] = ()
    """The same for each source, where there are several, and for each criterion."""
    ratings: tuple[RatingReport, ...] = ()
    """Agreement of the ratings on each criterion."""

    @property
    def ok(self) -> bool:
        """Whether every line could be read and every judgment belongs to a response that is there."""
        return not self.invalid_lines and not self.unused
