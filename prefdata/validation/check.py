"""From raw lines to rows that may be kept: parse, schema, canonical form, row rules; a batch at a time.

The fast way is taken by whole batches that are clean; any doubt sends a line the slow way, where each rule looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import orjson

from prefdata import schema
from prefdata.records.arrow import Form
from prefdata.validation.batch import Batch, ChatBatch, TextBatch
from prefdata.validation.findings import Found, Origin
from prefdata.validation.leakage import eval_prompts, leaked
from prefdata.validation.lines import BOM, LineBatch, RawLine
from prefdata.validation.quarantine import is_record, unwrapped
from prefdata.validation.registry import Hit, Rule
from prefdata.validation.row import row_of
from prefdata.validation.scan import Scan
from prefdata.validation.tokens import TokenCounts, Tokens, TokenSettings

FINDINGS_PER_ROW = 50
"""A row with more is broken enough: the rest is neither recorded nor counted."""
_KEY = re.compile(rb'(?<!\\)"[ \t\r]*:')
_IS_SPACE = np.zeros(256, np.bool_)
_IS_SPACE[list(b" \t\r")] = True
COMPLETE = frozenset({"prompt", "chosen", "rejected"})
KEYLESS = frozenset({str, int, bool, type(None)})
"""Types of values that hold no key, and of which nothing is lost in parsing (of other numbers it would be a float)."""
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

    def __init__(
        self,
        rules: Sequence[Rule],
        form: Form,
        *,
        chat: bool = False,
        against: tuple[str, ...] = (),
        tokens: TokenSettings | None = None,
    ) -> None:
        self.form = form
        self.chat = chat
        self.first_form: Form | None = None
        """The form of the first row that holds to the schema, as ``form_of`` has seen it."""
        self._line_rules = sorted((rule for rule in rules if rule.stage == "line"), key=lambda rule: rule.fallback)
        self._schema_rules = [rule for rule in rules if rule.stage == "schema"]
        self._row_rules = [rule for rule in rules if rule.stage == "row" and rule.name != "mixed-forms"]
        self._overlong = next(rule for rule in rules if rule.name == "overlong-line")
        self._mixed_forms = next(rule for rule in rules if rule.name == "mixed-forms")
        self._leak = next((rule for rule in rules if rule.name == "prompt-in-eval-set"), None)
        self._eval_prompts = eval_prompts(against) if against and self._leak is not None else {}
        self._tokens = tokens
        self._token_rules = [rule for rule in rules if rule.stage == "tokens"]
        self.token_counts = TokenCounts()
        self._is_valid = schema.validator("preference_pair").is_valid

    def check(self, batch: LineBatch) -> Checked:
        """Every finding in ``batch``, and the rows of it that hold to the schema."""
        checked = Checked()
        parsed = self._parse(batch, checked)
        pairs = self._hold_to_schema(batch, parsed, checked)
        pairs = self._of_one_form(pairs, checked)
        if pairs:
            checked.lines, documents = list(pairs), list(pairs.values())
            raws, data = _bytes_of(batch, checked)
            rows = (
                TextBatch(documents, raws, data)
                if self.form == "text"
                else ChatBatch(documents, raws, data, convert=self.chat)
            )
            checked.rows = rows
            for rule in self._row_rules:
                for index in rows.all() if rule.screen is None else rule.screen(rows):
                    self._note(checked, checked.lines[index], rule, rule.check(rows.row(index)))
            if self._leak is not None and self._eval_prompts:
                for index, where in leaked(rows.prompts, self._eval_prompts):
                    hit = Hit("/prompt", f"the prompt also stands in {where}")
                    self._note(checked, checked.lines[index], self._leak, (hit,))
            if self._tokens is not None:
                self._look_at_tokens(rows, checked, self._tokens)
        for index in self._doubtful(batch, parsed, checked):
            raw = batch.raws[index].removeprefix(BOM)
            self._note_line(checked, index, RawLine(raw, parsed[index], length=len(raw)))
        return checked

    def _look_at_tokens(self, rows: Batch, checked: Checked, settings: TokenSettings) -> None:
        """The rules over tokens, for the rows that no other rule refuses: each is tokenised once."""
        for index, line in enumerate(checked.lines):
            if line not in checked.refused:
                tokens = Tokens(rows.row(index), settings)
                for rule in self._token_rules:
                    self._note(checked, line, rule, rule.check(tokens))
                if line not in checked.refused:
                    self.token_counts.add(tokens)

    def form_of(self, batch: LineBatch) -> Form | None:
        """The form of the first row in ``batch`` that no rule refuses; ``None`` where there is none."""
        checked = Checked()
        for line, document in self._hold_to_schema(batch, self._parse(batch, checked), checked).items():
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

    def _hold_to_schema(
        self, batch: LineBatch, parsed: dict[int, dict[str, Any]], checked: Checked
    ) -> dict[int, dict[str, Any]]:
        """The rows that hold to the schema, by line; those inside quarantine records among them."""
        holds = list(map(self._is_valid, parsed.values()))
        if all(holds):
            return parsed
        pairs: dict[int, dict[str, Any]] = {}
        for (index, given), valid in zip(parsed.items(), holds, strict=True):
            document: dict[str, Any] | None = given
            if not valid and is_record(given):
                document = self._take_in(batch, index, given, checked)
                valid = document is not None and self._is_valid(document)
            if document is not None and valid:
                pairs[index] = document
            elif document is not None:
                self._note_violations(checked, index, document)
        return pairs

    def _take_in(self, batch: LineBatch, index: int, record: dict[str, Any], checked: Checked) -> dict[str, Any] | None:
        """The row inside a quarantine record, read as the line that it was."""
        raw, origin = unwrapped(record)
        checked.raws[index], checked.origins[index] = raw, origin
        length = record.get("bytes")
        if type(length) is int and length > len(raw):
            return self._read(raw, index, checked, length=length)
        document = self._read(raw, index, checked)
        if document is not None and _is_doubtful(raw, document):
            self._note_line(checked, index, RawLine(raw.removeprefix(BOM), document, length=len(raw)))
        return document

    def _note_violations(self, checked: Checked, index: int, document: dict[str, Any]) -> None:
        for violation in schema.violations("preference_pair", document):
            for rule in self._schema_rules:
                self._note(checked, index, rule, rule.check(violation, document))
            if len(checked.found.get(index, ())) >= FINDINGS_PER_ROW:
                break
        assert index in checked.refused, "a row that breaks the schema was not refused"

    def _of_one_form(self, pairs: dict[int, dict[str, Any]], checked: Checked) -> dict[int, dict[str, Any]]:
        """The rows of the dataset's form, by line; the others are refused."""
        if self.chat:
            return pairs
        wanted = str if self.form == "text" else list
        others = [index for index, document in pairs.items() if type(document["prompt"]) is not wanted]
        for index in others:
            self._note(checked, index, self._mixed_forms, self._mixed_forms.check(row_of(pairs[index])))
        return {index: pairs[index] for index in pairs if index not in set(others)} if others else pairs

    def _doubtful(self, batch: LineBatch, parsed: dict[int, dict[str, Any]], checked: Checked) -> list[int]:
        """Lines that may name a key twice, or hold a number that lost digits: few, and surely all of them.

        Keys are counted in the bytes and in what was parsed: unless a key was lost, the numbers agree. Only where they
        do not, or where something else is odd, does each line have to be looked at.
        """
        together = checked.lines if checked.rows is not None and not checked.origins else []
        rows, expected = checked.rows, None
        if rows is not None and together:
            expected = _keys_of(rows)
        odd = parsed.keys() - set(together) if len(together) < len(parsed) else set()
        doubtful = [index for index in odd if _is_doubtful(batch.raws[index], parsed[index])]
        if together:
            assert rows is not None
            if expected is None or count_keys(rows.scan) != expected:
                doubtful += [index for index in together if _is_doubtful(batch.raws[index], parsed[index])]
        return sorted(doubtful)

    def _note(self, checked: Checked, index: int, rule: Rule, hits: Iterable[Any]) -> None:
        for hit in hits:
            found = checked.found.setdefault(index, [])
            refuses = rule.action == "quarantine" and index not in checked.refused
            if len(found) < FINDINGS_PER_ROW or refuses:
                found.append((rule, hit))
            if refuses:
                checked.refused.add(index)


