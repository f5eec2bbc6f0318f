"""``prefdata.validate``: pairs in, findings and a dataset out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import orjson

from prefdata.errors import InputError, OutputExistsError, UsageError
from prefdata.records.dataset import MANIFEST, SCHEMA_ID
from prefdata.records.output import LOCK, State, check_output, replace_folder
from prefdata.validation import assemble
from prefdata.validation.clashes import masks, settle
from prefdata.validation.findings import SEVERITIES, Tally
from prefdata.validation.inputs import Digests, open_inputs
from prefdata.validation.registry import all_rules, selected
from prefdata.validation.report.json import document
from prefdata.validation.result import Counts, FailOn, InputReceipt, RuleTotal, ValidationResult
from prefdata.validation.run import Gathered, Progress, form_of, gather
from prefdata.validation.work import Lines, Settings

Paths = str | Path | Sequence[str | Path]


def validate(
    pairs: Paths,
    *,
    output: str | Path | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    fail_on: FailOn = "error",
    max_bad: float | str | None = None,
    chat: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    examples: int = 20,
    jobs: int = 1,
    progress: Progress | None = None,
) -> ValidationResult:
    """Check preference pairs in JSONL files and write those that hold as a dataset.

    ``pairs`` names files, globs, URLs or ``-`` for stdin. With ``output`` a dataset folder appears there at the end,
    also where some lines were refused: they are in its quarantine.jsonl. Without it nothing is written.

    ``select`` and ``ignore`` take codes, names or prefixes of rules. ``ok`` is false where a line has a finding at or
    above ``fail_on``, unless their share of all lines that are not blank is within ``max_bad`` (0.005 or "0.5%"), and
    where no row is kept. ``chat`` turns pairs of strings into messages. ``limit`` takes the first lines only.
    ``examples`` findings of each rule are kept in detail. ``jobs`` processes share the work; the result does not
    depend on their number.

    Raises InputError where an input cannot be read or is no JSONL, UsageError for rules that do not exist or cannot be
    ignored, OutputExistsError where finished work stands at ``output``.
    """
    names = [str(pairs)] if isinstance(pairs, str | Path) else [str(name) for name in pairs]
    rules = selected(select, ignore)
    if fail_on not in get_args(FailOn):
        raise UsageError(f"{fail_on!r} is not a severity to fail on", f"one of {', '.join(get_args(FailOn))}")
    asked = {
        "chat": chat,
        "fail_on": fail_on,
        "ignore": sorted(ignore),
        "limit": limit,
        "max_bad": _share(max_bad),
        "select": sorted(select),
    }
    out = None if output is None else Path(output)
    with _workplace(out, names, overwrite) as place:
        inputs = open_inputs(names, place)
        digests = Digests(inputs)
        left, built = place / "parts", place / "dataset"
        left.mkdir()
        built.mkdir()
        settings = Settings("text", tuple(select), tuple(ignore), chat, examples)
        settings = replace(settings, form=form_of(inputs, settings, limit))
        found = gather(inputs, settings, left, write=out is not None, limit=limit, jobs=jobs, progress=progress)
        if all(receipt.lines == receipt.blank for receipt in found.receipts):
            raise InputError(
                f"{', '.join(names)}: there are no rows in it",
                "check the path, and the step that should have written it",
            )
        settled = settle(found.clashes, found.rows, found.tally)
        if out is not None:
            settled = assemble.write_refused(built, found.parts, left, settled)
        for item in settled:
            _move(item.outcome, found.receipts[item.input])
            if item.outcome != "kept":
                found.sources[item.source if item.source in found.sources else "…"] -= 1
        receipts = [
            InputReceipt(given.name, sha256, size, **asdict(lines))
            for given, (sha256, size), lines in zip(inputs, digests.result(), found.receipts, strict=True)
        ]
        result = _result(found.tally, receipts, asked)
        result = replace(result, form=settings.form if result.counts.kept else None, output=out)
        _assert_balanced(found, result)
        if out is None:
            return result
        entries = assemble.write_split(built, found.parts, left, masks(found.clashes, found.rows, found.parts))
        assemble.assert_written(built, entries, result.counts)
        result = replace(result, statistics=assemble.statistics(built, entries, result.form, found.sources))
        report = orjson.dumps(document(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (built / assemble.REPORT).write_bytes(report)
        manifest = assemble.seal(
            built,
            {
                "form": result.form,
                "inputs": [asdict(receipt) for receipt in receipts],
                "counts": asdict(result.counts),
                "splits": {assemble.SPLIT: {"rows": result.counts.kept, "shards": entries}},
                "rules": [rule.code for rule in rules],
                "settings": asked,
                "statistics": result.statistics,
            },
        )
        replace_folder(built, out)
        return replace(result, manifest=manifest)


@contextmanager
def _workplace(out: Path | None, names: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """An empty folder to work in: the state folder of ``out``, which no other process holds, or one that is thrown
    away.

    Work that a killed run left is not continued but done again: it is cheap, and then the result cannot depend on it.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="prefdata-") as name:
            yield Path(name)
        return
    check_output(out, overwrite)
    if out.exists():
        _check_replaceable(out, names)
    with State(out, {}, restart=True) as state:
        try:
            for path in state.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
            yield state.folder
        finally:
            state.finish()


