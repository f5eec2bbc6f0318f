"""``prefdata pair``: responses and judgments of any judges and people to pairs.

Response sets stream; judgments wait in an index on disk. Every line of every input is accounted for: it is part of a
pair, or it stands in the dropped file with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from prefdata.errors import InputError, UsageError
from prefdata.pairing.criteria import by_criterion
from prefdata.pairing.index import PARTS, JudgmentIndex, Placed
from prefdata.pairing.pairs import Dropped, PairingSettings, Strategy, TiePolicy, dropped_record, pairs_of
from prefdata.pairing.ranking import Ranking
from prefdata.pairing.votes import EQUAL, distinct
from prefdata.pairing.weights import AUTO, AgreementWeights, checked_weights, read_weights
from prefdata.records.codec import pair_from, pair_record, response_set_from
from prefdata.records.progress import Meter, Progress
from prefdata.records.publishing import beside
from prefdata.records.rows import Row, invalid_record, nothing_to_do, read_rows
from prefdata.records.sinks import MAIN, Sinks, sinks
from prefdata.records.sources import Source, sources
from prefdata.types import Judgment, PreferencePair, ResponseSet

DROPPED = "dropped"

Paths = str | Path | Sequence[str | Path]


@dataclass(slots=True)
class PairCounts:
    """What became of the inputs: ``response_sets == paired + sum(dropped)`` and ``judgments == used + sum(unused)``."""

    response_sets: int = 0
    paired: int = 0
    """Response sets that gave at least one pair."""
    pairs: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Response sets without a pair, by reason."""
    judgments: int = 0
    """Lines that hold a judgment."""
    used: int = 0
    unused: Counter[str] = field(default_factory=Counter)
    """Judgments that bear on nothing, by reason: unknown-response-set, unknown-response, duplicate-judgment,
    other-criterion."""
    invalid_lines: int = 0
    """Lines of any input that hold no record, or one whose id stood on a line before."""

    def record(self) -> dict[str, Any]:
        """The counts as a JSON document."""
        return {
            name.name: dict(value) if isinstance(value := getattr(self, name.name), Counter) else value
            for name in fields(self)
        }


@dataclass(frozen=True, slots=True)
class PairResult:
    """What ``pair`` did; ``pairs`` and ``dropped`` are held in memory only where no output was asked for."""

    counts: PairCounts
    output: Path | None = None
    dropped_output: Path | None = None
    pairs: tuple[PreferencePair, ...] = ()
    dropped: tuple[dict[str, Any], ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: EQUAL)
    """How much each judge's vote counted, by ``kind:name``; empty where all counted the same."""

    @property
    def ok(self) -> bool:
        """Whether every line could be read and every judgment belongs to a response that is there."""
        unknown = {"unknown-response-set", "unknown-response"} & set(self.counts.unused)
        return not self.counts.invalid_lines and not unknown


def pair(
    responses: Paths,
    judgments: Paths,
    *,
    output: str | Path | None = None,
    dropped: str | Path | None = None,
    strategy: Strategy = "best-worst",
    min_margin: float = 0.0,
    tie: TiePolicy = "drop",
    length_matched: float | None = None,
    ranking: Ranking = "majority",
    weights: Mapping[str, float] | str | Path | None = None,
    gold: Paths | None = None,
    criterion: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
) -> PairResult:
    """Write the pairs of ``responses`` to ``output``, and what gave none to ``dropped`` (default: beside ``output``).

    ``tie`` and ``length_matched`` are those of ``PairingSettings``.

    ``ranking`` says how responses are ranked. ``weights`` are of the judges' votes, by ``kind:name``: a mapping, a YAML
    or JSON file, or "auto" from how often a judge agrees with the majority of the others, or with the judgments of
    ``gold``, which make weights of themselves.

    ``criterion`` takes the judgments of one criterion, and rankings by ratings on it; without it those of the whole.

    Without ``output`` both are returned. ``limit`` takes only the first lines of ``responses``. Given the judgments
    and settings of ``prefdata judge``, the pairs are those that it wrote. Raises UsageError, InputError and
    OutputExistsError.
    """
    if gold is not None and weights not in (None, AUTO):
        raise UsageError("gold and given weights say two things", "leave out one of them")
    given_weights = _given(AUTO if gold is not None else weights)
    settings = PairingSettings(
        strategy=strategy,
        min_margin=min_margin,
        seed=seed,
        ranking=ranking,
        weights=EQUAL if given_weights is None else given_weights,
        tie=tie,
        length_matched=length_matched,
    )
    given = path_names(responses)
    inputs = sources([*given, *path_names(judgments)])
    taken = len(sources(given))
    response_files, judgment_files = inputs[:taken], inputs[taken:]
    gold_files = sources(path_names(gold)) if gold is not None else []
    out = Path(output) if output is not None else None
    companions = {DROPPED: Path(dropped) if dropped is not None else beside(out, DROPPED)} if out is not None else {}
    if out is None and dropped is not None:
        raise UsageError("a dropped file needs an output beside it", "pass -o PAIRS.jsonl too")

    counts, meter = PairCounts(), Meter(progress, inputs)
    with (
        sinks(out, companions, [*inputs, *gold_files], overwrite=overwrite) as into,
        JudgmentIndex(into.scratch("judgments.sqlite")) as index,
    ):
        for row in index.load(judgment_files, meter=meter):
            counts.invalid_lines += 1
            into.write(DROPPED, invalid_record(row))
        criterion = _criterion(index.criteria, criterion)
        for _ in index.load(gold_files, "gold"):
            counts.invalid_lines += 1
        if strangers := sorted(settings.weights.keys() - index.judges):
            known = ", ".join(sorted(index.judges)[:8])
            raise UsageError(f"no judgment is by {strangers[0]}, whom the weights name", f"the judges are {known}")
        if given_weights is None:
            settings = replace(settings, weights=_from_agreement(index, criterion, gold=gold is not None))
        for response_set in _response_sets(response_files, index, counts, into, limit, meter):
            own = _usable(response_set, index.of(response_set.id), counts, into, criterion)
            made, gone = pairs_of(response_set, own, settings)
            if criterion is not None:
                made = [replace(one, metadata={**one.metadata, "criterion": criterion}) for one in made]
            _count(counts, made, gone)
            for one in made:
                into.write(MAIN, pair_record(one))
            for nothing in gone:
                into.write(DROPPED, dropped_record(nothing))
        _leftovers(index, counts, into, limit is not None)
        if counts.unused["unknown-response-set"] == counts.judgments > 0:
            raise InputError(
                "no judgment belongs to any of the response sets",
                "give the responses that were judged, or their judgments",
            )
    return PairResult(
        counts,
        out,
        companions.get(DROPPED),
        tuple(map(pair_from, into.held.get(MAIN, ()))),
        tuple(into.held.get(DROPPED, ())),
        settings.weights,
    )


