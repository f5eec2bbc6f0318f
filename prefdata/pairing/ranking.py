"""From comparisons to tiers of responses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from prefdata.pairing.votes import Comparison, Couple


def copeland(ids: Iterable[str], comparisons: Mapping[Couple, Comparison]) -> dict[str, int]:
    """Copeland's score of each response: comparisons won less comparisons lost (Copeland 1951)."""
    scores = dict.fromkeys(ids, 0)
    for comparison in comparisons.values():
        if comparison.winner is not None:
            for id in comparison.ids:
                scores[id] += 1 if id == comparison.winner else -1
    return scores


def tiers(ids: Iterable[str], comparisons: Mapping[Couple, Comparison]) -> list[list[str]]:
    """Responses in tiers of equal Copeland score, best first; inside a tier sorted by id."""
    by_score: dict[int, list[str]] = defaultdict(list)
    for id, score in copeland(ids, comparisons).items():
        by_score[score].append(id)
    return [sorted(by_score[score]) for score in sorted(by_score, reverse=True)]


def win_rates(ids: Iterable[str], comparisons: Mapping[Couple, Comparison]) -> dict[str, float]:
    """Each response's mean share of the votes over the responses that it was compared with; 0.5 without any."""
    shares: dict[str, list[float]] = {id: [] for id in ids}
    for comparison in comparisons.values():
        if sum(comparison.votes):
            for id in comparison.ids:
                shares[id].append(comparison.share(id))
    return {id: math.fsum(own) / len(own) if own else 0.5 for id, own in shares.items()}