def count_keys(scan: Scan) -> int:
    r"""Colons after a quotation mark that no backslash escapes: one for each key in JSON lines.

    A string that starts with a colon counts too, so that the number may be too large, but never too small (except for
    keys that end with a backslash, which are looked for elsewhere).

    >>> count_keys(Scan(b'{"a": "\\":", "b" : 1}\n', [b'{"a": "\\":", "b" : 1}']))
    2
    >>> count_keys(Scan(b'{"a": ":"}\n', [b'{"a": ":"}']))
    2
    """
    colons = scan.places(0x3A)
    before = colons[: np.searchsorted(colons, scan.ends[-1])] - 1  # bytes of the next line may follow
    letters = scan.letters
    while (space := _IS_SPACE[letters[before]]).any():
        before[space] -= 1
    before = before[letters[before] == 0x22]
    return int(np.count_nonzero(letters[before - 1] != 0x5C))


def _bytes_of(batch: LineBatch, checked: Checked) -> tuple[Sequence[bytes], bytes | None]:
    """The lines of the rows; and the bytes that hold just these, where they lie together."""
    if len(checked.lines) < len(batch.raws) or checked.origins:
        return [checked.raws.get(index, batch.raws[index]) for index in checked.lines], None
    whole = batch.data.obj if batch.data is not None else None
    return batch.raws, whole if isinstance(whole, bytes) else None


def _keys_of(rows: Batch) -> int | None:
    """Keys in all rows together; ``None`` where a key or number among them asks for a closer look."""
    count = rows.message_keys()
    if count is None:
        return None
    count += sum(map(len, rows.documents))
    for name in rows.fields - COMPLETE:
        keys = None if name.endswith("\\") else _keys_in(rows.column(name))
        if keys is None:
            return None
        count += keys
    return count


def _keys_in(values: Sequence[Any]) -> int | None:
    """Keys in values together; ``None`` where a key or number among them asks for a closer look."""
    kinds = set(map(type, values))
    if kinds <= KEYLESS:
        return 0
    if kinds <= KEYLESS | {dict}:  # mostly flat: looked through by loops in C
        objects = [value for value in values if type(value) is dict]
        inside = set(map(type, chain.from_iterable(map(dict.values, objects))))
        if inside <= KEYLESS and not any(key.endswith("\\") for key in set(chain.from_iterable(objects))):
            return sum(map(len, objects))
    inner = list(map(_inner, values))
    return None if any(doubt for _, doubt in inner) else sum(keys for keys, _ in inner)


def _is_doubtful(raw: bytes, document: dict[str, Any]) -> bool:
    keys, doubt = _inner(document)
    return doubt or len(_KEY.findall(raw)) != keys


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
