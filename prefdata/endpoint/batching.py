"""Calls by the Batch API: in rounds of all that can be asked now, each paid once, whatever is killed in between.

A round writes the requests that the ledger lacks into files, one batch each, and enters what comes back. What waits for
an answer of this round (a verdict for its reference, the samples that one call did not give), what expired and what may
succeed when it is tried again is asked in the next round.

``batches.json`` beside the ledger lists the batches that are under way. It is written before a batch is made and after,
so that a run which is begun again takes up the same batches; calls in a batch are not asked for anew before it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from prefdata.endpoint.budget import Budget, most_cost
from prefdata.endpoint.caller import Caller
from prefdata.endpoint.calls import Call
from prefdata.endpoint.endpoint import Endpoint
from prefdata.endpoint.failures import HOPELESS, CallError
from prefdata.endpoint.ledger import Ledger
from prefdata.endpoint.reporting import CallCounts, Reporter
from prefdata.endpoint.together import all_at_once
from prefdata.errors import InputError, ServiceError
from prefdata.records.ids import content_id, file_sha256
from prefdata.records.output import write_json
from prefdata.records.spilling import SpillingMap

if TYPE_CHECKING:
    from prefdata.endpoint.batch import BatchService

STATE = "batches.json"
MOST_CALLS, MOST_BYTES = 50_000, 190_000_000
"""What OpenAI takes in one batch is 50,000 requests and 200 MB."""
FIRST_POLL, LONGEST_POLL = 0.5, 60.0
IDLE_ROUNDS = 5
"""Rounds in a row that brought nothing (all of their batches expired) after which the run ends."""


@dataclass(slots=True)
class Pending:
    """One batch that is under way, or about to be."""

    token: str
    endpoint: dict[str, str]
    file: str
    calls: int
    began: str
    input_file: str | None = None
    making: bool = False
    """Its making was begun: where ``batch`` is missing, it may be there nevertheless."""
    batch: str | None = None


class Needs:
    """Which calls are still to be made in this run."""

    def __init__(self, ledger: Ledger, *, retry_failed: bool) -> None:
        self._ledger, self._retry_failed = ledger, retry_failed
        self._failed_now: set[str] = set()
        self.reused: Callable[[Call], None] | None = None
        """Told of every call that the ledger answers."""

    def __call__(self, call: Call) -> bool:
        standing = self._ledger.standing(call.key)
        if standing == "answered" and self.reused is not None:
            self.reused(call)
        if standing == "failed":
            return self._retry_failed and call.key not in self._failed_now
        return standing is None and call.key not in self._failed_now

    def failed(self, key: str) -> None:
        """A call failed for good in this run."""
        self._failed_now.add(key)


class Batching:
    """All batches of one run."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        caller: Callable[[Endpoint], Caller],
        budget: Budget,
        counts: CallCounts,
        reporter: Reporter,
        *,
        needs: Needs,
        timeout: float,
        retries: int,
        backoff: float,
    ) -> None:
        self._folder, self._ledger, self._caller, self._budget = folder, ledger, caller, budget
        self._counts, self._reporter, self._needs = counts, reporter, needs
        self._timeout, self._retries, self._backoff = timeout, retries, backoff
        self._pending = under_way(folder)
        self._errors: dict[str, tuple[CallError, int, str]] = {}
        """The latest failure of a call that is still needed, how often it failed, and the hash of what was sent."""
        self._brought = SpillingMap()
        """Answers of this run."""
        self._entered, self._told = 0, False

    async def run(self, find: Callable[[], Iterable[Call]]) -> None:
        """Make all calls that ``find`` wants, again and again until it wants none.

        Raises ServiceError where an endpoint cannot be used or the money does not reach.
        """
        idle = 0
        while True:
            before = self._entered
            await all_at_once(self._finish(pending) for pending in list(self._pending))
            idle = 0 if self._entered > before else idle + 1
            if idle > IDLE_ROUNDS:
                raise ServiceError("batches expire again and again without an answer", "leave out --batch")
            self._needs.reused = None if self._told else self._reused
            self._told = True
            if not self._write(find()):
                return

    def _reused(self, call: Call) -> None:
        """In the first round: what the ledger answers and no batch of this run brought."""
        if bytes.fromhex(call.key) not in self._brought:
            self._caller(call.endpoint).reused(call)

    def _write(self, calls: Iterable[Call]) -> bool:
        """The files of the next round, and their entries in the state; ``False`` where nothing is wanted."""
        files: dict[Endpoint, _Requests] = {}
        seen, reserved = SpillingMap(), 0.0
        made: list[Pending] = []
        for call in calls:
            key = bytes.fromhex(call.key)
            if key in seen:
                continue
            seen[key] = 1
            caller = self._caller(call.endpoint)
            if (body := self._body(call, caller)) is None:
                continue
            wanted = most_cost(caller.price, body, batch=True)
            if not self._budget.covers(reserved + wanted):
                if not files and not made:
                    raise self._budget.stop(wanted)
                break
            reserved += wanted
            if (file := files.get(call.endpoint)) is None:
                file = files[call.endpoint] = _Requests(self._folder, len(made) + len(files))
            file.add(call.key, body)
            if file.full:
                made.append(files.pop(call.endpoint).pending(call.endpoint))
        made += [file.pending(endpoint) for endpoint, file in files.items()]
        self._pending += made
        self._save()
        return bool(made)

    def _body(self, call: Call, caller: Caller) -> dict[str, Any] | None:
        """What is sent for ``call``; ``None`` where it has failed for good, which is entered."""
        if (known := self._errors.get(call.key)) is not None:
            error, times, sent = known
            body, again = caller.sent(call.body), error.transient and times <= self._retries
            if error.reason == "bad-request":  # what another call's refusal has taught may mend this one too
                again = content_id(body) != sent or caller.adapt(call, body, error)
            if not again:
                del self._errors[call.key]
                self._needs.failed(call.key)
                caller.failed(caller.record(call, body, _now(), times, failure=error.record), error, alone=True)
                self._entered += 1
                return None
            self._counts.retried += 1
        return caller.sent(call.body)

    async def _finish(self, pending: Pending) -> None:
        """Make the batch, if that is not done, wait for it, and enter what it brought."""
        from prefdata.endpoint.batch import OVER, BatchService

        endpoint = Endpoint(**pending.endpoint)
        service = BatchService(endpoint, self._timeout, self._backoff)
        try:
            batch = await self._made(service, pending)
            wait = FIRST_POLL
            while (found := await service.look(batch)).status not in OVER:
                if found.status == "failed":
                    self._forget(pending)
                    problems = [str(each.message) for each in (found.errors.data or [])] if found.errors else []
                    raise ServiceError(
                        f"{endpoint} refuses the batch {batch} ({'; '.join(problems[:3]) or 'no reason given'})",
                        "mend that and run the same command again, or leave out --batch",
                    )
                counts = found.request_counts
                done = f", {counts.completed + counts.failed} of {counts.total} done" if counts else ""
                self._reporter.note(f"batch {batch}: {found.status}{done}")
                await asyncio.sleep(wait)
                wait = min(1.5 * wait, LONGEST_POLL)
            hopeless: CallError | None = None
            for file in (found.output_file_id, found.error_file_id):
                if file:
                    path = self._folder / f"{pending.file}.{'out' if file == found.output_file_id else 'err'}"
                    await service.download(file, path)
                    hopeless = self._enter(path, pending, endpoint) or hopeless
                    path.unlink()
            self._reporter.note(f"batch {batch}: {found.status}")
            self._forget(pending)
            if hopeless is not None:
                raise self._caller(endpoint).end(hopeless)
            if found.status == "cancelled":
                raise ServiceError(
                    f"the batch {batch} was cancelled", "run the same command again: what it had done is kept"
                )
        finally:
            await service.close()

    async def _made(self, service: BatchService, pending: Pending) -> str:
        from prefdata.endpoint.batch import RefusedError

        if pending.batch is None:
            if pending.input_file is None:
                pending.input_file = await service.upload(self._folder / pending.file)
                self._save()
            if pending.making:
                pending.batch = await service.find(pending.token)
            else:
                pending.making = True
                self._save()
            try:
                pending.batch = pending.batch or await service.make(pending.input_file, pending.token)
            except RefusedError:
                pending.making = False
                raise
            finally:
                self._save()
            self._reporter.say(
                f"batch {pending.batch} of {pending.calls} calls is at {service.endpoint}; this command waits for it, "
                "and may be stopped and run again"
            )
        else:
            self._reporter.say(f"batch {pending.batch} of {pending.calls} calls was made by an earlier run")
        return pending.batch

    def _enter(self, path: Path, pending: Pending, endpoint: Endpoint) -> CallError | None:
        """Bring the results in ``path`` into the ledger, or keep their failures for the next round.

        Returns a failure that every other call would share.
        """
        from prefdata.endpoint.batch import lines_of

        hopeless: CallError | None = None
        caller, requests = self._caller(endpoint), _offsets(self._folder / pending.file)
        with (self._folder / pending.file).open("rb") as file:
            for line in lines_of(path):
                offset = requests.get(_bytes(line.key))
                if offset is None or self._ledger.standing(line.key) == "answered":
                    continue
                file.seek(offset)
                body = orjson.loads(file.readline())["body"]
                known = self._errors.get(line.key)
                times = 1 if known is None else known[1] + 1
                if line.response is not None:
                    record = {
                        "key": line.key,
                        "endpoint": endpoint.name,
                        "base_url": endpoint.base_url,
                        "model": endpoint.model,
                        "request": body,
                        "response": line.response,
                        "usage": line.response.get("usage"),
                        "started_at": pending.began,
                        "finished_at": _now(),
                        "attempts": times,
                        "batch": pending.batch,
                    }
                    self._errors.pop(line.key, None)
                    caller.pay(record)
                    caller.answered(record)
                    self._brought[_bytes(line.key)] = 1
                    self._entered += 1
                elif line.failure is not None:
                    if line.failure.reason in HOPELESS:
                        hopeless = line.failure
                    self._errors[line.key] = line.failure, times, content_id(body)
                    self._entered += 1
        return hopeless

    def _forget(self, pending: Pending) -> None:
        self._pending.remove(pending)
        self._save()
        (self._folder / pending.file).unlink(missing_ok=True)

    def _save(self) -> None:
        path = self._folder / STATE
        if self._pending:
            write_json(path, [asdict(pending) for pending in self._pending])
        else:
            path.unlink(missing_ok=True)


