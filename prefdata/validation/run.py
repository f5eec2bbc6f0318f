"""All parts of the input, one after the other or in processes, and what they come to together."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from prefdata.errors import PrefdataError
from prefdata.records.arrow import Form
from prefdata.validation.check import Checker
from prefdata.validation.clashes import Clashes, Rows, find_clashes
from prefdata.validation.findings import Tally
from prefdata.validation.inputs import Input, parts_of
from prefdata.validation.memory import keep_freed_memory
from prefdata.validation.sampling import Sample, bits_for
from prefdata.validation.tokens import TokenCounts
from prefdata.validation.work import Done, Lines, Part, Segment, Settings, read, run_part

MOST_JOBS = 8
"""Processes started unasked: each needs some 150 MB."""
PARTS_A_JOB = 2
"""Parts from which starting a process pays: that takes as long as half a part."""
Progress: TypeAlias = Callable[[int, int | None], None]
"""Told the bytes of (decompressed) input that are checked, and how many there are where that is known."""


@dataclass(slots=True)
class Gathered:
    """What all parts came to, and the rows that clash with others."""

    parts: list[Done]
    tally: Tally
    rows: Rows
    clashes: Clashes
    gone: npt.NDArray[np.int64]
    """Places of the rows that clash and do not stay, among all rows, ascending."""
    receipts: list[Lines] = field(default_factory=list)
    """One for each input; clashing rows count as kept until they are settled."""
    sources: Counter[str] = field(default_factory=Counter)
    sample: Sample = field(default_factory=lambda: Sample([]))
    tokens: TokenCounts = field(default_factory=TokenCounts)


def form_of(inputs: Sequence[Input], settings: Settings, limit: int | None) -> Form:
    """The form that the dataset will have: that of the first row that no row rule refuses.

    Where there is none, the form of the first row that holds to the schema, so that it is told what else is wrong.
    """
    if settings.chat:
        return "chat"
    checker = Checker(settings.rules, "text")
    left = limit
    for index, given in enumerate(inputs):
        for batch in read(Segment(index, given.name, given.source.name), 16):
            if left is not None:
                del batch.raws[left:]
                left -= len(batch.raws)
            if (form := checker.form_of(batch)) is not None:
                return form
            if left == 0:
                return checker.first_form or "text"
    return checker.first_form or "text"


def gather(
    inputs: Sequence[Input],
    settings: Settings,
    folder: Path,
    *,
    write: bool,
    limit: int | None = None,
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Gathered:
    """Check every line of ``inputs``; what the parts leave lies in ``folder``."""
    sizes = [given.size() for given in inputs]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    read = 0

    def report(count: int) -> None:
        nonlocal read
        read += count
        if progress is not None:
            progress(read, total)

    plan = list(parts_of(inputs))
    jobs = jobs_for(len(plan)) if jobs is None else jobs
    found = _Together(inputs, settings, bits_for(total) if limit is None else 0)
    if jobs > 1 and limit is None and len(plan) > 1:
        _in_processes(found, _numbered(plan), settings, folder, write, jobs, report)
    else:
        _one_by_one(found, plan, settings, folder, write, limit, report)
    rows = Rows(found.parts, inputs, folder)
    clashes = find_clashes(rows, settings.rules, settings.near)
    return Gathered(
        found.parts,
        found.tally,
        rows,
        clashes,
        clashes.gone(),
        found.receipts,
        found.sources,
        found.sample,
        tokens=found.tokens,
    )


class _Together:
    """What the parts so far came to, one after the other in their order."""

    def __init__(self, inputs: Sequence[Input], settings: Settings, bits: int) -> None:
        self.parts: list[Done] = []
        self.tally = Tally(settings.examples)
        self.receipts = [Lines() for _ in inputs]
        self.sources = Counter[str]()
        self.sample = Sample([], bits)
        self.tokens = TokenCounts()
        self._rows = 0

    def add(self, done: Done) -> None:
        """Add the next part; what is added up here is not kept there."""
        self.tally.merge(done.tally)
        self.sources.update(done.sources)
        self.tokens.merge(done.tokens)
        self.sample.merge(done.sample, self._rows)
        for index, lines in done.lines.items():
            self.receipts[index].add(lines)
        self._rows += done.kept
        self.parts.append(replace(done, tally=Tally(0), sample=Sample([]), sources=Counter()))

    def ahead(self, part: Part) -> Part:
        """A part that need not look for what the parts so far have enough of."""
        shown = {code: len(examples) for code, examples in self.tally.examples.items()}
        return replace(part, shown=shown, bits=self.sample.bits)


def jobs_for(parts: int) -> int:
    """Processes that are worth starting for so many parts: one for each processor that this process may use."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, MOST_JOBS, parts // PARTS_A_JOB))


