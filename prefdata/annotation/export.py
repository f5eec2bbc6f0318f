"""From the log to judgments: the records that ``prefdata judge`` writes, for this moment or any past one.

What an export says is a function of the log up to one event, so that an export as of a past time can be repeated.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import orjson

from prefdata.annotation.answers import FLAGS, Answer, answer_from
from prefdata.annotation.database import Event, events
from prefdata.annotation.store import opened
from prefdata.errors import UsageError
from prefdata.pairing.pairs import PairingSettings, Strategy, dropped_record, pairs_of
from prefdata.records.codec import content_from, judgment_record, pair_record, response_set_from, response_set_record
from prefdata.records.ids import content_id
from prefdata.records.publishing import beside
from prefdata.records.sinks import MAIN, sinks
from prefdata.records.sources import Source
from prefdata.types import Judge, Judgment, Response, ResponseSet

Adjudicated = Literal["replace", "add"]
ADJUDICATED: tuple[Adjudicated, ...] = get_args(Adjudicated)


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of answers that are not simply a preference; raises UsageError for what cannot be meant.

    Whatever the policy: a tie, both good and both bad are votes for neither, and "cannot judge" is no vote; none of
    them makes a pair.
    """

    exclude: tuple[str, ...] = ()
    """Flags (of ``FLAGS``): a response that carries one takes no part in that person's comparison."""
    adjudicated: Adjudicated = "replace"
    """Whether the owner's word replaces the answers that it decides between, or stands beside them."""
    surplus: bool = False
    """Late answers, which came when the item had all that were wanted, count too."""

    def __post_init__(self) -> None:
        if unknown := [flag for flag in self.exclude if flag not in FLAGS]:
            raise UsageError(f"there is no flag {unknown[0]!r}", f"flags are {', '.join(FLAGS)}")
        if self.adjudicated not in ADJUDICATED:
            raise UsageError(f"adjudicated may not be {self.adjudicated!r}", f"choose {' or '.join(ADJUDICATED)}")


class Standing(NamedTuple):
    """An answer that was not taken back, with the task it answers and the texts edited with it."""

    event: Event
    shown: tuple[str, ...]
    gold: bool
    edits: tuple[Event, ...]

    @property
    def answer(self) -> Answer:
        """What was said."""
        return answer_from(self.event.body)


@dataclass(slots=True)
class ItemState:
    """All that was said of one item and stands."""

    answers: list[Standing] = field(default_factory=list)
    skips: list[Event] = field(default_factory=list)
    adjudicated: Event | None = None


@dataclass(slots=True)
class ExportResult:
    """What an export wrote: ``items == with_pairs + sum(dropped)``."""

    output: Path
    edits_output: Path
    edit_judgments_output: Path
    dropped_output: Path
    pairs_output: Path | None
    last: int = 0
    """The last event that it knows of."""
    as_of: str = ""
    judgments: int = 0
    edits: int = 0
    items: int = 0
    with_pairs: int = 0
    pairs: int = 0
    surplus: int = 0
    """Late answers, left out unless the policy takes them in."""
    superseded: int = 0
    """Answers that an adjudication stands in place of."""
    excluded: int = 0
    """Responses left out of a comparison for a flag."""
    dropped: Counter[str] = field(default_factory=Counter)

    def record(self) -> dict[str, Any]:
        """The result as a JSON document."""
        names = (name for name in self.__dataclass_fields__)
        return {name: str(value) if isinstance(value := getattr(self, name), Path) else value for name in names}


def export_annotations(
    store: str | Path,
    output: str | Path,
    *,
    pairs: str | Path | None = None,
    as_of: str | None = None,
    exclude: Sequence[str] = (),
    adjudicated: Adjudicated = "replace",
    surplus: bool = False,
    strategy: Strategy = "best-worst",
    overwrite: bool = False,
) -> ExportResult:
    """Write the judgments of the annotation store ``store`` to ``output``, and what gives no pair beside it.

    ``as_of`` is a time (ISO 8601, UTC where no zone is given): what stood then. For ``exclude``, ``adjudicated`` and
    ``surplus`` see ``Policy``. Edited responses become response sets of their own (``OUTPUT.edits``) with judgments
    (``OUTPUT.edit-judgments``) that prefer them to the original. ``pairs`` names a file for the pairs of both. Raises
    InputError, UsageError and OutputExistsError.
    """
    policy = Policy(tuple(exclude), adjudicated, surplus)
    out = Path(output)
    edits, edit_judgments, dropped = (beside(out, name) for name in ("edits", "edit-judgments", "dropped"))
    companions = {"edits": edits, "edit-judgments": edit_judgments, "dropped": dropped}
    if pairs is not None:
        companions["pairs"] = Path(pairs)
    settings = PairingSettings(strategy)
    # Nothing of the store is overwritten, whatever was asked for: it cannot be made again.
    ours = [Source(f"{store}{suffix}") for suffix in ("", "-wal", "-shm", ".secret")]
    with (
        opened(Path(store)) as held,
        sinks(out, companions, ours, overwrite=overwrite) as into,
        held.database.reading() as db,
    ):
        last, at = moment(db, as_of)
        result = ExportResult(out, edits, edit_judgments, dropped, companions.get("pairs"), last, at)
        for exported in exports(db, held.id, policy, last):
            _count(result, exported)
            for judgment in exported.judgments:
                into.write(MAIN, judgment_record(judgment))
            made, gone = pairs_of(exported.response_set, exported.judgments, settings)
            for edit_set, judgment in exported.edits:
                into.write("edits", response_set_record(edit_set))
                into.write("edit-judgments", judgment_record(judgment))
                made += pairs_of(edit_set, [judgment], settings)[0]
            if pairs:
                for pair in made:
                    into.write("pairs", pair_record(pair))
            result.pairs += len(made)
            result.with_pairs += not gone
            for nothing in gone:
                record = {**dropped_record(nothing), **exported.why(nothing.reason)}
                into.write("dropped", record)
                result.dropped[record["reason"]] += 1
    return result