def under_way(folder: Path) -> list[Pending]:
    """The batches that a state folder lists and that may be there; of others the calls are simply wanted anew.

    Raises InputError where the list cannot be read: what it lists is paid for.
    """
    try:
        listed = [Pending(**each) for each in orjson.loads((folder / STATE).read_bytes())]
    except FileNotFoundError:
        return []
    except (orjson.JSONDecodeError, TypeError):
        raise InputError(
            f"{folder / STATE}, which lists the batches under way, is damaged",
            "mend it, or delete it to pay for the calls in these batches again",
        ) from None
    return [each for each in listed if each.making or each.batch is not None]


class _Requests:
    """The input file of one batch, while it is written."""

    def __init__(self, folder: Path, place: int) -> None:
        self._folder = folder
        self._path = folder / f"batch-{place}.part"
        self._file: IO[bytes] = self._path.open("wb")
        self._calls = self._bytes = 0

    @property
    def full(self) -> bool:
        return self._calls >= MOST_CALLS or self._bytes >= MOST_BYTES

    def add(self, key: str, body: Mapping[str, Any]) -> None:
        from prefdata.endpoint.batch import URL

        line = {"custom_id": key, "method": "POST", "url": URL, "body": body}
        self._bytes += self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        self._calls += 1

    def pending(self, endpoint: Endpoint) -> Pending:
        """Finish the file; the token tells this batch from every other, one with the same requests included."""
        self._file.close()
        began = _now()
        token = f"{file_sha256(self._path)[:32]}-{began}"
        name = f"batch-{token[:32]}-{began.replace(':', '')}.jsonl"
        self._path.replace(self._folder / name)
        where = {name: getattr(endpoint, name) for name in ("name", "model", "base_url", "key_variable")}
        return Pending(token, where, name, self._calls, began)


def _offsets(path: Path) -> SpillingMap:
    """Where in a file of requests each one stands."""
    found, offset = SpillingMap(), 0
    with path.open("rb") as file:
        for line in file:
            found[_bytes(orjson.loads(line)["custom_id"])] = offset
            offset += len(line)
    return found


def _bytes(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        return b""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
