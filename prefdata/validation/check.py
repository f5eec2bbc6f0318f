"""From raw lines to rows that may be kept: parse, schema, canonical form, row rules; a batch at a time.

The fast way is taken by whole batches that are clean; any doubt sends a line the slow way, where each rule looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from prefdata import schema
from prefdata.records.arrow import Form
from prefdata.validation.batch import Batch, ChatBatch, TextBatch
from prefdata.validation.findings import Found, Origin
from prefdata.validation.lines import BOM, LineBatch, RawLine
from prefdata.validation.quarantine import is_record, unwrapped
from prefdata.validation.registry import Rule
from prefdata.validation.row import row_of

FINDINGS_PER_ROW = 50
"""A row with more is broken enough: the rest is neither recorded nor counted."""
_KEY = re.compile(rb'(?<!\\)"[ \t\r]*:')
_SPACE = np.frombuffer(b" \t\r", dtype=np.uint8)
_TWO_TO_63 = 2.0**63


@dataclass(slots=True)
class Checked:
    """What was found in one batch of lines; lines are known by their index in the batch."""

    rows: Batch | None = None
    """The rows that hold to the schema and are of the dataset's form, refused ones among them."""
    lines: list[int] = field(default_factory=list)
    """The line of each of those rows."""
    found: dict[int, list[Found]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    blank: int = 0
    raws: dict[int, bytes] = field(default_factory=dict)
    """The raw row inside each line that is a quarantine record."""
    origins: dict[int, Origin] = field(default_factory=dict)
    """Where those rows stood before."""


class Checker:
    """The rules that run, applied to batches of lines for a dataset of one form."""

    def __init__(self, rules: Sequence[Rule], form: Form, *, chat: bool = False) -> None:
        self.form = form
        self.chat = chat
        self.first_form: Form | None = None
        """The form of the first row that holds to the schema, as ``form_of`` has seen it."""
        self._line_rules = sorted((rule for rule in rules if rule.stage == "line"), key=lambda rule: rule.fallback)
        self._schema_rules = [rule for rule in rules if rule.stage == "schema"]
        self._row_rules = [rule for rule in rules if rule.stage == "row" and rule.name != "mixed-forms"]
        self._overlong = next(rule for rule in rules if rule.name == "overlong-line")
        self._mixed_forms = next(rule for rule in rules if rule.name == "mixed-forms")
        self._is_valid = schema.validator("preference_pair").is_valid

    def check(self, batch: LineBatch) -> Checked:
        """Every finding in ``batch``, and the rows of it that hold to the schema."""
        checked = Checked()
        documents = self._parse(batch, checked)
        self._hold_to_schema(batch, documents, checked)
        pairs, checked.lines = self._of_one_form(documents, checked)
        if pairs:
            rows = TextBatch(pairs) if self.form == "text" else ChatBatch(pairs, convert=self.chat)
            checked.rows = rows
            for rule in self._row_rules:
                for index in rows.all() if rule.screen is None else rule.screen(rows):
                    self._note(checked, checked.lines[index], rule, rule.check(rows.row(index)))
        return checked

    def form_of(self, batch: LineBatch) -> Form | None:
        """The form of the first row in ``batch`` that no rule refuses; ``None`` where there is none."""
        checked = Checked()
        documents = self._parse(batch, checked)
        self._hold_to_schema(batch, documents, checked)
        for line, document in documents.items():
            if line in checked.refused:
                continue
            row = row_of(document)
            self.first_form = self.first_form or row.form
            if not any(rule.action == "quarantine" and any(rule.check(row)) for rule in self._row_rules):
                return row.form
        return None

    def _parse(self, batch: LineBatch, checked: Checked) -> dict[int, dict[str, Any]]:
        """The JSON objects in the lines, by line."""
        documents: list[Any]
        try:
            if batch.overlong:
                raise ValueError
            documents = list(map(orjson.loads, batch.raws))
            if set(map(type, documents)) - {dict}:
                raise ValueError
        except ValueError:
            parsed = {}
            for index in range(len(batch.raws)):
                document = self._parse_line(batch, index, checked)
                if document is not None:
                    parsed[index] = document
        else:
            parsed = dict(enumerate(documents))
        for index in _doubtful(batch.raws, parsed):
            raw = batch.raws[index].removeprefix(BOM)
            self._note_line(checked, index, RawLine(raw, parsed[index], length=len(raw)))
        return parsed

    def _parse_line(self, batch: LineBatch, index: int, checked: Checked) -> dict[str, Any] | None:
        raw = batch.raws[index]
        if index not in batch.overlong and not raw.strip():
            checked.blank += 1
            return None
        ended = batch.ended or index < len(batch.raws) - 1
        return self._read(raw, index, checked, length=batch.overlong.get(index), ended=ended)

    def _read(
        self, raw: bytes, index: int, checked: Checked, *, length: int | None = None, ended: bool = True
    ) -> dict[str, Any] | None:
        """The object that ``raw`` holds, after the rules of syntax have looked at it where it is not plainly one."""
        line = RawLine(raw, length=length or len(raw), bom=raw.startswith(BOM), ended=ended)
        text = raw.removeprefix(BOM)
        if length is not None:
            self._note(checked, index, self._overlong, self._overlong.check(line))
            return None
        try:
            line.document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            line.error = error.msg
            skipped = len(raw) - len(text)
            line.at = skipped + len(text.decode("utf-8", "replace")[: error.pos].encode())
        if line.error is not None or line.bom or not isinstance(line.document, dict):
            self._note_line(checked, index, line)
        return line.document if isinstance(line.document, dict) else None

    def _note_line(self, checked: Checked, index: int, line: RawLine) -> None:
        for rule in self._line_rules:
            if not rule.fallback or index not in checked.refused:
                self._note(checked, index, rule, rule.check(line))

    def _hold_to_schema(self, batch: LineBatch, documents: dict[int, dict[str, Any]], checked: Checked) -> None:
        """Take out of ``documents`` what breaks the schema, and put in what quarantine records hold."""
        valid = self._is_valid
        for index, holds in zip(list(documents), list(map(valid, documents.values())), strict=True):
            if holds:
                continue
            document: dict[str, Any] | None = documents.pop(index)
            assert document is not None
            if is_record(document):
                document = self._take_in(batch, index, document, checked)
                if document is None:
                    continue
                if valid(document):
                    documents[index] = document
                    continue
            self._note_violations(checked, index, document)
        if checked.origins:
            for index in sorted(documents):
                documents[index] = documents.pop(index)

    def _take_in(self, batch: LineBatch, index: int, record: dict[str, Any], checked: Checked) -> dict[str, Any] | None:
        """The row inside a quarantine record, read as the line that it was."""
        raw, origin = unwrapped(record)
        checked.raws[index], checked.origins[index] = raw, origin
        length = record.get("bytes")
        if type(length) is int and length > len(raw):
            return self._read(raw, index, checked, length=length)
        document = self._read(raw, index, checked)
        if document is not None and _doubtful([raw], {0: document}):
            self._note_line(checked, index, RawLine(raw.removeprefix(BOM), document, length=len(raw)))
        return document

    def _note_violations(self, checked: Checked, index: int, document: dict[str, Any]) -> None:
        for violation in schema.violations("preference_pair", document):
            for rule in self._schema_rules:
                self._note(checked, index, rule, rule.check(violation, document))
            if len(checked.found.get(index, ())) >= FINDINGS_PER_ROW:
                break
        assert index in checked.refused, "a row that breaks the schema was not refused"

    def _of_one_form(
        self, documents: dict[int, dict[str, Any]], checked: Checked
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """The rows of the dataset's form and their lines; the others are refused."""
        if self.chat:
            return list(documents.values()), list(documents)
        wanted = str if self.form == "text" else list
        others = [index for index, document in documents.items() if type(document["prompt"]) is not wanted]
        for index in others:
            row = row_of(documents.pop(index))
            self._note(checked, index, self._mixed_forms, self._mixed_forms.check(row))
        return list(documents.values()), list(documents)

    def _note(self, checked: Checked, index: int, rule: Rule, hits: Iterable[Any]) -> None:
        for hit in hits:
            found = checked.found.setdefault(index, [])
            refuses = rule.action == "quarantine" and index not in checked.refused
            if len(found) < FINDINGS_PER_ROW or refuses:
                found.append((rule, hit))
            if refuses:
                checked.refused.add(index)


def _doubtful(raws: Sequence[bytes], documents: dict[int, dict[str, Any]]) -> list[int]:
    """Lines that may name a key twice, or hold a number that lost digits: few, and surely all of them.

    A key is a quotation mark without a backslash before it, and then a colon. Counted in the bytes and in what was
    parsed, the numbers agree unless a key was lost; keys that end with a backslash are doubted too.
    """
    if not documents:
        return []
    values = list(chain.from_iterable(map(dict.values, documents.values())))
    lists = [value for value in values if type(value) is list]
    messages = list(chain.from_iterable(lists))
    plain = len(values) == 3 * len(documents) and set(map(type, values)) <= {str, list} and _plain(messages)
    if plain and _keys_in(raws) == 3 * len(documents) + 2 * len(messages):
        return []
    doubtful: list[int] = []
    for index, document in documents.items():
        keys, doubt = _inner(document)
        if doubt or len(_KEY.findall(raws[index])) != keys:
            doubtful.append(index)
    return doubtful


def _plain(messages: list[Any]) -> bool:
    """Whether every item is a message of a role and a text."""
    if not messages:
        return True
    if set(map(type, messages)) != {dict} or set(map(len, messages)) != {2}:
        return False
    try:
        return set(map(type, map(itemgetter("content"), messages))) == {str}
    except KeyError:
        return False


def _keys_in(raws: Sequence[bytes]) -> int:
    """How many keys stand in JSON lines: colons after a quotation mark that no backslash escapes."""
    joined = np.frombuffer(b"\n\n" + b"\n\n".join(raws), dtype=np.uint8)
    before = np.flatnonzero(joined == 0x3A) - 1
    while (space := np.isin(joined[before], _SPACE)).any():
        before[space] -= 1
    return int(np.count_nonzero((joined[before] == 0x22) & (joined[before - 1] != 0x5C)))


def _inner(value: Any) -> tuple[int, bool]:
    """Keys in a value at any depth, and whether one ends with a backslash or a number may have lost digits."""
    if type(value) is float:
        return 0, abs(value) >= _TWO_TO_63 and value.is_integer()
    if type(value) is dict:
        keys, doubt = len(value), False
        for key, item in value.items():
            more, large = _inner(item)
            keys += more
            doubt = doubt or large or key.endswith("\\")
        return keys, doubt
    if type(value) is list:
        inner = [_inner(item) for item in value]
        return sum(keys for keys, _ in inner), any(doubt for _, doubt in inner)
    return 0, False