@dataclass(frozen=True, slots=True)
class Exported:
    """One item as judgments."""

    response_set: ResponseSet
    judgments: list[Judgment]
    edits: list[tuple[ResponseSet, Judgment]]
    state: ItemState
    surplus: int
    superseded: int
    excluded: int

    def why(self, reason: str) -> dict[str, Any]:
        """A reason of ``pairs_of`` in the words of annotation, where these say more."""
        if reason in ("no-judgment", "abstained") and self.excluded:
            return {"reason": "excluded-by-flag", "detail": f"{self.excluded} responses were left out for their flags"}
        if reason == "no-judgment" and not self.judgments:
            if self.state.skips:
                said = sorted({event.body["reason"] for event in self.state.skips})
                return {"reason": "skipped", "detail": "; ".join(said)}
            return {"reason": "not-answered"}
        return {}


def exports(db: sqlite3.Connection, store_id: str, policy: Policy, last: int) -> Iterator[Exported]:
    """Every item of the store as of event ``last``, in the order in which they came in."""
    states = standing(db, last)
    rows = db.execute("SELECT number, record FROM item WHERE added <= ? ORDER BY number", (last,))
    for number, record in rows:
        yield _exported(response_set_from(orjson.loads(record)), states.get(number, ItemState()), policy, store_id)