def _one_by_one(
    found: _Together,
    plan: Sequence[Part],
    settings: Settings,
    folder: Path,
    write: bool,
    limit: int | None,
    report: Callable[[int], None],
) -> None:
    lines: Counter[int] = Counter()
    for part in plan:
        numbered = tuple(replace(segment, line=1 + lines[segment.input]) for segment in part.segments)
        left = None if limit is None else limit - lines.total()
        if left == 0:
            return
        # A part holds several segments only where each is a whole small input, or where it is the first of one.
        part = found.ahead(replace(part, segments=numbered, limit=left))
        done = run_part(part, settings, folder, write=write, progress=report)
        for index, receipt in done.lines.items():
            lines[index] += receipt.lines
        found.add(done)


def _numbered(plan: Sequence[Part]) -> Iterator[Part]:
    """Parts whose segments know the number of their first line, counted ahead of the checks."""
    lines: Counter[int] = Counter()
    for part in plan:
        segments = []
        for segment in part.segments:
            segments.append(replace(segment, line=1 + lines[segment.input]))
            if segment.end is not None:
                lines[segment.input] += _count_lines(segment.path, segment.start, segment.end)
        yield replace(part, segments=tuple(segments))


def _count_lines(path: str, start: int, end: int) -> int:
    lines = 0
    with Path(path).open("rb") as file:
        file.seek(start)
        while start < end and (chunk := file.read(min(1 << 20, end - start))):
            lines += chunk.count(b"\n")
            start += len(chunk)
    return lines


def _in_processes(
    found: _Together,
    plan: Iterator[Part],
    settings: Settings,
    folder: Path,
    write: bool,
    jobs: int,
    report: Callable[[int], None],
) -> None:
    """The parts in order, at most two of them waiting for each process."""
    waiting: deque[tuple[Part, Future[Done]]] = deque()
    # Processes are forked from one that has imported what they need and has no threads, which fork would break; where
    # the system cannot fork, each is started anew.
    able = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if able else "spawn")
    if able:
        context.set_forkserver_preload(["prefdata.validation.check", "prefdata.validation.work"])
    with ProcessPoolExecutor(jobs, context, keep_freed_memory) as pool:
        try:
            for part in plan:
                waiting.append((part, pool.submit(_run_silently, found.ahead(part), settings, folder, write)))
                if len(waiting) > 2 * jobs:
                    _take_next(waiting, found, report)
            while waiting:
                _take_next(waiting, found, report)
        except BrokenProcessPool:
            raise PrefdataError(
                "a process that shared the work was killed, most likely for want of memory",
                "try fewer: --jobs 1 needs the least",
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _take_next(waiting: deque[tuple[Part, Future[Done]]], found: _Together, report: Callable[[int], None]) -> None:
    part, future = waiting.popleft()
    found.add(future.result())
    report(sum(segment.end - segment.start for segment in part.segments if segment.end is not None))


def _run_silently(part: Part, settings: Settings, folder: Path, write: bool) -> Done:
    return run_part(part, settings, folder, write=write, progress=lambda _: None)
