"""``judge``: response sets in, preference pairs out, with every judgment and every drop accounted for."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, overload

from prefdata.endpoint.caller import CallSettings
from prefdata.endpoint.estimate import Estimate
from prefdata.endpoint.reporting import Reporter
from prefdata.endpoint.run import Inputs, Run, begin
from prefdata.endpoint.run import estimate as estimate_run
from prefdata.errors import InputError, UsageError
from prefdata.judging.calibration import Calibration, Calibrator
from prefdata.judging.judges import JudgeSettings, Orders, backends
from prefdata.judging.jury import Jury
from prefdata.judging.people import People, people
from prefdata.judging.tally import Constants, JudgeResult, Tally
from prefdata.pairing.pairs import Dropped, PairingSettings, Strategy, TiePolicy, dropped_record, pairs_of
from prefdata.records.codec import judgment_record, pair_from, pair_record, response_set_from, response_set_record
from prefdata.records.publishing import beside, check_outputs
from prefdata.records.rows import invalid_record, line, read_rows
from prefdata.records.sources import Source, sources
from prefdata.types import Judgment, PreferencePair, ResponseSet

Settings = TypeVar("Settings", JudgeSettings, PairingSettings, CallSettings)


class JudgeOptions(TypedDict, total=False):
    """How judges judge, judgments become pairs, and calls are made."""

    template: str | None
    """A built-in template, or the path of a YAML file; "pairwise", and "pairwise-logprob" for ``local:``."""
    orders: Orders
    """Both orders of every two responses ("both"), one that is drawn by ``seed`` ("one"), or one and more only where
    its verdict is close ("adaptive")."""
    samples: int
    """Answers to every question; 1."""
    criteria: str | Path | None
    """A file of criteria to judge by, for a template that shows them."""
    batch_size: int
    """Calls that a model in this process answers at once; 16."""
    strategy: Strategy
    """Which responses of a ranked set become pairs; "best-worst"."""
    min_margin: float
    tie: TiePolicy
    """What two responses without a winner become: nothing ("drop"), an explicit tie record ("keep"), or a pair with a
    probability, as then every pair has one ("soft")."""
    length_matched: float | None
    """The longer side of a pair has at most this many times the characters of the shorter."""
    calibrate: str | Path | None
    """Judgments of people (JSONL) that the judges are held against before any pair is made; they weigh the jury."""
    calibrate_only: bool
    """Judge only what people judged, and make no pair."""
    calibrated: Callable[[Calibration], None] | None
    """Called with the calibration before the rest is judged."""
    seed: int
    concurrency: int | None
    """Calls in flight at one endpoint; ``None`` adapts."""
    timeout: float
    """Seconds for one attempt at a call in all; 300."""
    retries: int
    retry_failed: bool
    """Make calls again that failed in an earlier run."""
    rpm: float | None
    """Calls a minute to one endpoint."""
    tpm: float | None
    """Tokens a minute at one endpoint."""
    batch: bool
    """Make calls by the Batch API: at about half the price, and within 24 hours."""
    max_cost: float | None
    """US dollars that all calls for this output together may cost, those of earlier runs included."""
    prices: str | Path | None
    """A YAML file of prices, ``MODEL: {input: 2.5, output: 10}`` in dollars for a million tokens."""
    reporter: Reporter | None


@overload
def judge(
    responses: str | Path,
    output: str | Path,
    *,
    judge: str | Sequence[str],
    judgments: str | Path | None = None,
    dropped: str | Path | None = None,
    reparse: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    **options: Unpack[JudgeOptions],
) -> JudgeResult: ...


@overload
def judge(
    responses: Iterable[ResponseSet],
    output: None = None,
    *,
    judge: str | Sequence[str],
    **options: Unpack[JudgeOptions],
) -> Iterator[PreferencePair]: ...


def judge(
    responses: str | Path | Iterable[ResponseSet],
    output: str | Path | None = None,
    *,
    judge: str | Sequence[str],
    judgments: str | Path | None = None,
    dropped: str | Path | None = None,
    reparse: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    **options: Unpack[JudgeOptions],
) -> JudgeResult | Iterator[PreferencePair]:
    """Judge every response set of a file and write pairs, judgments and drops; or, given response sets, yield pairs.

    ``judge`` is written ``llm:MODEL``, ``llm:NAME=MODEL@BASE_URL``, ``local:FOLDER`` (a causal language model in this
    process), ``reward:FOLDER`` (a reward model) or ``rule:NAME``; several are a jury. Finished calls
    are kept in ``OUTPUT.state/ledger.jsonl`` and never paid again; with ``reparse`` none is made. ``options`` are those
    of ``JudgeOptions``. Raises InputError, UsageError, OutputExistsError, and ServiceError where an endpoint cannot be
    used.
    """
    specs = [judge] if isinstance(judge, str) else list(judge)
    if unknown := set(options) - set(JudgeOptions.__annotations__):
        raise TypeError(f"judge() has no option {', '.join(sorted(unknown))}")
    if not isinstance(responses, str | Path):
        if output is not None:
            raise UsageError(
                "response sets in memory give pairs in memory", "name a file of response sets, or no output"
            )
        return _judged(responses, specs, options)
    if output is None:
        raise UsageError("no output is named", "name the file for the pairs")
    jury = _jury(specs, options)
    pairing, calls = _chosen(PairingSettings, options), _chosen(CallSettings, options)
    out = Path(output)
    companions = {
        "judgments": Path(judgments) if judgments else beside(out, "judgments"),
        "dropped": Path(dropped) if dropped else beside(out, "dropped"),
    }
    inputs = Inputs(str(responses), "response_set", response_set_from, lambda found: found.id, limit)
    overwrite = overwrite or reparse or calls.retry_failed
    if (by_people := options.get("calibrate")) is not None:  # what people said is not written anew by any run
        check_outputs(out, companions, sources([str(by_people)]), overwrite=True)
    with begin(inputs, out, companions, calls, options.get("reporter") or Reporter(), overwrite=overwrite) as run:
        calibration = None
        with people(options.get("calibrate")) as judged_by_people:
            if judged_by_people is not None:
                calibration = _calibrated(
                    run, _jury(specs, options, escalate=False), judged_by_people, options, reparse
                )
                pairing = dataclasses.replace(pairing, weights=calibration.weights)
                if (tell := options.get("calibrated")) is not None:
                    tell(calibration)
            if options.get("calibrate_only"):
                if calibration is None:
                    raise UsageError("there is nothing to calibrate by", "name people's judgments: --calibrate FILE")
                nothing = Tally()
                files = companions["judgments"], companions["dropped"]
                return JudgeResult(out, *files, nothing, run.session.counts, calibration)
            if reparse:
                _require_answers(run, jury)
            else:
                _ask(jury, run, judged_by_people)
        tally = _write(run, jury, pairing)
    return JudgeResult(out, companions["judgments"], companions["dropped"], tally, run.session.counts, calibration)


def estimate(
    responses: str | Path,
    output: str | Path,
    *,
    judge: str | Sequence[str],
    limit: int | None = None,
    **options: Unpack[JudgeOptions],
) -> Estimate:
    """The calls, tokens and dollars that ``judge`` with the same arguments would take; no call is made.

    Where a call depends on the answer to another (adaptive orders), the most that may be asked is counted. Raises what
    ``judge`` raises.
    """
    jury = _jury([judge] if isinstance(judge, str) else list(judge), options)
    _chosen(PairingSettings, options)

    inputs = Inputs(str(responses), "response_set", response_set_from, lambda found: found.id, limit)
    return estimate_run(inputs, Path(output), _chosen(CallSettings, options), jury.planned)


def _chosen(settings: type[Settings], options: JudgeOptions) -> Settings:
    """Those of ``options`` that ``settings`` has."""
    names = {field.name for field in dataclasses.fields(settings)}
    given: dict[str, Any] = {name: value for name, value in options.items() if name in names}
    return settings(**given)


def _jury(specs: Sequence[str], options: JudgeOptions, *, escalate: bool = True) -> Jury:
    settings = _chosen(JudgeSettings, options)
    return Jury(backends(specs, settings), escalate=escalate and settings.orders == "adaptive")


def _ask(jury: Jury, run: Run[ResponseSet], asked_before: People | None, *, those: bool = False) -> None:
    """Ask about sets that were not asked about before; about just these with ``those``."""

    def meant(found: ResponseSet) -> bool:
        return (asked_before is not None and asked_before.holds(found.id)) == those

    async def ask(found: ResponseSet) -> None:
        if meant(found):
            await jury.ask(found, run.session)

    if run.session.settings.batch:
        jury.check_batch()
    run.make_calls(ask, lambda found, needs: jury.wanted(found, needs, run.session) if meant(found) else ())


def _calibrated(
    run: Run[ResponseSet], jury: Jury, by_people: People, options: JudgeOptions, reparse: bool
) -> Calibration:
    """Judge the sets that people judged by every judge, and hold the judges against them."""
    if reparse:
        _require_answers(run, jury, by_people)
    else:
        _ask(jury, run, by_people, those=True)
    pairing, samples = _chosen(PairingSettings, options), options.get("samples", 1)
    calibrator = Calibrator(pairing, samples=samples, seed=options.get("seed", 0))
    for response_set in (row.noun for row in run.rows() if row.noun is not None and by_people.holds(row.noun.id)):
        by_people.keep(response_set, judged := jury.judgments(response_set, run.session))
        calibrator.add(response_set, judged, by_people.of(response_set))
    if not calibrator.couples:
        raise InputError(
            f"{by_people.name} names no winner between two responses of {run.name}",
            "its response_set_id and response ids must be those of the responses",
        )
    return calibrator.calibration(by_people.agreement(options.get("seed", 0)))


def _write(run: Run[ResponseSet], jury: Jury, pairing: PairingSettings) -> Tally:
    """The second phase: judgments from the ledger, pairs from the judgments, in the order of the input."""
    tally, constants = Tally(), Constants()
    jury.begin()
    with run.outputs() as files:
        for row in run.rows():
            if row.noun is None:
                tally.invalid += 1
                files["dropped"].write(line(invalid_record(row)))
                continue
            constants.add(row.noun)
            judged = jury.judgments(row.noun, run.session)
            pairs, drops = pairs_of(row.noun, judged, pairing)
            drops = [_explained(drop, judged) for drop in drops]
            files["judgments"].writelines(line(judgment_record(judgment)) for judgment in judged)
            files["main"].writelines(line(pair_record(pair)) for pair in pairs)
            files["dropped"].writelines(line(dropped_record(drop)) for drop in drops)
            tally.add(judged, len(pairs), [drop.reason for drop in drops])
    tally.spared = jury.spared
    tally.constant_model, tally.constant = constants.worst()
    return tally


def _explained(drop: Dropped, judgments: Sequence[Judgment]) -> Dropped:
    """A drop with the words that its judgments have for it, where it has none of its own."""
    if drop.detail is None and drop.reason in ("call-failed", "abstained"):
        said = sorted({judgment.rationale for judgment in judgments if judgment.ranking is None and judgment.rationale})
        return dataclasses.replace(drop, detail="; ".join(said) or None)
    return drop


def _require_answers(run: Run[ResponseSet], jury: Jury, by_people: People | None = None) -> None:
    """Raise UsageError where the ledger lacks an answer: what is written must never be less than what was asked."""
    ledger, wanted, missing = run.session.ledger, 0, 0
    for response_set in (row.noun for row in run.rows() if row.noun is not None):
        if by_people is not None and not by_people.holds(response_set.id):
            continue
        for call in jury.planned(response_set, lambda call: ledger.get(call.key)):
            wanted += 1
            missing += ledger.standing(call.key) is None
    if missing:
        raise UsageError(
            f"{missing} of {wanted} answers are not in {ledger.path}",
            "run without --reparse to make these calls (another judge, prompt or parameter makes another call)",
        )


def _judged(
    response_sets: Iterable[ResponseSet], specs: Sequence[str], options: JudgeOptions
) -> Iterator[PreferencePair]:
    """Pairs of response sets that are in no file; nothing is kept between runs."""
    with tempfile.TemporaryDirectory(prefix="prefdata-") as folder:
        responses, pairs = Path(folder) / "responses.jsonl", Path(folder) / "pairs.jsonl"
        with responses.open("wb") as file:
            file.writelines(line(response_set_record(each)) for each in response_sets)
        judge(responses, pairs, judge=specs, **options)
        for row in read_rows([Source(str(pairs))], "preference_pair", pair_from):
            assert row.noun is not None
            yield row.noun