def _given(weights: Mapping[str, float] | str | Path | None) -> Mapping[str, float] | None:
    """The weights that the user gave; None where they come from agreement."""
    if weights is None:
        return EQUAL
    if isinstance(weights, Mapping):
        return checked_weights(weights, "weights")
    return None if str(weights) == AUTO else read_weights(Path(weights))


def _criterion(spoken: Set[str | None], wanted: str | None) -> str | None:
    """What the pairs are made by; raises UsageError where it is not said, or nobody speaks of it."""
    names = ", ".join(sorted(name for name in spoken if name is not None))
    if wanted is not None and wanted not in spoken:
        raise UsageError(
            f"no judgment speaks of the criterion {wanted!r}",
            f"criteria: {names}" if names else "leave out --criterion",
        )
    if wanted is None and None not in spoken:
        if len(spoken) > 1:
            raise UsageError(f"the judgments are of several criteria: {names}", "choose one with --criterion")
        return next(iter(spoken), None)
    return wanted


def _from_agreement(index: JudgmentIndex, criterion: str | None, *, gold: bool) -> Mapping[str, float]:
    found = AgreementWeights()
    for id in index.response_set_ids():
        own, right = (
            [one for placed in index.of(id, part) if (one := by_criterion(placed.judgment, criterion)) is not None]
            for part in PARTS
        )
        found.add(own, right if gold else None)
    return found.weights()


def _response_sets(
    files: Sequence[Source],
    index: JudgmentIndex,
    counts: PairCounts,
    into: Sinks,
    limit: int | None,
    meter: Meter,
) -> Iterator[ResponseSet]:
    """The response sets, each once; raises InputError where there is none."""
    first: Row[ResponseSet] | None = None
    rows = read_rows(files, "response_set", response_set_from, limit=limit, identify=lambda found: found.id)
    for row in meter.over(rows):
        first = first or row
        if row.noun is None:
            counts.invalid_lines += 1
            into.write(DROPPED, invalid_record(row))
        else:
            counts.response_sets += 1
            index.claim(row.noun.id)
            yield row.noun
    if not counts.response_sets:
        raise nothing_to_do(" ".join(file.name for file in files), "response set", first)


def _usable(
    response_set: ResponseSet, found: Sequence[Placed], counts: PairCounts, into: Sinks, criterion: str | None
) -> list[Judgment]:
    """The judgments of ``criterion`` that name only responses of the set; those of other responses are listed."""
    known = {response.id for response in response_set.responses}
    own: list[Judgment] = []
    for placed in found:
        judgment = placed.judgment
        counts.judgments += 1
        if unknown := [id for id in judgment.shown if id not in known]:
            counts.unused["unknown-response"] += 1
            detail = f"response set {response_set.id} has no response {unknown[0]}"
            into.write(DROPPED, _listed(placed, "unknown-response", detail))
        elif (said := by_criterion(judgment, criterion)) is None:
            counts.unused["other-criterion"] += 1
        else:
            own.append(said)
    single = distinct(own)
    counts.used += len(single)
    if repeated := len(own) - len(single):
        counts.unused["duplicate-judgment"] += repeated
    return single


def _leftovers(index: JudgmentIndex, counts: PairCounts, into: Sinks, limited: bool) -> None:
    """Judgments of response sets that were not there; with a limit they may stand beyond it, and are only counted."""
    for placed in index.unclaimed():
        counts.judgments += 1
        counts.unused["beyond-limit" if limited else "unknown-response-set"] += 1
        if not limited:
            detail = f"there is no response set {placed.judgment.response_set_id}"
            into.write(DROPPED, _listed(placed, "unknown-response-set", detail))


def _listed(placed: Placed, reason: str, detail: str) -> dict[str, Any]:
    return {**invalid_record(Row(placed.file, placed.line, placed.raw, None, detail)), "reason": reason}


def _count(counts: PairCounts, made: Sequence[PreferencePair], gone: Sequence[Dropped]) -> None:
    counts.pairs += len(made)
    counts.paired += bool(made)
    counts.dropped.update(nothing.reason for nothing in gone)


def path_names(paths: Paths) -> list[str]:
    return [str(paths)] if isinstance(paths, (str, Path)) else [str(path) for path in paths]
