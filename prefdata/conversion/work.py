"""Rows of one format to records, each row accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from prefdata.conversion.carrying import CARRIED, carried, restore
from prefdata.conversion.outcomes import Format, NoPlaceError, Outcome, Paired, Ranked, WrongShapeError
from prefdata.errors import InputError
from prefdata.pairing.pairs import BROKEN, PairingSettings, dropped_record, pairs_of
from prefdata.reading.rawrow import RawRow
from prefdata.records.codec import judgment_record, pair_id, pair_record, response_set_record
from prefdata.records.sinks import MAIN, Sinks
from prefdata.schema import SchemaName, validator, violations
from prefdata.types import PreferencePair

Tie = Literal["drop", "keep", "soft", "fail"]
TIES: tuple[Tie, ...] = get_args(Tie)

Writer = Callable[[dict[str, Any]], None]
"""Puts a pair into the output; raises NoPlaceError where its format cannot hold it."""

DROPPED, JUDGMENTS = "dropped", "judgments"
NO_PLACE = "no-place"
"""The reason of a pair that the format written cannot hold."""


@dataclass(slots=True)
class ConvertCounts:
    """What became of the input: ``preferences == kept + sum(dropped)``."""

    rows: int = 0
    preferences: int = 0
    """Preferences found: one a row in most formats, one a group of replies in a tree; a broken row counts as one."""
    kept: int = 0
    pairs: int = 0
    response_sets: int = 0
    judgments: int = 0
    broken_responses: int = 0
    """Responses of another kind than text, kept in their sets and marked; no pair is made from them."""
    unplaced_pairs: int = 0
    """Pairs that the format written cannot hold, of preferences that gave others; listed as no-place too."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Preferences without a pair, by reason."""

    def record(self) -> dict[str, Any]:
        """The counts as a JSON document."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "dropped": dict(self.dropped)}


class Work:
    """Turns rows into records and keeps the counts."""

    def __init__(
        self, format_: Format, tie: Tie, settings: PairingSettings, into: Sinks, write: Writer | None = None
    ) -> None:
        """``write`` puts a pair into the output; without it responses and judgments are written, and no pairs."""
        self.counts = ConvertCounts()
        self._format, self._tie, self._settings, self._into, self._write = format_, tie, settings, into, write

    def take(self, rows: Sequence[RawRow]) -> None:
        """One row, or the rows of one group."""
        self.counts.rows += len(rows)
        if rows[0].problem is not None:  # such a row is never in a group
            self._drop(rows[0], "invalid-line", rows[0].problem, raw=True)
            return
        rows, outcomes = self._outcomes(rows)
        group = rows if len(rows) > 1 else ()
        for outcome in outcomes:
            if isinstance(outcome, Paired):
                self._pair(rows[outcome.row], outcome)
            elif isinstance(outcome, Ranked):
                self._ranked(rows[0], outcome, group)
            else:
                self._drop(rows[0], outcome.reason, outcome.detail, raw=len(outcomes) == 1, group=group)

    def _outcomes(self, rows: Sequence[RawRow]) -> tuple[Sequence[RawRow], list[Outcome]]:
        """What the rows become, and which of them do: a broken row does not take the rest of its group with it."""
        while rows:
            try:
                return rows, self._read(rows)
            except WrongShapeError as error:
                problems = [self._problem(row) for row in rows]
                if not any(problems):  # each by itself is right, and they do not fit together
                    problems = [str(error)] * len(rows)
                for row, problem in zip(rows, problems, strict=True):
                    if problem is not None:
                        self._drop(row, "wrong-shape", problem, raw=True)
                rows = [row for row, problem in zip(rows, problems, strict=True) if problem is None]
        return rows, []

    def _read(self, rows: Sequence[RawRow]) -> list[Outcome]:
        return list(self._format.read([row.value for row in rows if row.value is not None]))

    def _problem(self, row: RawRow) -> str | None:
        try:
            self._read([row])
        except WrongShapeError as error:
            return str(error)
        return None

    def _pair(self, row: RawRow, outcome: Paired) -> None:
        record = {"id": "", **outcome.record}
        if row.value is not None and CARRIED in row.value:
            record = restore(record, carried(row.value))
        record["id"] = record["id"] or pair_id(record)
        if outcome.tie is not None:
            if self._tie in ("drop", "fail"):
                self._drop(row, "tie", outcome.tie, raw=True)
                return
            record |= {"margin": 0.0, "probability": 0.5, "metadata": {**record.get("metadata", {}), "tie": "tie"}}
        if problem := _problem("preference_pair", record):
            self._drop(row, "wrong-shape", problem, raw=True)
            return
        if problem := self._write_pair(row, record):
            self._drop(row, NO_PLACE, problem, raw=True)
        else:
            self._keep()

    def _ranked(self, row: RawRow, outcome: Ranked, group: Sequence[RawRow]) -> None:
        record = response_set_record(outcome.response_set)
        if problem := _problem("response_set", record):
            self._drop(row, "wrong-shape", problem, raw=True)
        elif self._write is None:
            judgments = [judgment_record(one) for one in outcome.judgments if one.shown]  # of nothing, nothing is said
            if problem := next((told for one in judgments if (told := _problem("judgment", one))), None):
                self._drop(row, "wrong-shape", f"judgment: {problem}", raw=True, group=group)
                return
            self._keep()
            self.counts.response_sets += 1
            self.counts.broken_responses += sum(BROKEN in one.metadata for one in outcome.response_set.responses)
            self.counts.judgments += len(judgments)
            record["prompt"]["metadata"] = {**record["prompt"].get("metadata", {}), **_source(row)}
            self._into.write(MAIN, record)
            for judgment in judgments:
                self._into.write(JUDGMENTS, judgment)
        else:
            pairs, gone = pairs_of(outcome.response_set, outcome.judgments, self._settings)
            for nothing in gone:
                listed = dropped_record(nothing)
                self._drop(row, listed.pop("reason"), listed.pop("detail", None), group=group, **listed)
            problems = [self._write_pair(row, _whole(pair, outcome)) for pair in pairs]
            lost = [problem for problem in problems if problem is not None]
            if len(lost) < len(problems):
                self._keep()
                self.counts.unplaced_pairs += len(lost)
                for problem in lost:
                    more = {"response_set_id": outcome.response_set.id}
                    self._into.write(DROPPED, {"reason": NO_PLACE, "detail": problem, **row.place, **more})
            elif lost:
                self._drop(row, NO_PLACE, lost[0], response_set_id=outcome.response_set.id)

    def _keep(self) -> None:
        self.counts.preferences += 1
        self.counts.kept += 1

    def _write_pair(self, row: RawRow, record: dict[str, Any]) -> str | None:
        """Write a pair; otherwise say what has no place in the format that is written."""
        assert self._write is not None
        record.setdefault("source", self._format.name)
        record["metadata"] = {**record.get("metadata", {}), **_source(row)}
        try:
            self._write(record)
        except NoPlaceError as error:
            return str(error)
        self.counts.pairs += 1
        return None

    def _drop(
        self,
        row: RawRow,
        reason: str,
        detail: str | None,
        *,
        raw: bool = False,
        group: Sequence[RawRow] = (),
        **more: Any,
    ) -> None:
        """List a preference without a pair; ``group`` are the rows that it is made of, where they are several."""
        if reason == "tie" and self._tie == "fail":
            where = ", ".join(f"{name} {value}" for name, value in row.place.items())
            raise InputError(f"a tie: {where}" + (f" ({detail})" if detail else ""), "drop ties with --tie drop")
        self.counts.preferences += 1
        self.counts.dropped[reason] += 1
        together = [{**one.place, "raw": one.text} for one in group] or None
        text = row.text if raw and not group else None
        record = {"reason": reason, "detail": detail, **row.place, **more, "raw": text, "rows": together}
        self._into.write(DROPPED, {name: value for name, value in record.items() if value is not None})


def _whole(pair: PreferencePair, outcome: Ranked) -> dict[str, Any]:
    """The record of a pair with all that the file says of its two responses and of its judgments."""
    record = pair_record(pair)
    about = record["metadata"]
    responses = {one.id: one for one in outcome.response_set.responses}
    own = [one for one in outcome.judgments if one.id in pair.judgment_ids]
    for side in ("chosen", "rejected"):
        id = about[f"{side}_response_id"]
        if responses[id].metadata:
            about[f"{side}_metadata"] = dict(responses[id].metadata)
        if len(own) == 1 and id in own[0].scores:
            record[f"score_{side}"] = own[0].scores[id]
    about["judgments"] = [
        {key: value for key, value in judgment_record(one).items() if key not in ("id", "response_set_id", "scores")}
        for one in own
    ]
    return record


def _problem(schema: SchemaName, record: dict[str, Any]) -> str | None:
    if validator(schema).is_valid(record):
        return None
    first = next(violations(schema, record))
    return f"{first.pointer}: {first.message}"


def _source(row: RawRow) -> dict[str, Any]:
    return {f"source_{name}": value for name, value in row.place.items()}
