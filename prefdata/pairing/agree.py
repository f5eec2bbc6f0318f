"""``prefdata agree``: agreement, consistency and bias of judges and people, one response set in memory at a time."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import orjson

from prefdata.errors import InputError
from prefdata.pairing.agreement import AccuracyTally, Agreement, Baseline, Between, Group, JudgeTally
from prefdata.pairing.concordance import ModelTally, TogetherTally
from prefdata.pairing.index import JudgmentIndex, Part, Placed
from prefdata.pairing.page import page
from prefdata.pairing.pair import Paths, path_names
from prefdata.pairing.votes import Couple, View, Vote, comparisons, distinct, sightings, views
from prefdata.records.codec import response_set_from
from prefdata.records.output import atomic_file, check_output
from prefdata.records.rows import BOM, Row, nothing_to_do, read_rows
from prefdata.records.sources import Source, sources
from prefdata.stats import cohen_kappa, rate
from prefdata.types import Content, Judge, Judgment, ResponseSet

GOLD = "gold"
PARTS: tuple[Part, Part] = ("judgments", "gold")
SOURCE_KEYS = ("source", "dataset", "category", "domain")
"""Keys of a prompt's metadata that say where it is from; the first one there counts."""


def agree(
    judgments: Paths,
    gold: Paths | None = None,
    responses: Paths | None = None,
    *,
    seed: int = 0,
    html: str | Path | None = None,
    overwrite: bool = False,
) -> Agreement:
    """How the judges of ``judgments`` agree with each other, with themselves when sides are swapped, and with ``gold``.

    ``gold`` holds judgments too: on each couple of responses the majority of them is right. With ``responses`` the
    baseline "longest wins" stands beside the judges, how often each prefers the longer response, the models that wrote
    them, and the same for each source of the prompts. Judgments whose records have a "criterion" are compared within
    it.
    ``seed`` is that of the bootstrap; ``html`` writes a page with plots. Raises InputError and OutputExistsError.
    """
    if html is not None:
        check_output(Path(html), overwrite)
    groups = [path_names(paths) if paths is not None else [] for paths in (judgments, gold, responses)]
    sources([name for group in groups for name in group])  # refuses a file that is named twice
    judgment_files, gold_files, response_files = (sources(group) for group in groups)
    grouped = _Grouped()
    tally = grouped.all
    with (
        tempfile.TemporaryDirectory(prefix="prefdata-") as folder,
        JudgmentIndex(Path(folder) / "judgments.sqlite") as index,
    ):
        for _ in index.load(judgment_files):
            tally.invalid_lines += 1
        for _ in index.load(gold_files, "gold"):
            tally.invalid_lines += 1
        if response_files:
            for response_set in _response_sets(response_files, tally):
                index.claim(response_set.id)
                grouped.add(index, response_set.id, response_set)
            for _ in index.unclaimed():
                tally.unused["unknown-response-set"] += 1
        else:
            for id in index.response_set_ids():
                grouped.add(index, id)
    if gold_files and not tally.gold_couples + tally.gold_undecided:
        raise InputError(
            "gold and judgments have no couple of responses in common",
            "their response_set_id and response ids must be the same",
        )
    found = grouped.agreement(gold=bool(gold_files), lengths=bool(response_files), seed=seed)
    if html is not None:
        with atomic_file(Path(html)) as file:
            file.write(page(found).encode())
    return found


class _Grouped:
    """Counts over all response sets, and those of each source and each criterion."""

    def __init__(self) -> None:
        self.all = _Tally()
        self._groups: dict[tuple[Literal["source", "criterion"], str], _Tally] = {}

    def add(self, index: JudgmentIndex, id: str, response_set: ResponseSet | None = None) -> None:
        """One response set; verdicts on different criteria are never taken for verdicts on the same thing."""
        judgments, gold = (_by_criterion(index.of(id, part)) for part in PARTS)
        source = _source_of(response_set) if response_set is not None else None
        for criterion in judgments.keys() | gold.keys():
            own, right = judgments.get(criterion, []), gold.get(criterion, gold.get(None, []))
            if not own and criterion is None and len(judgments) > 0:
                continue  # gold without a criterion speaks to each of them
            self.all.add(own, right, response_set)
            for by, name in (("source", source), ("criterion", criterion)):
                if name is not None:
                    self._groups.setdefault((by, name), _Tally()).add(own, right, response_set)  # type: ignore[arg-type]

    def agreement(self, *, gold: bool, lengths: bool, seed: int) -> Agreement:
        """The report of all, with those of the groups where a kind has several."""
        kinds = Counter(by for by, _ in self._groups)
        groups = tuple(
            Group(by, name, tally.agreement(gold=gold, lengths=lengths, seed=seed))
            for (by, name), tally in sorted(self._groups.items())
            if kinds[by] > 1
        )
        return replace(self.all.agreement(gold=gold, lengths=lengths, seed=seed), groups=groups)


