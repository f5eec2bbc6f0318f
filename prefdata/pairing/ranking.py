"""From comparisons to tiers of responses: majority, Bradley-Terry, ranked pairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from prefdata.pairing.votes import Comparison, Couple

Ranking = Literal["majority", "bradley-terry", "ranked-pairs"]
RANKINGS: tuple[Ranking, ...] = get_args(Ranking)

SAME = 1e-6
"""Log strengths that differ by less are one tier."""
PRIOR_SD = 3.0
"""Of log strengths: a response that won every comparison gets a finite strength."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Responses in tiers, best first and inside a tier by id; with Bradley-Terry their log strengths."""

    tiers: list[list[str]]
    strengths: Mapping[str, float] | None = None


def ranked(method: Ranking, ids: Sequence[str], comparisons: Mapping[Couple, Comparison]) -> Ranked:
    """The responses by ``method``; the order of ``ids`` does not count."""
    if method == "bradley-terry":
        return _bradley_terry(sorted(ids), comparisons)
    if method == "ranked-pairs":
        return Ranked(_ranked_pairs(ids, comparisons))
    return Ranked(tiers(ids, comparisons))


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


def _bradley_terry(ids: Sequence[str], comparisons: Mapping[Couple, Comparison]) -> Ranked:
    """Tiers by Davidson's model of votes with ties, under a weak prior."""
    import numpy as np  # here, since every command that ends in pairs imports this module for its --help

    from prefdata.stats import davidson

    place = {id: n for n, id in enumerate(ids)}
    wins, ties = np.zeros((len(ids), len(ids))), np.zeros((len(ids), len(ids)))
    for (one, other), comparison in comparisons.items():
        a, b = place[one], place[other]
        wins[a, b], wins[b, a] = comparison.votes[:2]
        ties[a, b] = ties[b, a] = comparison.votes[2]
    if not wins.sum() + ties.sum():
        return Ranked([sorted(ids)] if ids else [], dict.fromkeys(ids, 0.0))
    strengths = {id: float(s) for id, s in zip(ids, davidson(wins, ties, prior_sd=PRIOR_SD).strengths, strict=True)}
    found: list[list[str]] = []
    for id in sorted(ids, key=lambda id: (-strengths[id], id)):
        if found and strengths[found[-1][0]] - strengths[id] < SAME:
            found[-1].append(id)
        else:
            found.append([id])
    return Ranked([sorted(tier) for tier in found], strengths)


def _ranked_pairs(ids: Iterable[str], comparisons: Mapping[Couple, Comparison]) -> list[list[str]]:
    """Tideman's ranked pairs (Tideman 1987, Soc. Choice Welf. 4:185): majorities are locked in, the widest first.

    A majority that would close a cycle with those locked is passed over. Among equally wide ones that close a cycle
    together none is locked, so that neither ids nor their order decide. A response's tier is its longest way down from
    one that nothing beats.
    """
    by_width: dict[float, list[tuple[str, str]]] = defaultdict(list)
    for comparison in comparisons.values():
        one, other = comparison.ids
        width = comparison.votes[0] - comparison.votes[1]
        if width:
            by_width[abs(width)].append((one, other) if width > 0 else (other, one))
    below: dict[str, set[str]] = {id: set() for id in ids}
    for width in sorted(by_width, reverse=True):
        group = [edge for edge in by_width[width] if not _reaches(below, edge[1], edge[0])]
        together = {id: set(lower) for id, lower in below.items()}
        for winner, loser in group:
            together[winner].add(loser)
        for winner, loser in group:
            if not _reaches(together, loser, winner):
                below[winner].add(loser)
    depth: dict[str, int] = {}
    left = set(below)
    while left:
        lower = {id for above in left for id in below[above]}
        top = left - lower
        depth.update(dict.fromkeys(top, max(depth.values(), default=-1) + 1))
        left -= top
    levels: dict[int, list[str]] = defaultdict(list)
    for id, level in depth.items():
        levels[level].append(id)
    return [sorted(levels[level]) for level in sorted(levels)]


def _reaches(below: Mapping[str, Collection[str]], start: str, goal: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        for id in below[waiting.pop()]:
            if id == goal:
                return True
            if id not in seen:
                seen.add(id)
                waiting.append(id)
    return False
