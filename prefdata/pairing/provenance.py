"""Where a pair came from: the judgments behind it, how its judges voted, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefdata.errors import InputError, PrefdataError, UsageError
from prefdata.pairing.votes import View, judge_name, views_of_couples
from prefdata.records.codec import judgment_from, judgment_record, pair_from, pair_record
from prefdata.records.publishing import beside
from prefdata.records.rows import read_rows
from prefdata.records.sources import Source
from prefdata.types import Judgment, PreferencePair

LEAST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class JudgeVote:
    """One judge's vote on the pair, all its judgments together."""

    judge: str
    side: str
    """``chosen``, ``rejected``, or the reason why neither."""
    orders: int
    """Orders in which it saw the two."""
    orders_agree: bool | None
    """``None`` where it saw one."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The judgments behind one pair."""

    judgments: tuple[Judgment, ...]
    votes: tuple[JudgeVote, ...]
    tokens: int
    """In and out, of all of them."""
    dollars: float | None
    """By the price table at the time; ``None`` where nothing was known to cost anything."""
    note: str | None
    """Why judgments are missing."""

    def document(self) -> dict[str, Any]:
        """The provenance as JSON."""
        return {
            "judgments": [judgment_record(judgment) for judgment in self.judgments],
            "votes": [asdict(vote) for vote in self.votes],
            "tokens": self.tokens,
            "dollars": self.dollars,
            "note": self.note,
        }


def pair_in(path: Path, id: str) -> tuple[PreferencePair, int]:
    """The pair with this id (or the one whose id starts so) in a file of pairs, and its line.

    Raises InputError for a file without pairs, UsageError where no pair or more than one is meant.
    """
    found: list[tuple[PreferencePair, int]] = []
    any_pair = False
    for row in read_rows([Source(str(path))], "preference_pair", pair_from):
        if row.noun is None:
            continue
        any_pair = True
        if row.noun.id == id:
            return row.noun, row.line
        if len(id) >= LEAST_PREFIX and row.noun.id.startswith(id):
            found.append((row.noun, row.line))
    if not any_pair:
        raise InputError(f"{path} holds no pair", "name a file of pairs, or a dataset folder")
    if len(found) > 1:
        ids = ", ".join(pair.id for pair, _ in found[:3])
        raise UsageError(f"{len(found)} pairs are meant by {id!r}: {ids}", "give the whole id")
    if not found:
        raise UsageError(f"{path} holds no pair with the id {id!r}", "ids are under the key id of its lines")
    return found[0]


def provenance_of(
    judgment_ids: Collection[str], metadata: Mapping[str, Any], pairs: str | Path, judgments: Path | None = None
) -> Provenance:
    """What is behind a pair of the file ``pairs``; its judgments are in ``judgments`` (by default beside ``pairs``)."""
    path = judgments or beside(Path(pairs), "judgments")
    wanted, held, note = set(judgment_ids), {}, None
    if not wanted:
        note = "the pair names no judgment"
    elif not path.exists():
        note = f"{path} is not there: name the judgments with --judgments FILE"
    else:
        try:
            for row in read_rows([Source(str(path))], "judgment", judgment_from):
                if row.noun is not None and row.noun.id in wanted:
                    held[row.noun.id] = row.noun
        except PrefdataError as error:
            note = error.message
        if note is None and (missing := len(wanted) - len(held)):
            note = f"{missing} of its {len(wanted)} judgments are not in {path}"
    found = tuple(held.values())
    sides = {metadata.get(f"{side}_response_id"): side for side in ("chosen", "rejected")}
    dollars = [float(cost) for each in found if (cost := each.metadata.get("cost")) is not None]
    return Provenance(
        judgments=found,
        votes=tuple(_vote(view, sides) for view in _views(found, sides)),
        tokens=sum(int(each.usage.get(name) or 0) for each in found for name in ("prompt_tokens", "completion_tokens")),
        dollars=math.fsum(dollars) if dollars else None,
        note=note,
    )


def told(found: Provenance, metadata: Mapping[str, Any]) -> list[str]:
    """A provenance as lines of text."""
    sides = {metadata.get(f"{side}_response_id"): side for side in ("chosen", "rejected")}
    lines = []
    for judgment in found.judgments:
        lines += ["", f"--- judgment {judgment.id}", *_judgment_lines(judgment, sides)]
    if found.votes:
        lines += ["", "--- votes"]
    for vote in found.votes:
        agree = {True: ", both orders agree", False: ", the orders contradict each other", None: ""}[vote.orders_agree]
        seen = f"{vote.orders} order{'s' if vote.orders > 1 else ''} seen"
        lines.append(f"{vote.judge}: {vote.side} ({seen}{agree})")
    if found.votes:
        agreed = sum(vote.side == "chosen" for vote in found.votes)
        lines.append(f"agreement: {agreed} of {len(found.votes)} judges for chosen")
    if found.judgments:
        dollars = f"${found.dollars:.6f}" if found.dollars is not None else "nothing that the price table knows of"
        lines.append(f"cost: {found.tokens:,} tokens, {dollars}")
    if found.note:
        lines.append(f"behind it: {found.note}")
    return lines


def _judgment_lines(judgment: Judgment, sides: Mapping[Any, str]) -> list[str]:
    judge = judgment.judge

    def named(id: str) -> str:
        return f"{id} ({sides[id]})" if id in sides else id

    ranking = judgment.ranking
    verdict = "none" if ranking is None else " > ".join(" = ".join(named(id) for id in tier) for tier in ranking)
    known = {
        "judge": judge_name(judge) + (f", version {judge.version}" if judge.version else ""),
        "template": f"sha256 {judge.template_sha256}" if judge.template_sha256 else None,
        "shown": ", ".join(named(id) for id in judgment.shown)
        + ("" if judgment.order is None else f" (order {judgment.order})"),
        "verdict": verdict,
        "flags": ", ".join(judgment.flags) or None,
        "P(first)": judgment.probability,
        "strength": judgment.strength,
        "scores": ", ".join(f"{named(id)} {score:g}" for id, score in judgment.scores.items()) or None,
        "rationale": judgment.rationale,
        "usage": ", ".join(f"{name} {value}" for name, value in judgment.usage.items() if isinstance(value, int))
        or None,
        "when": judgment.created_at,
        **judgment.metadata,
    }
    lines = [f"{name:10} {value}" for name, value in known.items() if value is not None]
    return [*lines, *(["raw:", *(f"  {each}" for each in judgment.raw.splitlines())] if judgment.raw else [])]


def _views(judgments: Sequence[Judgment], sides: Mapping[Any, str]) -> list[View]:
    ids = sorted(id for id in sides if isinstance(id, str))
    if len(ids) < 2:
        return []
    seen = views_of_couples(judgments, {id: id for id in ids})
    return seen.get((ids[0], ids[1]), [])


def _vote(view: View, sides: Mapping[Any, str]) -> JudgeVote:
    winner = view.vote.winner
    outcomes = {vote.winner for vote in view.orders.values()}
    return JudgeVote(
        judge=judge_name(view.judge),
        side=sides[winner] if winner is not None else view.vote.reason or "tie",
        orders=len(view.orders),
        orders_agree=len(outcomes) == 1 if len(view.orders) == 2 else None,
    )


def pair_document(pair: PreferencePair, line: int, found: Provenance) -> dict[str, Any]:
    """A pair of a file and what is behind it, as JSON."""
    return {"row": pair_record(pair), "line": line, "provenance": found.document()}