def moment(db: sqlite3.Connection, as_of: str | None) -> tuple[int, str]:
    """The last event at that time, and the time itself; raises UsageError for a time that cannot be read."""
    if as_of is None:
        found = db.execute("SELECT seq, at FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        return found or (0, "")
    try:
        said = datetime.fromisoformat(as_of)
        zoned = (said if said.tzinfo else said.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{as_of!r} is no time", "write it as 2026-01-31T12:00:00Z") from None
    text = zoned.isoformat(timespec="microseconds").replace("+00:00", "Z")
    seq = db.execute("SELECT coalesce(max(seq), 0) FROM event WHERE at <= ?", (text,)).fetchone()[0]
    return int(seq), text


def standing(db: sqlite3.Connection, last: int) -> dict[int, ItemState]:
    """What stands of each item after event ``last``: the log replayed, with undo as one more event."""
    tasks: dict[int, Event] = {}
    finished: dict[int, Event] = {}
    edits: dict[int, list[Event]] = {}
    states: dict[int, ItemState] = {}
    for event in events(db, "seq <= ?", (last,)):
        if event.kind == "shown":
            tasks[event.seq] = event
        elif event.kind in ("answered", "skipped"):
            assert event.task is not None
            finished[event.task] = event
        elif event.kind == "undone":
            assert event.task is not None
            finished.pop(event.task, None)
        elif event.kind == "edited":
            edits.setdefault(event.body["answer"], []).append(event)
        elif event.kind == "adjudicated":
            assert event.item is not None
            states.setdefault(event.item, ItemState()).adjudicated = event
    for task, event in sorted(finished.items(), key=lambda one: one[1].seq):
        assert event.item is not None
        state = states.setdefault(event.item, ItemState())
        if event.kind == "skipped":
            state.skips.append(event)
        else:
            shown = tasks[task].body
            own = tuple(edits.get(event.seq, ()))
            state.answers.append(Standing(event, tuple(shown["shown"]), shown["gold"], own))
    return states


def judgment_of(response_set: ResponseSet, event: Event, shown: Sequence[str], **more: Any) -> Judgment:
    """An answer or an adjudication as a judgment; ``more`` goes into its metadata."""
    answer = answer_from(event.body)
    places = tuple(response.id for response in response_set.responses)
    flags = {name: None for name in FLAGS if any(name in own for own in answer.flags.values())}
    verdict = {"both_good": "both_good", "both_bad": "both_bad", "cannot_judge": "abstain"}.get(answer.verdict)
    metadata: dict[str, Any] = {"content_sha256": event.body["sha256"], "event": event.seq, **more}
    if answer.flags:
        metadata["response_flags"] = {id: list(own) for id, own in answer.flags.items()}
    for name in ("milliseconds",):
        if getattr(answer, name) is not None:
            metadata[name] = getattr(answer, name)
    for name in ("ask", "surplus", "revealed"):
        if event.body.get(name):
            metadata[name] = event.body[name]
    return Judgment(
        id=f"human-{content_id([response_set.id, event.annotator, event.seq, event.at])}",
        response_set_id=response_set.id,
        shown=tuple(shown),
        ranking=answer.ranking,
        judge=Judge("human", str(event.annotator), template_sha256=event.body.get("rubric")),
        flags=((verdict,) if verdict else ()) + tuple(flags),
        strength=None if answer.strength is None else float(answer.strength),
        ratings=answer.ratings,
        rationale=answer.rationale,
        order=0 if tuple(shown) == places else 1 if tuple(shown) == places[::-1] else None,
        created_at=event.at,
        metadata=metadata,
    )


def _exported(response_set: ResponseSet, state: ItemState, policy: Policy, store_id: str) -> Exported:
    counted = [one for one in state.answers if policy.surplus or not one.event.body["surplus"]]
    if not policy.surplus:
        # An answer to a returning item stands beside the first one, never in its place: that would be one person more.
        first = {one.event.annotator for one in counted if not one.event.body["ask"]}
        counted = [one for one in counted if one.event.annotator in first]
    surplus = len(state.answers) - len(counted)
    # An improved response is better than the original whoever decides between the originals.
    edits = [_edit(response_set, one, edit) for one in counted for edit in one.edits]
    superseded = 0
    judgments = []
    if state.adjudicated is not None:
        event = state.adjudicated
        judgments.append(judgment_of(response_set, event, event.body["shown"], adjudicated=True))
        if policy.adjudicated == "replace":
            counted, superseded = [], len(counted)
    for one in counted:
        more: dict[str, Any] = {"store": store_id, **({"gold": True} if one.gold else {})}
        judgments.append(judgment_of(response_set, one.event, one.shown, **more))
    left_out = [_without(judgment, policy.exclude) for judgment in judgments]
    judgments = [judgment for judgment, _ in left_out if judgment is not None]
    return Exported(response_set, judgments, edits, state, surplus, superseded, sum(number for _, number in left_out))


def _without(judgment: Judgment, exclude: Sequence[str]) -> tuple[Judgment | None, int]:
    """A judgment without the responses that carry one of the flags, and how many these are."""
    flagged = judgment.metadata.get("response_flags", {})
    gone = {id for id, own in flagged.items() if set(own) & set(exclude)}
    if not gone:
        return judgment, 0
    shown = tuple(id for id in judgment.shown if id not in gone)
    if not shown:
        return None, len(gone)
    tiers = None
    if judgment.ranking is not None:
        tiers = tuple(kept for tier in judgment.ranking if (kept := tuple(id for id in tier if id not in gone)))
    kept_out = {**judgment.metadata, "excluded": {id: flagged[id] for id in judgment.shown if id in gone}}
    return replace(judgment, shown=shown, ranking=tiers, order=None, metadata=kept_out), len(gone)


def _edit(response_set: ResponseSet, one: Standing, event: Event) -> tuple[ResponseSet, Judgment]:
    """An edited response beside its original: a response set of two, and the judgment that the edit is better."""
    original = next(r for r in response_set.responses if r.id == event.body["response_id"])
    about = {
        "edited_from": {"response_set_id": response_set.id, "response_id": original.id, "model": original.model},
        "edited_by": event.annotator,
        "diff": event.body["diff"],
        "event": event.seq,
    }
    made = Response(
        content_id([response_set.id, original.id, event.seq, event.body["text"]]),
        content_from(event.body["content"]),
        metadata=about,
    )
    prompt = response_set.prompt
    edit_set = ResponseSet(f"{response_set.id}~edit-{event.seq}", prompt, (made, original))
    judgment = Judgment(
        id=f"human-{content_id([edit_set.id, event.annotator, event.at])}",
        response_set_id=edit_set.id,
        shown=(made.id, original.id),
        ranking=((made.id,), (original.id,)),
        judge=Judge("human", str(event.annotator)),
        flags=("edited",),
        rationale=one.answer.rationale,
        order=0,
        created_at=event.at,
        metadata={"content_sha256": one.event.body["sha256"], **about},
    )
    return edit_set, judgment


def _count(result: ExportResult, exported: Exported) -> None:
    result.items += 1
    result.judgments += len(exported.judgments)
    result.edits += len(exported.edits)
    result.surplus += exported.surplus
    result.superseded += exported.superseded
    result.excluded += exported.excluded
