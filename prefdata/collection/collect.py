"""``collect``: prompts in, response sets out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefdata.collection.prompts import REPEATED, PromptReader
from prefdata.collection.sampling import Sampler, Sampling
from prefdata.endpoint.caller import CallSettings
from prefdata.endpoint.endpoint import Endpoint, parse_endpoint
from prefdata.endpoint.estimate import Estimate
from prefdata.endpoint.reporting import CallCounts, Reporter
from prefdata.endpoint.run import Inputs, begin
from prefdata.endpoint.run import estimate as estimate_run
from prefdata.errors import UsageError
from prefdata.reading.rawrow import Part
from prefdata.records.codec import prompt_from, response_set_record
from prefdata.records.publishing import beside
from prefdata.records.rows import invalid_record, line
from prefdata.types import Prompt


@dataclass(frozen=True, slots=True)
class CollectResult:
    """What a run of ``collect`` came to."""

    output: Path
    dropped: Path
    prompts: int
    invalid: int
    """Lines that hold no prompt; each is in ``dropped``."""
    repeated: int
    """Rows with a prompt that stood in an earlier row and has no id of its own; in ``dropped`` too, and no fault."""
    responses: int
    cut: int
    """Responses that end where the token limit was reached (finish_reason "length")."""
    failures: dict[str, int]
    """Samples that gave no response, by reason."""
    calls: CallCounts

    @property
    def ok(self) -> bool:
        """Whether every line was a prompt and every call was answered."""
        return not self.invalid and not self.failures.get("call-failed")


def collect(
    prompts: str | Path,
    output: str | Path,
    *,
    model: str | Sequence[str],
    column: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    n: int = 4,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    system: str | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    timeout: float = 300.0,
    retries: int = 5,
    retry_failed: bool = False,
    batch: bool = False,
    rpm: float | None = None,
    tpm: float | None = None,
    max_cost: float | None = None,
    prices: str | Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> CollectResult:
    """Sample every prompt ``n`` times from every model; write one response set a prompt, in the order of the prompts.

    ``prompts`` is JSONL, JSON, CSV, TSV, Parquet or Arrow with records of schema ``prompt``, or, with ``column``, with
    a prompt (text or a list of messages) in one column; or a data set folder or ``hf:owner/name``, whose column is
    "prompt" unless named and whose part ``split`` and ``revision`` choose.
    ``model`` is written MODEL, MODEL@BASE_URL or NAME=MODEL@BASE_URL. Parameters that are ``None`` are left to the
    server; ``concurrency`` ``None`` adapts; ``timeout`` is in seconds, for one attempt in all; ``batch`` makes the
    calls by the Batch API;
    ``rpm`` and ``tpm`` are calls and tokens a minute at one endpoint. Finished calls are kept
    in ``OUTPUT.state/ledger.jsonl`` and never paid again; all of them together cost at most ``max_cost`` US dollars by
    the shipped prices or those of the YAML file ``prices`` (``MODEL: {input: …, output: …}``, for a million tokens).
    Raises InputError, UsageError, OutputExistsError, and
    ServiceError where an endpoint cannot be used.
    """
    settings = CallSettings(
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        batch=batch,
        rpm=rpm,
        tpm=tpm,
        max_cost=max_cost,
        prices=prices,
    )
    sampling = Sampling(n, temperature, max_tokens, top_p, system, seed)
    sampler = Sampler(_endpoints([model] if isinstance(model, str) else model), sampling)
    reporter = reporter or Reporter()
    inputs = _inputs(str(prompts), column, Part(split, revision), limit)
    out = Path(output)
    companions = {"dropped": beside(out, "dropped")}
    tally: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    with begin(inputs, out, companions, settings, reporter, overwrite=overwrite or settings.retry_failed) as run:
        run.make_calls(
            lambda prompt: sampler.sample(prompt, run.session),
            lambda prompt, needs: sampler.wanted(prompt, needs, run.session),
        )
        with run.outputs() as files:
            for row in run.rows():
                if row.noun is None:
                    tally["repeated" if row.reason == REPEATED else "invalid"] += 1
                    files["dropped"].write(line(invalid_record(row)))
                    continue
                response_set = sampler.assemble(row.noun, run.session.ledger)
                tally["prompts"] += 1
                tally["responses"] += len(response_set.responses)
                tally["cut"] += sum(response.finish_reason == "length" for response in response_set.responses)
                failures.update(failure["reason"] for failure in response_set.failures)
                files["main"].write(line(response_set_record(response_set)))
    return CollectResult(
        output=out,
        dropped=companions["dropped"],
        prompts=tally["prompts"],
        invalid=tally["invalid"],
        repeated=tally["repeated"],
        responses=tally["responses"],
        cut=tally["cut"],
        failures=dict(failures.most_common()),
        calls=run.session.counts,
    )


def estimate(
    prompts: str | Path,
    output: str | Path,
    *,
    model: str | Sequence[str],
    column: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    n: int = 4,
    max_tokens: int | None = None,
    system: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    retry_failed: bool = False,
    batch: bool = False,
    prices: str | Path | None = None,
    limit: int | None = None,
) -> Estimate:
    """The calls, tokens and dollars that ``collect`` with the same arguments would take; no call is made."""
    sampling = Sampling(n, temperature, max_tokens, top_p, system, seed)
    sampler = Sampler(_endpoints([model] if isinstance(model, str) else model), sampling)
    inputs = _inputs(str(prompts), column, Part(split, revision), limit)
    settings = CallSettings(retry_failed=retry_failed, batch=batch, prices=prices)
    return estimate_run(inputs, Path(output), settings, sampler.planned)


def _inputs(name: str, column: str | None, part: Part, limit: int | None) -> Inputs[Prompt]:
    reader = PromptReader(name, column, part, limit)
    return Inputs(name, "prompt", prompt_from, lambda prompt: prompt.id, limit, reader.rows)


def _endpoints(specs: Sequence[str]) -> list[Endpoint]:
    endpoints = [parse_endpoint(spec) for spec in specs]
    if not endpoints:
        raise UsageError("no model is named", "for example --model small@http://localhost:8000/v1")
    if len({endpoint.name for endpoint in endpoints}) < len(endpoints):
        raise UsageError("two models have the same name", "name them: --model one=MODEL@URL --model two=MODEL@URL")
    return endpoints
