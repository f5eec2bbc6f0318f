"""What a run of judges came to: counts that add up, and how much the shown order mattered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_intdigest

from prefdata.endpoint.reporting import CallCounts
from prefdata.judging.calibration import Calibration
from prefdata.judging.integrity import SUSPICIONS
from prefdata.judging.transcript import response_text
from prefdata.types import Judgment, ResponseSet

CONSTANT = 3
"""Prompts with one and the same response from which on it is worth a word: a text that answers none of them."""
REMEMBERED = 65_536
"""Different responses whose prompts are counted; a constant text shows among the first."""


class Constants:
    """Counts texts that one model gives to different prompts, in memory that does not grow with the file."""

    def __init__(self) -> None:
        self._prompts: Counter[tuple[str | None, int]] = Counter()

    def add(self, response_set: ResponseSet) -> None:
        """Each text of a set counts once."""
        texts = ((each.model, response_text(each).encode("utf-8", "surrogatepass")) for each in response_set.responses)
        found = {(model, xxh3_64_intdigest(text)) for model, text in texts}
        for each in found:
            if each in self._prompts or len(self._prompts) < REMEMBERED:
                self._prompts[each] += 1

    def worst(self) -> tuple[str | None, int]:
        """The model and the number of prompts of the commonest text; 0 where it is too rare to tell anything."""
        ((model, _), number), *_ = self._prompts.most_common(1) or [((None, 0), 0)]
        return (model, number) if number >= CONSTANT else (None, 0)


@dataclass(slots=True)
class OrderCounts:
    """One judge's verdicts on two responses, by shown order."""

    compared: int = 0
    """Comparisons with a readable verdict in both orders."""
    consistent: int = 0
    """Of these, the ones in which both orders say the same."""
    decisive: int = 0
    """Verdicts that prefer one of the two."""
    first: int = 0
    """Of these, the ones that prefer the response shown first."""

    @property
    def consistency(self) -> float | None:
        """Share of comparisons in which both orders say the same."""
        return self.consistent / self.compared if self.compared else None

    @property
    def first_preferred(self) -> float | None:
        """Share of decisive verdicts for the response shown first; 0.5 is no preference."""
        return self.first / self.decisive if self.decisive else None

    def add(self, judgments: Sequence[Judgment]) -> None:
        """Count one judge's judgments of one response set; a ranking of N counts as its N (N - 1) / 2 comparisons.

        Scores were given to one response at a time: no order was shown.
        """
        by_couple: dict[frozenset[str], list[tuple[int, str | None]]] = defaultdict(list)
        for judgment in judgments:
            if judgment.ranking is None or judgment.order is None or judgment.scores:
                continue
            tier = {id: place for place, ids in enumerate(judgment.ranking) for id in ids}
            for earlier, later in combinations(judgment.shown, 2):
                said = None if tier[earlier] == tier[later] else min(earlier, later, key=lambda id: tier[id])
                by_couple[frozenset((earlier, later))].append((judgment.order, said))
                if said is not None:
                    self.decisive += 1
                    self.first += said == earlier
        for seen in by_couple.values():
            if {order for order, _ in seen} == {0, 1}:
                self.compared += 1
                self.consistent += len({said for _, said in seen}) == 1


@dataclass(slots=True)
class Tally:
    """Lines in = sets with pairs + sets dropped + invalid lines."""

    sets: int = 0
    with_pairs: int = 0
    pairs: int = 0
    judgments: int = 0
    unreadable: int = 0
    failed: int = 0
    """Calls that gave no judgment."""
    invalid: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Response sets without a pair, by reason."""
    orders: dict[str, OrderCounts] = field(default_factory=dict)
    """By judge."""
    suspicious: Counter[str] = field(default_factory=Counter)
    """Judgments that were shown a response which speaks to the judge, by flag."""
    spared: int = 0
    """Calls that adaptive orders did without."""
    constant: int = 0
    """Of one model's responses, how many different prompts were given the very same text; 0 below ``CONSTANT``."""
    constant_model: str | None = None

    @property
    def mute(self) -> bool:
        """Whether judges answered and not one verdict could be read."""
        return bool(self.unreadable) and self.unreadable == self.judgments

    def add(self, judgments: Sequence[Judgment], pairs: int, reasons: Sequence[str]) -> None:
        """Count one response set."""
        self.sets += 1
        self.with_pairs += pairs > 0
        self.pairs += pairs
        self.dropped.update(reasons)
        by_judge: dict[str, list[Judgment]] = defaultdict(list)
        for judgment in judgments:
            self.judgments += 1
            self.failed += "call_failed" in judgment.flags
            self.unreadable += "unreadable" in judgment.flags
            self.suspicious.update(flag for flag in judgment.flags if flag in SUSPICIONS)
            by_judge[judgment.judge.name].append(judgment)
        for name, own in by_judge.items():
            self.orders.setdefault(name, OrderCounts()).add(own)


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """What a run of ``judge`` came to, and where its files are."""

    output: Path
    judgments: Path
    dropped: Path
    tally: Tally
    calls: CallCounts
    calibration: Calibration | None = None

    @property
    def ok(self) -> bool:
        """Whether every line was a response set, every call was answered, and at least one verdict could be read."""
        return not self.tally.invalid and not self.tally.failed and not self.tally.mute

    def document(self) -> Mapping[str, Any]:
        """The result as JSON."""
        tally = self.tally
        return {
            "ok": self.ok,
            "output": str(self.output),
            "judgments": str(self.judgments),
            "dropped": str(self.dropped),
            "counts": {
                "lines": tally.sets + tally.invalid,
                "sets": tally.sets,
                "sets_with_pairs": tally.with_pairs,
                "pairs": tally.pairs,
                "judgments": tally.judgments,
                "unreadable": tally.unreadable,
                "suspicious": dict(sorted(tally.suspicious.items())),
                "same_text_to_prompts": tally.constant,
                "invalid_lines": tally.invalid,
                "dropped": dict(sorted(tally.dropped.items())),
            },
            "calls": {**asdict(self.calls), "failed": tally.failed, "spared": tally.spared},
            "orders": {
                name: {**asdict(counts), "consistency": counts.consistency, "first_preferred": counts.first_preferred}
                for name, counts in sorted(tally.orders.items())
                if counts.decisive or counts.compared
            },
            **({"calibration": self.calibration.document()} if self.calibration is not None else {}),
        }