def _check_replaceable(out: Path, names: Sequence[str]) -> None:
    """Raise where replacing ``out`` would destroy something else than a dataset that can be made again."""
    try:
        ours = orjson.loads((out / MANIFEST).read_bytes())["schema"] == SCHEMA_ID
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        ours = out.is_dir() and not any(out.iterdir())
    if not ours:
        raise OutputExistsError(f"{out} is no dataset of prefdata, and is not replaced", "choose another -o")
    for name in names:
        if "://" not in name and Path(name).exists() and out.resolve() in Path(name).resolve().parents:
            raise UsageError(
                f"{name} lies inside {out}, which would be replaced",
                "choose another -o; to add mended rows: prefdata validate PAIRS.jsonl QUARANTINE.jsonl -o NEW",
            )


def _share(text: float | str | None) -> float | None:
    """A share of lines from a number or a percentage.

    >>> _share("0.5%"), _share("0.02"), _share(None)
    (0.005, 0.02, None)
    """
    if text is None:
        return None
    try:
        whole = str(text).strip()
        share = float(whole.removesuffix("%")) / (100 if whole.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"max-bad is a share of lines, not {text!r}", "for example 0.5% or 0.005")
    return share


def _move(outcome: str, receipt: Lines) -> None:
    """A row that counted as kept is refused or dropped after all."""
    if outcome != "kept":
        receipt.kept -= 1
        setattr(receipt, outcome, getattr(receipt, outcome) + 1)


def _result(tally: Tally, receipts: Sequence[InputReceipt], asked: Mapping[str, Any]) -> ValidationResult:
    sums = {
        name: sum(getattr(receipt, name) for receipt in receipts)
        for name in ("lines", "kept", "quarantined", "dropped", "blank")
    }
    counts = Counts(
        **sums,
        quarantined_by_code=dict(sorted(tally.quarantined.items())),
        dropped_by_code=dict(sorted(tally.dropped.items())),
    )
    known = {rule.code: rule for rule in all_rules()}
    totals = tuple(
        RuleTotal(rule.code, rule.name, rule.severity, rule.action, tally.findings[code], tally.rows[code])
        for code, rule in known.items()
        if tally.findings[code]
    )
    order = {receipt.path: index for index, receipt in enumerate(receipts)}
    shown = [example for examples in tally.examples.values() for example in examples]
    shown.sort(
        key=lambda e: (order.get(e.finding.file or "", len(order)), e.finding.file, e.finding.line, e.finding.code)
    )
    fail_on, allowed = asked["fail_on"], asked["max_bad"] or 0.0
    graver = SEVERITIES[SEVERITIES.index(fail_on) :] if fail_on != "never" else ()
    bad = sum(tally.worst[severity] for severity in graver)
    rows = counts.lines - counts.blank
    why = None
    if not counts.kept:
        why = "no row is kept"
    elif bad > allowed * rows:
        plural = "lines have" if bad != 1 else "line has"
        why = f"{bad:,} {plural} findings of severity {fail_on}{'' if fail_on == 'error' else ' or worse'}"
        if asked["max_bad"] is not None:
            why += f": {bad / rows:.2%} of {rows:,} rows, more than the {allowed:.2%} allowed"
    return ValidationResult(
        ok=why is None,
        form=None,
        counts=counts,
        inputs=tuple(receipts),
        totals=totals,
        examples=tuple(shown),
        bad=bad,
        why=why,
    )


def _assert_balanced(found: Gathered, result: ValidationResult) -> None:
    """The receipt: every line is kept, quarantined, dropped or blank, for each input and by code."""
    counts = result.counts
    if not all(lines.balanced for lines in found.receipts):
        raise AssertionError(f"the receipt does not balance: {found.receipts}")
    if sum(counts.quarantined_by_code.values()) != counts.quarantined:
        raise AssertionError("quarantined rows do not add up by code")
    if sum(counts.dropped_by_code.values()) != counts.dropped:
        raise AssertionError("dropped rows do not add up by code")
    if len(found.rows.keys) != counts.kept + sum(clash.outcome != "kept" for clash in found.clashes):
        raise AssertionError("rows kept and keys do not add up")
