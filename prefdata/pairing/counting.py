"""Counts over response sets, and the report made from them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from prefdata.pairing.agreement import Agreement, Baseline, Between
from prefdata.pairing.concordance import ModelTally, TogetherTally
from prefdata.pairing.families import family, judge_family
from prefdata.pairing.tallies import AccuracyTally, JudgeTally, RatingTally
from prefdata.pairing.votes import Comparison, Couple, View, Vote, comparisons, distinct, sightings, views
from prefdata.stats import cohen_kappa, rate
from prefdata.types import Content, Judge, Judgment, ResponseSet

GOLD = "gold"


class Tally:
    """Counts over response sets: what agreement reports are made from, whatever the number of sets."""

    def __init__(self, *, gold: bool) -> None:
        """``gold`` says whether judges are held against gold; else each is against the majority of the others."""
        self._gold = gold
        self.judges: dict[Judge, JudgeTally] = defaultdict(JudgeTally)
        self.tables: dict[tuple[Judge | str, Judge | str], list[list[int]]] = {}
        self.baselines: dict[str, AccuracyTally] = defaultdict(AccuracyTally)
        self.together = TogetherTally()
        self.models = ModelTally()
        self.ratings = RatingTally()
        self.gold_couples = 0
        self.gold_undecided = 0
        self.unused: Counter[str] = Counter()
        self.invalid_lines = 0

    def add(
        self, judgments: Sequence[Judgment], gold: Sequence[Judgment], response_set: ResponseSet | None = None
    ) -> None:
        """One response set: who says what of each of its couples."""
        lengths = {r.id: _length(r.content) for r in response_set.responses} if response_set else {}
        if response_set is not None:
            usable = [judgment for judgment in judgments if set(judgment.shown) <= lengths.keys()]
            self.unused["unknown-response"] += len(judgments) - len(usable)
            judgments = usable
        single = distinct(judgments)
        self.unused["duplicate-judgment"] += len(judgments) - len(single)
        models = {r.id: r.model for r in response_set.responses} if response_set else {}
        self.models.add_chances(single, models)
        self.together.add_rankings(single)
        self.ratings.add(single)
        for judgment in single:
            self.judges[judgment.judge].judgments += 1
        aliases = {id: id for judgment in (*single, *gold) for id in judgment.shown}
        places = {id: n for n, id in enumerate(lengths)} if lengths else _places(single)
        truth = comparisons(gold, aliases)
        for couple, seen in sightings(single, aliases).items():
            # In the order of the set, so that "swapped" means what Judgment.order says and kappa has its categories.
            oriented = couple if places[couple[0]] < places[couple[1]] else (couple[1], couple[0])
            known = [_oriented(view, oriented != couple) for view in views(couple, seen)]
            self.together.add_couple(oriented, known)
            self.models.add_couple(oriented, known, models)
            right = truth.get(couple)
            longer = _longer(oriented, lengths)
            for view in known:
                self.judges[view.judge].add_view(oriented, view, longer)
            self._own_families(oriented, known, models, right)
            outcomes: dict[Judge | str, int] = {
                view.judge: _category(oriented, view.vote.winner) for view in known if view.vote.counts
            }
            if right is not None and right.votes != (0, 0, 0):
                outcomes[GOLD] = _category(oriented, right.winner)
                self._against_gold(oriented, known, right.winner, longer if lengths else "")
            if not self._gold:
                self._against_others(oriented, known, longer if lengths else "")
            for one, other in combinations(sorted(outcomes, key=_sort_key), 2):
                table = self.tables.setdefault((one, other), [[0] * 3 for _ in range(3)])
                table[outcomes[one]][outcomes[other]] += 1

    def _own_families(
        self, couple: Couple, known: Sequence[View], models: Mapping[str, str | None], right: Comparison | None
    ) -> None:
        """Judges of whose family exactly one of the two responses is."""
        written = [family(model) if (model := models.get(id)) else None for id in couple]
        if None in written or written[0] == written[1]:
            return
        for view in known:
            if not view.vote.counts or (own_family := judge_family(view.judge)) not in written:
                continue
            own = couple[written.index(own_family)]
            shares = [
                0.5 if other.vote.winner is None else float(other.vote.winner == own)
                for other in known
                if other.vote.counts and judge_family(other.judge) != own_family
            ]
            gold = right.share(own) if right is not None and right.votes != (0, 0, 0) else None
            others = sum(shares) / len(shares) if shares else None
            self.judges[view.judge].own_family.add(own, view.vote, gold, others)

    def _against_gold(self, couple: Couple, known: Sequence[View], right: str | None, longer: str | None) -> None:
        if right is None:
            self.gold_undecided += 1
            return
        self.gold_couples += 1
        for view in known:
            self.judges[view.judge].accuracy.add(view.orders, view.vote.winner, right)
        self._baselines(couple, right, longer)

    def _against_others(self, couple: Couple, known: Sequence[View], longer: str | None) -> None:
        votes = [view for view in known if view.vote.counts]
        if len(votes) < 2:
            return
        for view in known:
            right = _majority([other.vote.winner for other in votes if other is not view])
            if right is not None:
                self.judges[view.judge].accuracy.add(view.orders, view.vote.winner, right)
        if (right := _majority([view.vote.winner for view in votes])) is not None:
            self._baselines(couple, right, longer)

    def _baselines(self, couple: Couple, right: str, longer: str | None) -> None:
        shown_first = {swapped: Vote(couple[swapped], None, counts=True) for swapped in (False, True)}
        self.baselines["first shown wins"].add(shown_first, None, right)
        if longer != "":
            longest = Vote(longer, None, counts=True)
            self.baselines["longest wins"].add({False: longest, True: longest}, longer, right)

    def agreement(self, *, lengths: bool, seed: int) -> Agreement:
        """The report of what was counted."""
        names, gold = _names(self.judges), self._gold
        return Agreement(
            judges=tuple(
                self.judges[judge].report(names[judge], judge_family(judge), gold=gold, lengths=lengths, seed=seed)
                for judge in sorted(self.judges, key=_sort_key)
            ),
            between=tuple(
                Between(
                    judges=(names[one], names[other]),
                    couples=_total(table),
                    same=rate(sum(row[n] for n, row in enumerate(table)), _total(table)),
                    kappa=cohen_kappa(table, seed=seed),
                )
                for (one, other), table in sorted(
                    self.tables.items(), key=lambda item: (_sort_key(item[0][0]), _sort_key(item[0][1]))
                )
            ),
            against="gold" if gold else "others",
            baselines=tuple(Baseline(name, tally.accuracy(seed)) for name, tally in self.baselines.items()),
            gold_couples=self.gold_couples,
            gold_undecided=self.gold_undecided,
            judgments=sum(tally.judgments for tally in self.judges.values()) + self.unused.total(),
            unused={reason: number for reason, number in self.unused.items() if number},
            invalid_lines=self.invalid_lines,
            together=self.together.report(seed),
            models=self.models.report(),
            duels=self.models.duels(),
            ratings=self.ratings.report(names, seed),
        )


def _places(judgments: Sequence[Judgment]) -> dict[str, int]:
    """The place of each response in its set, as far as judgments tell: ``order`` 0 is the set's, 1 its reverse.

    Where no judgment says, the order in which the first judgment (by id) was shown stands for it.
    """
    places: dict[str, int] = {}
    for judgment in sorted(judgments, key=lambda judgment: (judgment.order is None, judgment.id)):
        for id in reversed(judgment.shown) if judgment.order == 1 else judgment.shown:
            places.setdefault(id, len(places))
    return places


def _majority(winners: Sequence[str | None]) -> str | None:
    """The response that more than half of the votes name, ties being votes."""
    return next((id for id, count in Counter(winners).items() if id is not None and 2 * count > len(winners)), None)


def _oriented(view: View, flip: bool) -> View:
    return View(view.judge, {swapped != flip: vote for swapped, vote in view.orders.items()}, view.vote)


def _total(table: Sequence[Sequence[int]]) -> int:
    return sum(sum(row) for row in table)


def _category(couple: Couple, winner: str | None) -> int:
    return 2 if winner is None else couple.index(winner)


def _length(content: Content) -> int:
    """Characters of text."""
    return len(content) if isinstance(content, str) else sum(len(message.content or "") for message in content)


def _longer(couple: Couple, lengths: Mapping[str, int]) -> str | None:
    if not lengths or lengths[couple[0]] == lengths[couple[1]]:
        return None
    return max(couple, key=lambda id: lengths[id])


def _names(judges: Mapping[Judge, JudgeTally]) -> dict[Judge | str, str]:
    """Short names; version and template stand in them only where two judges would be called the same."""
    short = Counter((judge.kind, judge.name) for judge in judges)
    names: dict[Judge | str, str] = {GOLD: GOLD}
    for judge in judges:
        names[judge] = f"{judge.kind}:{judge.name}"
        if short[judge.kind, judge.name] > 1:
            names[judge] += f"@{judge.version}" if judge.version else ""
            names[judge] += f"#{judge.template_sha256[:8]}" if judge.template_sha256 else ""
    return names


def _sort_key(judge: Judge | str) -> tuple[str, ...]:
    if isinstance(judge, str):
        return ("~", judge)  # gold comes last
    return (judge.kind, judge.name, judge.version or "", judge.template_sha256 or "")
