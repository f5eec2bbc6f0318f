"""``prefdata agree``: agreement, consistency and bias of judges and people, one response set in memory at a time."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from prefdata.errors import InputError
from prefdata.pairing.agreement import Agreement, Group
from prefdata.pairing.counting import Tally
from prefdata.pairing.criteria import split
from prefdata.pairing.index import PARTS, JudgmentIndex
from prefdata.pairing.page import page
from prefdata.pairing.pair import Paths, path_names
from prefdata.records.codec import response_set_from
from prefdata.records.output import atomic_file
from prefdata.records.progress import Meter, Progress
from prefdata.records.publishing import check_outputs
from prefdata.records.rows import Row, nothing_to_do, read_rows
from prefdata.records.sources import Source, sources
from prefdata.types import ResponseSet

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
    progress: Progress | None = None,
) -> Agreement:
    """How the judges of ``judgments`` agree with each other, with themselves when sides are swapped, and with ``gold``.

    ``gold`` holds judgments too: on each couple of responses the majority of them is right. Without it each judge is
    held against the majority of the others, and the baselines against that of all. With ``responses`` the
    baseline "longest wins" stands beside the judges, how often each prefers the longer response, the models that wrote
    them, and the same for each source of the prompts. Judgments of a criterion, and ratings by criterion, are compared
    within it.
    ``seed`` is that of the bootstrap; ``html`` writes a page with plots. Raises InputError, UsageError and
    OutputExistsError.
    """
    groups = [path_names(paths) if paths is not None else [] for paths in (judgments, gold, responses)]
    read = sources([name for group in groups for name in group])  # refuses a file that is named twice
    if html is not None:
        check_outputs(Path(html), {}, read, overwrite)
    judgment_files, gold_files, response_files = (sources(group) for group in groups)
    meter = Meter(progress, [*judgment_files, *gold_files, *response_files])
    grouped = _Grouped(gold=bool(gold_files))
    tally = grouped.all
    with (
        tempfile.TemporaryDirectory(prefix="prefdata-") as folder,
        JudgmentIndex(Path(folder) / "judgments.sqlite") as index,
    ):
        for _ in index.load(judgment_files, meter=meter):
            tally.invalid_lines += 1
        for _ in index.load(gold_files, "gold", meter):
            tally.invalid_lines += 1
        if response_files:
            for response_set in _response_sets(response_files, tally, meter):
                index.claim(response_set.id)
                grouped.add(index, response_set.id, response_set)
            for _ in index.unclaimed():
                tally.unused["unknown-response-set"] += 1
            if not tally.judges and tally.unused["unknown-response-set"]:
                raise InputError(
                    "no judgment belongs to any of the response sets",
                    "give the responses that were judged, or leave out --responses",
                )
        else:
            for id in index.response_set_ids():
                grouped.add(index, id)
    if gold_files and not tally.gold_couples + tally.gold_undecided:
        raise InputError(
            "gold and judgments have no couple of responses in common",
            "their response_set_id and response ids must be the same",
        )
    found = grouped.agreement(lengths=bool(response_files), seed=seed)
    if html is not None:
        with atomic_file(Path(html)) as file:
            file.write(page(found).encode())
    return found


class _Grouped:
    """Counts over all response sets, and those of each source and each criterion."""

    def __init__(self, *, gold: bool) -> None:
        self._gold = gold
        self.all = Tally(gold=gold)
        self._groups: dict[tuple[Literal["source", "criterion"], str], Tally] = {}

    def add(self, index: JudgmentIndex, id: str, response_set: ResponseSet | None = None) -> None:
        """One response set; verdicts on different criteria are never taken for verdicts on the same thing.

        A judgment of the whole whose ratings speak of criteria counts once in all, and in the group of each of them.
        """
        judgments, gold = (split([placed.judgment for placed in index.of(id, part)]) for part in PARTS)
        source = _source_of(response_set) if response_set is not None else None
        whole = {one.id for one in judgments.get(None, ())}
        for criterion, own in judgments.items():
            right = gold.get(criterion, gold.get(None, []))  # gold without a criterion speaks to each of them
            said = own if criterion is None else [one for one in own if one.id not in whole]
            if said:
                self.all.add(said, right, response_set)
                if source is not None:
                    self._group("source", source).add(said, right, response_set)
            if criterion is not None:
                self._group("criterion", criterion).add(own, right, response_set)

    def _group(self, by: Literal["source", "criterion"], name: str) -> Tally:
        return self._groups.setdefault((by, name), Tally(gold=self._gold))

    def agreement(self, *, lengths: bool, seed: int) -> Agreement:
        """The report of all, with those of the groups where a kind has several."""
        kinds = Counter(by for by, _ in self._groups)
        groups = tuple(
            Group(by, name, tally.agreement(lengths=lengths, seed=seed))
            for (by, name), tally in sorted(self._groups.items())
            if kinds[by] > 1 or by == "criterion"
        )
        return replace(self.all.agreement(lengths=lengths, seed=seed), groups=groups)


def _source_of(response_set: ResponseSet) -> str | None:
    """Where the prompt is from, by its metadata."""
    return next(
        (said for key in SOURCE_KEYS if isinstance(said := response_set.prompt.metadata.get(key), str) and said), None
    )


def _response_sets(files: Sequence[Source], tally: Tally, meter: Meter) -> Iterator[ResponseSet]:
    first: Row[ResponseSet] | None = None
    found = False
    for row in meter.over(read_rows(files, "response_set", response_set_from, identify=lambda noun: noun.id)):
        first = first or row
        if row.noun is None:
            tally.invalid_lines += 1
        else:
            found = True
            yield row.noun
    if not found:
        raise nothing_to_do(" ".join(file.name for file in files), "response set", first)