class _Tally:
    """Counts over response sets."""

    def __init__(self) -> None:
        self.judges: dict[Judge, JudgeTally] = defaultdict(JudgeTally)
        self.tables: dict[tuple[Judge | str, Judge | str], list[list[int]]] = {}
        self.baselines: dict[str, AccuracyTally] = defaultdict(AccuracyTally)
        self.together = TogetherTally()
        self.models = ModelTally()
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
            outcomes: dict[Judge | str, int] = {
                view.judge: _category(oriented, view.vote.winner) for view in known if view.vote.counts
            }
            if right is not None and right.votes != (0, 0, 0):
                outcomes[GOLD] = _category(oriented, right.winner)
                self._against_gold(oriented, known, right.winner, longer if lengths else "")
            for one, other in combinations(sorted(outcomes, key=_sort_key), 2):
                table = self.tables.setdefault((one, other), [[0] * 3 for _ in range(3)])
                table[outcomes[one]][outcomes[other]] += 1

    def _against_gold(self, couple: Couple, known: Sequence[View], right: str | None, longer: str | None) -> None:
        if right is None:
            self.gold_undecided += 1
            return
        self.gold_couples += 1
        for view in known:
            self.judges[view.judge].accuracy.add(view.orders, view.vote.winner, right)
        shown_first = {swapped: Vote(couple[swapped], None, counts=True) for swapped in (False, True)}
        self.baselines["first shown wins"].add(shown_first, None, right)
        if longer != "":
            longest = Vote(longer, None, counts=True)
            self.baselines["longest wins"].add({False: longest, True: longest}, longer, right)

    def agreement(self, *, gold: bool, lengths: bool, seed: int) -> Agreement:
        """The report of what was counted."""
        names = _names(self.judges)
        return Agreement(
            judges=tuple(
                self.judges[judge].report(names[judge], gold=gold, lengths=lengths, seed=seed)
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
            baselines=tuple(Baseline(name, tally.accuracy(seed)) for name, tally in self.baselines.items()),
            gold_couples=self.gold_couples,
            gold_undecided=self.gold_undecided,
            judgments=sum(tally.judgments for tally in self.judges.values()) + self.unused.total(),
            unused={reason: number for reason, number in self.unused.items() if number},
            invalid_lines=self.invalid_lines,
            together=self.together.report(seed),
            models=self.models.report(),
        )


def _by_criterion(found: Sequence[Placed]) -> dict[str | None, list[Judgment]]:
    """Judgments by the key "criterion" of their records; None for those without."""
    by_criterion: dict[str | None, list[Judgment]] = {}
    for placed in found:
        criterion = None
        if b'"criterion"' in placed.raw:
            said = orjson.loads(placed.raw.removeprefix(BOM)).get("criterion")
            criterion = said if isinstance(said, str) else None
        by_criterion.setdefault(criterion, []).append(placed.judgment)
    return by_criterion


def _source_of(response_set: ResponseSet) -> str | None:
    """Where the prompt is from, by its metadata."""
    return next(
        (said for key in SOURCE_KEYS if isinstance(said := response_set.prompt.metadata.get(key), str) and said), None
    )


def _response_sets(files: Sequence[Source], tally: _Tally) -> Iterator[ResponseSet]:
    first: Row[ResponseSet] | None = None
    found = False
    for row in read_rows(files, "response_set", response_set_from, identify=lambda noun: noun.id):
        first = first or row
        if row.noun is None:
            tally.invalid_lines += 1
        else:
            found = True
            yield row.noun
    if not found:
        raise nothing_to_do(" ".join(file.name for file in files), "response set", first)


def _places(judgments: Sequence[Judgment]) -> dict[str, int]:
    """The place of each response in its set, as far as judgments tell: ``order`` 0 is the set's, 1 its reverse.

    Where no judgment says, the order in which the first judgment (by id) was shown stands for it.
    """
    places: dict[str, int] = {}
    for judgment in sorted(judgments, key=lambda judgment: (judgment.order is None, judgment.id)):
        for id in reversed(judgment.shown) if judgment.order == 1 else judgment.shown:
            places.setdefault(id, len(places))
    return places


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
