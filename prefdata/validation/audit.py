"""The shortcut audit: how well something shallow alone predicts which answer is chosen; and who stands out.

A reward model or a DPO run learns the cheapest thing that explains the preferences. Where chosen is the longer answer
in 85 of 100 pairs, it learns to write more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from prefdata.stats import Estimate, Rate, rate
from prefdata.stats.clustered import clustered_means
from prefdata.validation.sampling import FEATURES, UNKNOWN, Sample, Sampled

LEAST_ROWS = 30
"""Rows below which nothing is said."""
LEAST_OF_GROUP = 50
GROUPS_SHOWN = 20
By = Literal["source", "annotator"]
MORE = {
    "length": "the longer answer",
    "refusal": "the one that refuses",
    "markdown": "the one with more Markdown",
    "lists": "the one with more list items",
    "first_shown": "the one that the judge saw first",
}
LESS = {
    "length": "the shorter answer",
    "refusal": "the one that does not refuse",
    "markdown": "the one with less Markdown",
    "lists": "the one with fewer list items",
    "first_shown": "the one that the judge saw second",
}


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One thing by which chosen may be guessed."""

    name: str
    more: Estimate
    """Share of pairs whose chosen answer has more of it, ties counted half: 0.5 is chance."""
    differs: Rate
    """Pairs whose sides differ in it."""
    where_differs: Rate
    """Those of them whose chosen answer has more of it."""

    @property
    def accuracy(self) -> Estimate:
        """How often the better of the two guesses ("more" or "less") is right, with its interval."""
        value, low, high = self.more.value, self.more.low, self.more.high
        if value is None or low is None or high is None or value >= 0.5:
            return self.more
        return Estimate(1 - value, 1 - high, 1 - low)

    @property
    def guess(self) -> str:
        """The guess in words."""
        return MORE[self.name] if (self.more.value or 0) >= 0.5 else LESS[self.name]


@dataclass(frozen=True, slots=True)
class GroupShare:
    """How the pairs of one source or annotator compare with all others."""

    by: By
    name: str
    rows: int
    feature: str
    share: Rate
    """Pairs of the group whose chosen answer has more of the feature, of those that differ in it."""
    rest: Rate
    """The same of all other pairs that name a source (or an annotator)."""
    middle: float | None = None
    """The median of the shares of all groups, where there are three or more."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in a sample of the rows kept."""

    rows: int
    """Rows in the sample."""
    of: int
    """Rows kept."""
    shortcuts: tuple[Shortcut, ...] = ()
    groups: tuple[GroupShare, ...] = ()
    """For each source and annotator the feature in which it differs most from the others."""
    shared_openings: int | None = None
    """Rows of eval whose conversation opens as one of train does; ``None`` without a split."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        found = {
            "rows": self.rows,
            "of": self.of,
            "shortcuts": {
                one.name: {**_rounded(one.accuracy), "guess": one.guess, "differs": one.differs.count}
                for one in self.shortcuts
            },
            "groups": [
                {
                    "by": one.by,
                    "name": one.name,
                    "rows": one.rows,
                    "feature": one.feature,
                    "share": _rounded(one.share),
                    "rest": _rounded(one.rest),
                }
                for one in self.groups
            ],
        }
        return found if self.shared_openings is None else {**found, "shared_openings": self.shared_openings}


def audited(sample: Sample, gone: npt.NDArray[np.int64], kept: int, shared_openings: int | None = None) -> Audit:
    """The audit of a sample without the rows that are ``gone`` since (by ordinal); ``kept`` rows stay in all."""
    left = ~np.isin(np.array([row.ordinal for row in sample.rows], np.int64), gone)
    rows = list(compress(sample.rows, left.tolist()))
    if len(rows) < LEAST_ROWS:
        return Audit(len(rows), kept, shared_openings=shared_openings)
    signs = np.array([row.signs for row in rows], np.float64)
    signs[signs == UNKNOWN] = np.nan
    means = clustered_means((signs + 1) / 2, np.array([row.prompt for row in rows], np.uint64))
    shortcuts = []
    for name, column, more in zip(FEATURES, signs.T, means, strict=True):
        there, above = int((~np.isnan(column)).sum()), int((column > 0).sum())
        differ = above + int((column < 0).sum())
        if there >= LEAST_ROWS:
            shortcuts.append(Shortcut(name, more, rate(differ, there), rate(above, differ)))
    groups = (*_groups(rows, "source"), *_groups(rows, "annotator"))
    return Audit(len(rows), kept, tuple(shortcuts), groups, shared_openings)


def _groups(rows: list[Sampled], by: By) -> Iterator[GroupShare]:
    """For each group that is large enough, the feature in which it stands out most."""
    named = [row for row in rows if getattr(row, by)]
    sizes = Counter(getattr(row, by) for row in named)
    if len(sizes) < 2:
        return
    above = {name: Counter[str]() for name in FEATURES}
    differ = {name: Counter[str]() for name in FEATURES}
    for row in named:
        for feature, sign in zip(FEATURES, row.signs, strict=True):
            if sign in (1, -1):
                differ[feature][getattr(row, by)] += 1
                above[feature][getattr(row, by)] += sign > 0
    middles = {feature: _middle(above[feature], differ[feature]) for feature in FEATURES}
    for name, size in sizes.most_common(GROUPS_SHOWN):
        shares = []
        for feature in FEATURES:
            mine, theirs = differ[feature][name], differ[feature].total() - differ[feature][name]
            if min(mine, theirs) >= LEAST_OF_GROUP:
                share = rate(above[feature][name], mine)
                rest = rate(above[feature].total() - above[feature][name], theirs)
                shares.append(GroupShare(by, name, size, feature, share, rest, middles[feature]))
        if shares:
            yield max(shares, key=lambda one: abs((one.share.value or 0) - (one.rest.value or 0)))


def _middle(above: Mapping[str, int], differ: Mapping[str, int]) -> float | None:
    shares = [above[name] / count for name, count in differ.items() if count >= LEAST_OF_GROUP]
    return float(np.median(shares)) if len(shares) > 2 else None


def _rounded(found: Estimate | Rate) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(found).items()}
