"""How much each judge's vote counts: given by the user, or from how often it agrees with the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from prefdata.errors import InputError, UsageError
from prefdata.pairing.votes import EQUAL, comparisons, judge_name, sightings, views
from prefdata.types import Judgment

AUTO = "auto"


def read_weights(path: Path) -> dict[str, float]:
    """Weights by judge (``human:ann: 0.8``) from a YAML or JSON file; raises InputError."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "name a file of weights, or auto") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}", "for example 'human:ann: 0.8'") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path} must hold weights by judge", "for example 'human:ann: 0.8'")
    return checked_weights({str(name): weight for name, weight in found.items()}, str(path))


def checked_weights(weights: Mapping[str, object], where: str) -> dict[str, float]:
    """``weights`` if they are numbers of 0 or more by ``kind:name``; raises UsageError."""
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UsageError(f"{where}: the weight of {name} is {weight!r}", "give a number of 0 or more")
        if ":" not in name:
            raise UsageError(f"{where}: {name!r} names no judge", "write kind:name, as in human:ann or llm:gpt")
    return {name: float(weight) for name, weight in weights.items() if isinstance(weight, int | float)}


class AgreementWeights:
    """Log odds of agreeing with the majority of the other judges, the best weights of independent voters.

    Nitzan and Paroush 1982 (Int. Econ. Rev. 23:289): a voter who is right with probability p weighs ln(p / (1 - p)),
    here at least 0. p is estimated, with one agreement and one disagreement added, from the couples on which both the
    judge and the majority of the others (or gold, where it is given) name a winner. Weights are scaled to a mean of 1;
    a judge without such a couple weighs 1.
    """

    def __init__(self) -> None:
        self._agreed: Counter[str] = Counter()
        self._compared: Counter[str] = Counter()
        self._seen: set[str] = set()

    def add(self, judgments: Sequence[Judgment], gold: Sequence[Judgment] | None = None) -> None:
        """The judgments of one response set, and those that are right, where some are known."""
        right = None if gold is None else comparisons(gold, {id: id for judgment in gold for id in judgment.shown})
        aliases = {id: id for judgment in judgments for id in judgment.shown}
        for couple, seen in sightings(judgments, aliases).items():
            votes = [(judge_name(view.judge), view.vote.winner) for view in views(couple, seen) if view.vote.counts]
            self._seen.update(name for name, _ in votes)
            tally = Counter(winner for _, winner in votes if winner is not None)
            for name, winner in votes:
                if winner is None:
                    continue
                if right is not None:
                    said = right[couple].winner if couple in right else None
                    self._compared[name] += said is not None
                    self._agreed[name] += said == winner
                    continue
                with_it, against = tally[winner] - 1, tally[couple[couple[0] == winner]]
                if with_it != against:
                    self._compared[name] += 1
                    self._agreed[name] += with_it > against

    def weights(self) -> Mapping[str, float]:
        """Weights by judge; all equal where nobody agrees more often than not."""
        logits = {
            name: max(0.0, math.log((self._agreed[name] + 1) / (self._compared[name] - self._agreed[name] + 1)))
            for name in sorted(self._compared)
            if self._compared[name]
        }
        mean = math.fsum(logits.values()) / len(logits) if logits else 0.0
        if not mean:
            return EQUAL
        return {name: logits[name] / mean if name in logits else 1.0 for name in sorted(self._seen)}
