"""``prefdata.validate``: pairs in, findings and a dataset out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import orjson

from prefdata.errors import InputError, UsageError
from prefdata.records.ids import file_sha256
from prefdata.records.output import atomic_file, replace_folder
from prefdata.records.sources import sources
from prefdata.types import Severity
from prefdata.validation import assemble
from prefdata.validation.audit import audited
from prefdata.validation.baseline import accept, read_baseline
from prefdata.validation.clashes import masks, settle
from prefdata.validation.fixing import fix_inputs
from prefdata.validation.inputs import Digests, open_inputs
from prefdata.validation.leakage import eval_prompts
from prefdata.validation.registry import selected
from prefdata.validation.report.html import render as html_page
from prefdata.validation.report.json import document
from prefdata.validation.result import FailOn, Fixes, InputReceipt, ValidationResult
from prefdata.validation.run import Gathered, Progress, form_of, gather
from prefdata.validation.splits import by_shard, sides_of, splits_of
from prefdata.validation.tokens import TRAINERS, TokenSettings, Trainer, tokenizer_of
from prefdata.validation.verdict import assert_balanced, result_of, share_of
from prefdata.validation.work import NO_SOURCE, OTHER_SOURCES, Settings
from prefdata.validation.workplace import DATASET, PARTS, check_side_file, workplace

Paths = str | Path | Sequence[str | Path]


def validate(
    pairs: Paths,
    *,
    output: str | Path | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    severity: Mapping[str, Severity] | None = None,
    baseline: str | Path | None = None,
    write_baseline: str | Path | None = None,
    fail_on: FailOn = "error",
    max_bad: float | str | None = None,
    fix: Fixes | None = None,
    fixed: str | Path | None = None,
    eval_fraction: float = 0.0,
    against: str | Path | Sequence[str | Path] = (),
    near_duplicates: float | None = None,
    tokenizer: str | Path | None = None,
    max_length: int | None = None,
    trainer: Trainer = "prefdata",
    chat_template: str | Path | None = None,
    chat: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    examples: int = 20,
    jobs: int | None = 1,
    report: str | Path | None = None,
    parquet: bool = False,
    progress: Progress | None = None,
) -> ValidationResult:
    """Check preference pairs in JSONL files and write those that hold as a dataset.

    ``pairs`` names files, globs, URLs or ``-`` for stdin. With ``output`` a dataset folder appears there at the end,
    also where some lines were refused: they are in its quarantine.jsonl. Without it nothing is written.

    ``select`` and ``ignore`` take codes, names or prefixes of rules. ``ok`` is false where a line has a finding at or
    above ``fail_on``, unless their share of all lines that are not blank is within ``max_bad`` (0.005 or "0.5%"), and
    where no row is kept. ``severity`` gives rules (by code, name or prefix) another severity in this run: an error
    refuses its rows, a warning or an info keeps them.

    ``baseline`` is a file of findings that are known, by their code and the content of their rows: they are counted,
    but neither shown nor held against the run. ``write_baseline`` writes all findings of this run as such a file, and
    none of them is then held against it.

    ``chat`` turns pairs of strings into messages. ``limit`` takes the first lines only.
    ``fix`` mends rows in their files before they are validated: "safe" where a row surely means the same afterwards,
    "unsafe" also where it may not. Lines that need no fix stay byte for byte as they were. ``fixed`` takes the mended
    copy of one input instead, which is then what is validated.

    ``eval_fraction`` of the prompts (0 to 1), chosen by a hash of their text, go to the split ``eval`` with all their
    pairs; of two prompts or more at least one goes to each side. Rows whose prompt stands in a file of ``against`` are
    refused (AUD004).

    ``parquet`` writes the rows as Parquet too, into the folder parquet of the dataset, for sharing.

    ``report`` is a file to write the report to as one HTML page; a dataset has it as report.html.

    ``near_duplicates`` (0 to 1) also looks for rows that are nearly the same: whose sides have that Jaccard similarity
    at least (PRF015).

    With a ``tokenizer`` (a model's folder or name) the rules over tokens run too, on the tokens of a ``trainer``:
    "prefdata" for those of ``train dpo``, "trl" for those of stock TRL. ``max_length`` is the limit of tokens,
    ``chat_template`` a file to use in place of the model's own.

    ``examples`` findings of each rule are kept in detail. ``jobs`` processes share the work (``None`` for as many as
    there are processors and the size of the input is worth); the result does not depend on their number.

    Raises InputError where an input cannot be read or is no JSONL, UsageError for rules that do not exist or cannot be
    ignored, OutputExistsError where finished work stands at ``output``, UsageError where ``fix`` cannot write.
    """
    names = [str(pairs)] if isinstance(pairs, str | Path) else [str(name) for name in pairs]
    severities = tuple((severity or {}).items())
    for name, grade in severities:
        if grade not in get_args(Severity):
            raise UsageError(f"{grade!r} is not a severity for {name}", f"one of {', '.join(get_args(Severity))}")
    benches = (str(against),) if isinstance(against, str | Path) else tuple(map(str, against))
    tokens = _token_settings(tokenizer, max_length, trainer, chat_template)
    flags = Settings("text", split=bool(eval_fraction), against=benches, near=near_duplicates, tokens=tokens).flags
    rules = selected(select, ignore, flags, severities)
    if fail_on not in get_args(FailOn):
        raise UsageError(f"{fail_on!r} is not a severity to fail on", f"one of {', '.join(get_args(FailOn))}")
    share = share_of(max_bad)
    asked: dict[str, Any] = {
        "chat": chat,
        "fail_on": fail_on,
        "ignore": sorted(ignore),
        "limit": limit,
        "max_bad": share,
        "select": sorted(select),
    }
    if near_duplicates is not None:
        if not 0.5 <= near_duplicates <= 1:
            raise UsageError(f"near-duplicates is a share from 0.5 to 1, not {near_duplicates}", "for example 0.8")
        asked["near_duplicates"] = near_duplicates
    if tokens is not None:
        tokenizer_of(tokens)
        asked["tokens"] = asdict(tokens)
    if severities:
        asked["severity"] = dict(sorted(severities))
    if benches:
        eval_prompts(benches)
        asked["against"] = [[source.name, source.sha256()] for source in sources(benches)]
    if baseline is not None:
        read_baseline(str(baseline))
        asked["baseline"] = file_sha256(Path(baseline))
    if write_baseline is not None:
        check_side_file(Path(write_baseline), [*names, *benches], b'{\n  "schema": "urn:prefdata:baseline:')
    if report is not None:
        check_side_file(Path(report), [*names, *benches], b"<!doctype html>")
    if eval_fraction:
        if not 0 < eval_fraction < 1:
            raise UsageError(f"eval-fraction is a share of the prompts, not {eval_fraction}", "for example 0.05")
        asked["eval_fraction"] = eval_fraction
    if fixed is not None and fix is None:
        raise UsageError("--fixed takes the copy that --fix makes", "add --fix")
    out = None if output is None else Path(output)
    if out is not None and out.name in ("", ".."):
        out = out.resolve()
    # A page has figures of all rows, which are taken from shards; without an output these are thrown away.
    whole = out is not None or report is not None
    with workplace(out, names, overwrite) as place:
        inputs = open_inputs(names, place)
        left, built = place / PARTS, place / DATASET
        left.mkdir()
        built.mkdir()
        settings = Settings(
            "text",
            tuple(select),
            tuple(ignore),
            chat,
            examples,
            bool(eval_fraction),
            severities,
            None if baseline is None else str(baseline),
            write_baseline is not None,
            benches,
            near=near_duplicates,
            tokens=tokens,
        )
        mended = None
        if fix is not None:
            to = None if fixed is None else Path(fixed)
            mended, inputs = fix_inputs(inputs, settings, fix, to=to, limit=limit, overwrite=overwrite)
        with Digests(inputs) as digests:
            settings = replace(settings, form=form_of(inputs, settings, limit))
            found = gather(inputs, settings, left, write=whole, limit=limit, jobs=jobs, progress=progress)
            recorded: set[tuple[str, str]] = set()
            _settle(found, names, settings, left, built if whole else None, recorded)
            sides, shared = None, None
            if eval_fraction:
                sides, shared = sides_of(found.parts, left, found.gone, eval_fraction)
            kept = sum(lines.kept for lines in found.receipts)
            audit = audited(found.sample, found.gone, kept, shared)
            for rule in rules:
                if rule.stage == "audit":
                    recorded.update(found.tally.add_whole(rule, rule.check(audit), settings.known))
            receipts = [
                InputReceipt(given.name, sha256, size, **asdict(lines))
                for given, (sha256, size), lines in zip(inputs, digests.result(), found.receipts, strict=True)
            ]
        if write_baseline is not None:
            accept(Path(write_baseline), [part.number for part in found.parts], left, recorded)
        result = result_of(found.tally, receipts, rules, "never" if write_baseline is not None else fail_on, share)
        result = replace(
            result, form=settings.form if result.counts.kept else None, output=out, fixed=mended, audit=audit
        )
        assert_balanced(found, result.counts)
        if tokens is not None:
            result = replace(result, statistics={"tokens": found.tokens.document(tokens)})
        if not whole:
            return result
        about = {"rules": [rule.code for rule in rules], "settings": asked}
        result = _assembled(result, found, left, built, about, sides, parquet)
        if report is not None:
            with atomic_file(Path(report)) as file:
                file.write((built / assemble.PAGE).read_bytes())
        if out is None:
            return replace(result, manifest=None)
        replace_folder(built, out)
        return result


def _token_settings(
    tokenizer: str | Path | None, max_length: int | None, trainer: Trainer, chat_template: str | Path | None
) -> TokenSettings | None:
    if trainer not in TRAINERS:
        raise UsageError(f"{trainer!r} is no trainer whose tokens are known", f"one of {', '.join(TRAINERS)}")
    if tokenizer is None:
        if max_length is not None or chat_template is not None:
            raise UsageError("a length in tokens or a chat template asks for a tokenizer", "add --tokenizer MODEL")
        return None
    template = None if chat_template is None else str(chat_template)
    return TokenSettings(str(tokenizer), max_length, trainer, template)


def _settle(
    found: Gathered,
    names: Sequence[str],
    settings: Settings,
    left: Path,
    built: Path | None,
    recorded: set[tuple[str, str]],
) -> None:
    """Refuse and drop the rows that clash, on the receipt and (with ``built``) on disk."""
    if all(receipt.lines == receipt.blank for receipt in found.receipts):
        raise InputError(
            f"{', '.join(names)}: there are no rows in it", "check the path, and the step that should have written it"
        )
    settled = settle(
        found.clashes,
        found.rows,
        found.tally,
        named=bool(set(found.sources) - {NO_SOURCE}),
        known=settings.known,
        record=(lambda code, row: recorded.add((code, row))) if settings.record else None,
    )
    for item in settled if built is None else assemble.write_refused(built, found.parts, left, settled):
        if item.outcome != "kept":
            receipt = found.receipts[item.input]
            receipt.kept -= 1
            setattr(receipt, item.outcome, getattr(receipt, item.outcome) + 1)
            found.sources[item.source if item.source in found.sources else OTHER_SOURCES] -= 1


def _assembled(
    result: ValidationResult,
    found: Gathered,
    left: Path,
    built: Path,
    manifest: dict[str, Any],
    sides: Mapping[int, npt.NDArray[np.bool_]] | None,
    parquet: bool,
) -> ValidationResult:
    """Fill the folder ``built``: shards, report and manifest."""
    stay = masks(found.gone, found.parts)
    splits = splits_of(found.parts, stay, None if sides is None else by_shard(found.parts, sides))
    entries = assemble.write_splits(built, left, splits)
    assemble.assert_written(built, entries, result.counts)
    figures = assemble.statistics(found.parts, left, found.gone, result.form, found.sources)
    result = replace(result, statistics={**figures, **result.statistics})
    splits_ = {"splits": {split: {"rows": sum(s["rows"] for s in shards)} for split, shards in entries.items()}}
    (built / assemble.PAGE).write_bytes(html_page(replace(result, manifest=splits_)).encode())
    report = orjson.dumps(document(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (built / assemble.REPORT).write_bytes(report)
    sealed = assemble.seal(
        built,
        {
            "form": result.form,
            "inputs": [asdict(receipt) for receipt in result.inputs],
            "counts": asdict(result.counts),
            "splits": {
                split: {"rows": sum(entry["rows"] for entry in shards), "shards": shards}
                for split, shards in entries.items()
            },
            "statistics": {**result.statistics, "audit": result.audit.document() if result.audit else None},
            **manifest,
        },
        assemble.write_parquet(built, entries) if parquet else (),
    )
    return replace(result, manifest=sealed)
