"""``--fix``: the rows that a machine can mend are mended in their files, before anything is validated.

A fix never adds or removes a line, and every line that needs none stays byte for byte as it was; the run that follows
reads the mended file, so that its receipt and the place of every row are those of the file as it then lies there.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import orjson

from prefdata.errors import InputError, OutputExistsError, UsageError
from prefdata.records.sources import STDIN, Source, damage_told
from prefdata.types import Edit, Fix, Severity
from prefdata.validation.check import Checker
from prefdata.validation.edits import ImpossibleEditError, fixed, independent
from prefdata.validation.findings import Found
from prefdata.validation.inputs import Input, open_inputs
from prefdata.validation.lines import BOM, LineBatch
from prefdata.validation.memory import uncollected
from prefdata.validation.result import Change, Fixed, Fixes
from prefdata.validation.run import form_of
from prefdata.validation.work import Segment, Settings, read

ROUNDS = 20
"""A fix may open the way for another; no row is looked at more often than this."""


class Fixer:
    """Finds what can be mended in lines, under the rules and the form of a run."""

    def __init__(self, settings: Settings, fixes: Fixes) -> None:
        self._checker = Checker(settings.rules, settings.form, chat=settings.chat)
        self._unsafe = fixes == "unsafe"

    def changes(self, name: str, batch: LineBatch) -> Iterator[Change]:
        """The lines of ``batch`` that change."""
        checked = self._checker.check(batch)
        if not any(self._possible(found) for found in checked.found.values()):
            return
        offsets = batch.offsets()
        for index in sorted(checked.found):
            if index in batch.overlong or not self._possible(checked.found[index]):
                continue
            raw = batch.raws[index]
            inner = checked.raws.get(index, raw)
            made = self._mended(inner, checked.found[index])
            if made is not None:
                after, fixes = made
                if index in checked.raws:
                    after = _rewrapped(raw, after)
                yield Change(name, batch.line + index, offsets[index], raw, after, tuple(fixes))

    def _possible(self, found: Sequence[Found]) -> list[tuple[str, Fix]]:
        rules = sorted(found, key=lambda item: item[0].order)
        return [(rule.code, hit.fix) for rule, hit in rules if hit.fix and (hit.fix.safe or self._unsafe)]

    def _mended(self, raw: bytes, found: Sequence[Found]) -> tuple[bytes, list[tuple[str, str]]] | None:
        """The line after its fixes, looked at again after each round of them; ``None`` where none can be made."""
        before, made = raw, list[tuple[str, str]]()
        for _ in range(ROUNDS):
            raw, now = _round(raw, self._possible(found))
            if not now:
                break
            made += now
            found = self._checker.check(LineBatch(1, 0, [raw])).found.get(0, [])
        return (raw, made) if raw != before else None


def _round(raw: bytes, possible: Sequence[tuple[str, Fix]]) -> tuple[bytes, list[tuple[str, str]]]:
    """Make those fixes that do not get into each other's way."""
    made: list[tuple[str, str]] = []
    done: list[Fix] = []
    document = _document(raw)
    for code, fix in possible:
        if done and not independent(fix, done, document):
            continue
        try:
            after = fixed(raw, fix)
        except ImpossibleEditError:
            continue
        if after != raw:
            raw = after
            done.append(fix)
            made.append((code, fix.what))
    return raw, made


