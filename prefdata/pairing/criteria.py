"""Judgments by what they judge: the whole, or one criterion, said by the judgment or by the ratings in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from prefdata.types import Judgment


def criteria_of(judgment: Judgment) -> set[str]:
    """The criteria that a judgment speaks of, by its own field or by the ratings of at least two responses."""
    if judgment.criterion is not None:
        return {judgment.criterion}
    seen: dict[str, int] = {}
    for id in judgment.shown:
        for name in judgment.ratings.get(id, ()):
            seen[name] = seen.get(name, 0) + 1
    return {name for name, count in seen.items() if count > 1}


def by_criterion(judgment: Judgment, criterion: str | None) -> Judgment | None:
    """``judgment`` as one of ``criterion`` (None: of the whole); None where it does not speak of it.

    Where its ratings do, it is a ranking of the responses rated, equal ratings tied.
    """
    if judgment.criterion == criterion:
        return judgment
    if criterion is None or judgment.criterion is not None or criterion not in criteria_of(judgment):
        return None
    rated = {id: judgment.ratings[id][criterion] for id in judgment.shown if criterion in judgment.ratings.get(id, {})}
    tiers = [tuple(id for id in rated if rated[id] == score) for score in sorted(set(rated.values()), reverse=True)]
    return replace(
        judgment,
        shown=tuple(rated),
        ranking=tuple(tiers),
        flags=(),
        strength=None,
        probability=None,
        scores=rated,
        criterion=criterion,
        ratings={},
    )


def split(judgments: Sequence[Judgment]) -> dict[str | None, list[Judgment]]:
    """``judgments`` by criterion, those of the whole first, then the criteria in the order of their names.

    One whose ratings speak of criteria is in each of them, and of the whole too.
    """
    names: Iterable[str] = sorted({name for judgment in judgments for name in criteria_of(judgment)})
    found: dict[str | None, list[Judgment]] = {}
    for criterion in (None, *names):
        own = [one for judgment in judgments if (one := by_criterion(judgment, criterion)) is not None]
        if own:
            found[criterion] = own
    return found