def _document(raw: bytes) -> Any:
    try:
        return orjson.loads(raw.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return None


def _rewrapped(record: bytes, inner: bytes) -> bytes:
    """A quarantine record with another raw line in it."""
    document = orjson.loads(record.removeprefix(BOM))
    if "raw" in document:
        return fixed(record, Fix("", (Edit("/raw", inner.decode()),)))
    return fixed(record, Fix("", (Edit("/raw_base64", base64.b64encode(inner).decode()),)))


def changes(
    inputs: Sequence[Input], settings: Settings, fixes: Fixes, limit: int | None = None
) -> Iterator[tuple[Input, Change]]:
    """Every line that ``fixes`` would change, in the order of the input; nothing is written."""
    fixer = Fixer(replace(settings, form=form_of(inputs, settings, limit)), fixes)
    left = limit
    for index, given in enumerate(inputs):
        for batch in read(Segment(index, given.name, given.source.name)):
            if left is not None:
                del batch.raws[left:]
                left -= len(batch.raws)
            if batch.raws:
                with uncollected():
                    found = list(fixer.changes(given.name, batch))
                yield from ((given, change) for change in found)
            if left == 0:
                return


def check_fixable(inputs: Sequence[Input], to: Path | None, overwrite: bool) -> None:
    """Raise UsageError where mended rows could not be written."""
    if to is not None:
        if len(inputs) != 1:
            raise UsageError("--fixed takes the mended copy of one input", "name one input, or mend files in place")
        if to.is_dir() or not to.parent.is_dir():
            raise UsageError(f"{to} is no place for a file", "name a file in a folder that exists")
        if Path(inputs[0].name).exists() and to.exists() and to.samefile(inputs[0].name):
            raise UsageError(f"{to} is the input itself", "leave --fixed out to mend it in place")
        if to.exists() and not overwrite:
            raise OutputExistsError(f"{to} stands there already", "choose another file, or pass --overwrite")
        if to.suffix in (".gz", ".zst"):
            raise UsageError(f"{to} would not be compressed", "name a file that ends in .jsonl")
        return
    files: dict[Path, str] = {}
    for given in inputs:
        if given.name != given.source.name or not given.source.seekable:
            what = "stdin" if given.name == STDIN else given.name
            raise UsageError(
                f"{what} cannot be mended in place: only plain local files are", "--fixed FILE.jsonl takes the copy"
            )
        other = files.setdefault(Path(given.name).resolve(), given.name)
        if other != given.name:
            raise UsageError(f"{given.name} and {other} are one file", "name it once")


def fix_inputs(
    inputs: Sequence[Input],
    settings: Settings,
    fixes: Fixes,
    *,
    to: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
) -> tuple[Fixed, list[Input]]:
    """Mend the inputs, in place or into ``to``; gives what was done and the inputs to validate now.

    A file in which nothing changes is not written. Raises UsageError where an input cannot be mended in place,
    OutputExistsError where ``to`` is there already and ``overwrite`` does not say that it may go.
    """
    check_fixable(inputs, to, overwrite)
    done = Fixed()
    stamps = {given.name: given.stamp() for given in inputs}
    waiting = changes(inputs, settings, fixes, limit)
    item = next(waiting, None)
    for given in inputs:
        if item is None and to is None:
            break
        if to is None and (item is None or item[0] is not given):
            continue
        target = to or Path(given.name).resolve()
        with _copying(given, target) as copy:
            while item is not None and item[0] is given:
                change = item[1]
                copy.put(change)
                done.add(change)
                item = next(waiting, None)
            copy.finish()
            if given.stamp() != stamps[given.name]:
                raise InputError(f"{given.name} was changed while it was mended", "wait for what writes it, try again")
    if to is None:
        return done, list(inputs)
    return done, [Input(str(to), Source(str(to)))]


class _copying:  # noqa: N801 - a context manager, used as a function
    """A copy of an input with some lines replaced, which takes its place at the end, whole or not at all."""

    def __init__(self, given: Input, target: Path) -> None:
        self._given, self._target = given, target
        self._temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        self._at = 0

    def __enter__(self) -> _copying:
        self._read: IO[bytes] = self._given.source.open()
        try:
            self._write = self._temporary.open("wb")
        except OSError as error:
            self._read.close()
            raise InputError(
                f"{self._target} cannot be written: {error}", "check the permissions of its folder"
            ) from None
        return self

    def put(self, change: Change) -> None:
        """Copy up to a changed line, and write the line as it is now."""
        self._copy(change.byte - self._at)
        self._skip(len(change.before))
        self._write.write(change.after)
        self._at = change.byte + len(change.before)

    def finish(self) -> None:
        """Copy what is left."""
        with damage_told(self._given.name):
            shutil.copyfileobj(self._read, self._write, 1 << 20)
        self._write.flush()
        os.fsync(self._write.fileno())

    def __exit__(self, kind: object, *_: object) -> None:
        self._read.close()
        self._write.close()
        if kind is None:
            if self._target.exists():
                shutil.copymode(self._target, self._temporary)
            self._temporary.replace(self._target)
        self._temporary.unlink(missing_ok=True)

    def _copy(self, count: int) -> None:
        while count:
            chunk = self._read.read(min(count, 1 << 20))
            assert chunk, "the input became shorter"
            self._write.write(chunk)
            count -= len(chunk)

    def _skip(self, count: int) -> None:
        skipped = self._read.read(count)
        assert len(skipped) == count, "the input became shorter"


@contextmanager
def differences(
    pairs: str | Path | Sequence[str | Path],
    *,
    fixes: Fixes = "safe",
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    severities: Sequence[tuple[str, Severity]] = (),
    chat: bool = False,
    limit: int | None = None,
) -> Iterator[Iterator[Change]]:
    """What ``validate`` would mend in ``pairs`` under the same settings, line by line; nothing is written.

    Raises InputError where an input cannot be read or is no JSONL, UsageError for rules that do not exist.
    """
    names = [str(pairs)] if isinstance(pairs, str | Path) else [str(name) for name in pairs]
    settings = Settings("text", tuple(select), tuple(ignore), chat, severities=tuple(severities))
    assert settings.rules
    with tempfile.TemporaryDirectory(prefix="prefdata-") as folder:
        inputs = open_inputs(names, Path(folder))
        yield (change for _, change in changes(inputs, settings, fixes, limit))
