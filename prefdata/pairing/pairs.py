"""From one response set and its judgments to preference pairs, or to the one reason why there is none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import xxhash

from prefdata.errors import UsageError
from prefdata.pairing.ranking import RANKINGS, Ranking, ranked, win_rates
from prefdata.pairing.votes import EQUAL, TELLING, Comparison, Couple, comparisons
from prefdata.records.codec import conversation, pair_id, pair_record
from prefdata.types import Content, Judgment, PreferencePair, ResponseSet

Strategy = Literal["best-worst", "best-random", "adjacent", "all"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

BROKEN = "broken"
"""Key of a response's metadata that says why it is not what its writer wrote: it can be judged, and never trains."""

TiePolicy = Literal["drop", "keep", "soft"]
TIES: tuple[TiePolicy, ...] = get_args(TiePolicy)

TIED = ("tie", "inconsistent-orders")
"""Reasons without a winner that a tie policy may make a pair of: verdicts were read, and they do not decide."""

Choice = tuple[str, str]
"""Response ids: chosen, rejected."""


@dataclass(frozen=True, slots=True)
class PairingSettings:
    """How tiers become pairs; raises UsageError for settings that cannot be meant."""

    strategy: Strategy = "best-worst"
    """best-worst: one pair. best-random: one pair, the rejected drawn below the best tier. adjacent: of neighbouring
    tiers. all: of any two tiers."""
    min_margin: float = 0.0
    """A pair whose margin is smaller is not made."""
    seed: int = 0
    ranking: Ranking = "majority"
    """majority: Copeland's score over majorities of the judges. bradley-terry: strengths under Davidson's model, ties
    included. ranked-pairs: Tideman's."""
    weights: Mapping[str, float] = field(default_factory=lambda: EQUAL)
    """How much a judge's vote counts, by ``kind:name``; 1 for those not named."""
    tie: TiePolicy = "drop"
    """drop: two responses without a winner make no pair. keep: they make an explicit tie record, of margin 0,
    probability 1/2 and with the reason under metadata.tie. soft: every pair has the judges' P(chosen is better), and
    those without a winner make one too, the likelier response chosen."""
    length_matched: float | None = None
    """The longer side of a pair has at most this many times the characters of the shorter."""

    def __post_init__(self) -> None:
        if self.ranking not in RANKINGS:
            raise UsageError(f"there is no ranking {self.ranking!r}", f"choose one of {', '.join(RANKINGS)}")
        if self.strategy not in STRATEGIES:
            raise UsageError(f"there is no strategy {self.strategy!r}", f"choose one of {', '.join(STRATEGIES)}")
        if self.tie not in TIES:
            raise UsageError(f"there is no tie policy {self.tie!r}", f"choose one of {', '.join(TIES)}")
        if self.length_matched is not None and not 1 <= self.length_matched < math.inf:
            raise UsageError(f"lengths cannot be matched within {self.length_matched:g}", "give a ratio of 1 or more")
        if not math.isfinite(self.min_margin):
            raise UsageError(f"the least margin must be a finite number, not {self.min_margin}", "for example 0.5")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A response set that gave no pair, and the most telling reason."""

    response_set_id: str
    reason: str
    detail: str | None = None
    response_ids: tuple[str, ...] = ()
    judgment_ids: tuple[str, ...] = ()


def dropped_record(dropped: Dropped) -> dict[str, Any]:
    """A line of the dropped file, without absent keys."""
    record = dataclasses.asdict(dropped)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items() if value}


def pairs_of(
    response_set: ResponseSet,
    judgments: Sequence[Judgment],
    settings: PairingSettings,
    failures: Sequence[str] = (),
) -> tuple[list[PreferencePair], list[Dropped]]:
    """The pairs of one response set, or exactly one Dropped; the order of judgments and of responses does not count.

    ``failures`` are the reasons of calls that gave no judgment. A judge that wants ``prefdata pair`` to come to the
    same pairs later also writes such a call as a judgment without ranking, flagged ``call_failed``. Every pair rests on
    a direct comparison: one with a winner, or (by a tie policy) one without, which its metadata then say. Raises
    ValueError for a judgment of another response set.
    """
    for judgment in judgments:
        if judgment.response_set_id != response_set.id:
            raise ValueError(f"judgment {judgment.id} is of response set {judgment.response_set_id}")
    contents = _contents(response_set)
    broken = {one.id: why for one in response_set.responses if (why := one.metadata.get(BROKEN))}
    whole = [id for id in contents if id not in broken]
    judgment_ids = tuple(sorted({judgment.id for judgment in judgments}))

    def dropped(reason: str, detail: str | None = None) -> tuple[list[PreferencePair], list[Dropped]]:
        return [], [Dropped(response_set.id, reason, detail, tuple(contents), judgment_ids)]

    if len(contents) < 2:
        lost = len(response_set.failures)
        return dropped("fewer-than-two-responses", f"{lost} calls gave no response" if lost else None)
    if broken and len(whole) < 2:
        return dropped("broken-response", "; ".join(f"response {id}: {why}" for id, why in broken.items()))
    aliases = _aliases({id: contents[id] for id in whole})
    distinct = sorted(set(aliases.values()))
    if len(distinct) < 2:
        return dropped("identical-responses")
    if not judgments:
        return dropped("call-failed", _joined(failures)) if failures else dropped("no-judgment")

    compared = comparisons(judgments, aliases, call_failed=bool(failures), weights=settings.weights)
    # A response that nobody compared has no rank: between two tiers it would only hide that they are neighbours.
    seen = {id for couple in compared for id in couple}
    ranking = ranked(settings.ranking, [id for id in distinct if id in seen], compared)
    choices = list(_choices(ranking.tiers, settings))
    margins = _margins(choices, ranking.strengths or win_rates(distinct, compared), compared)
    tied = _tied(ranking.tiers, compared, settings, response_set.id)
    if not margins and not tied:
        couples = [_couple(choice) for choice in choices] or _couples(distinct)
        reason, detail = _most_telling([compared.get(couple) for couple in couples])
        return dropped(reason, detail or (_joined(failures) if reason == "call-failed" else None))
    matched = {choice: margin for choice, margin in margins.items() if _matched(choice, contents, settings)}
    even = {choice: margin for choice, margin in tied.items() if _matched(choice, contents, settings)}
    if not matched and not even:
        nearest = min(_ratio(choice, contents) for choice in (*margins, *tied))
        return dropped("lengths-differ", f"{nearest:.3g} times as long is more than {settings.length_matched:g}")
    wide = {choice: margin for choice, margin in matched.items() if margin >= settings.min_margin}
    if settings.tie == "soft":  # a tie record says that there is no margin: no least one keeps it out
        even = {choice: margin for choice, margin in even.items() if margin >= settings.min_margin}
    if not wide and not even:
        widest = max((matched or tied).values())
        return dropped("margin-below-minimum", f"{widest:g} is less than {settings.min_margin:g}")
    made = []
    for choice in _selected(wide, even, settings, response_set.id):
        comparison = compared[_couple(choice)]
        margin = wide[choice] if choice in wide else even[choice]
        drawn = settings.strategy == "best-random" or choice not in wide
        how = _how(choice, settings, comparison, drawn=drawn)
        how |= _shown(choice, judgments, comparison.judgment_ids)
        made.append(_pair(response_set, contents, choice, margin, comparison, how, settings, tie=choice not in wide))
    return made, []


def _contents(response_set: ResponseSet) -> dict[str, Content]:
    """The content of each response by id: all text, or all messages where the prompt or any response is messages."""
    contents = {response.id: response.content for response in response_set.responses}
    if all(isinstance(content, str) for content in (response_set.prompt.content, *contents.values())):
        return contents
    return {id: conversation(content, "assistant") for id, content in contents.items()}


def _aliases(contents: Mapping[str, Content]) -> dict[str, str]:
    """For each response the least id of those with the same content."""
    groups: list[tuple[Content, list[str]]] = []
    for id, content in contents.items():
        for known, ids in groups:
            if known == content:
                ids.append(id)
                break
        else:
            groups.append((content, [id]))
    return {id: min(ids) for _, ids in groups for id in ids}


def _choices(tiers: Sequence[Sequence[str]], settings: PairingSettings) -> Iterable[Choice]:
    """Which (chosen, rejected) the strategy may take from the tiers.

    Where lengths must match, the best and the worst may not: any two tiers will then do for best-worst.
    """
    strategy = settings.strategy
    if strategy == "best-worst" and settings.length_matched is not None:
        strategy = "all"
    for upper, better in enumerate(tiers):
        for lower in range(upper + 1, len(tiers)):
            wanted = {
                "best-worst": upper == 0 and lower == len(tiers) - 1,
                "best-random": upper == 0,
                "adjacent": lower == upper + 1,
                "all": True,
            }[strategy]
            if wanted:
                yield from ((chosen, rejected) for chosen in better for rejected in tiers[lower])


def _tied(
    tiers: Sequence[Sequence[str]], compared: Mapping[Couple, Comparison], settings: PairingSettings, set_id: str
) -> dict[Choice, float]:
    """Couples without a winner that the tie policy makes pairs of, with their margins.

    Soft: the likelier response is chosen, and the margin is |2 P - 1|. Keep, and at P = 1/2: ids and seed draw which
    stands as chosen, and the margin is 0.
    """
    if settings.tie == "drop":
        return {}
    place = {id: tier for tier, ids in enumerate(tiers) for id in ids}
    found: dict[Choice, float] = {}
    for couple, comparison in compared.items():
        if comparison.winner is not None or comparison.reason not in TIED or not set(couple) <= place.keys():
            continue
        if settings.strategy == "adjacent" and abs(place[couple[0]] - place[couple[1]]) > 1:
            continue
        chance = comparison.probability if settings.tie == "soft" else 0.5
        first = chance > 0.5 if chance != 0.5 else _draw(couple, settings, set_id) & 1 == 0
        found[couple if first else couple[::-1]] = abs(2 * chance - 1)
    return found


def _margins(
    choices: Sequence[Choice], rates: Mapping[str, float], compared: Mapping[Couple, Comparison]
) -> dict[Choice, float]:
    """The margin of each choice that its direct comparison confirms: difference of scores, else of ``rates``.

    These are win rates, or log strengths with Bradley-Terry.
    """
    margins: dict[Choice, float] = {}
    for chosen, rejected in choices:
        comparison = compared.get(_couple((chosen, rejected)))
        if comparison is None or comparison.winner != chosen:
            continue
        difference = comparison.score_difference
        if difference is None:
            margins[chosen, rejected] = rates[chosen] - rates[rejected]
        else:
            margins[chosen, rejected] = difference if comparison.ids[0] == chosen else -difference
    return margins


def _draw(choice: Choice, settings: PairingSettings, set_id: str) -> int:
    """A number that depends on ids and seed alone."""
    return xxhash.xxh3_64_intdigest("\0".join((str(settings.seed), set_id, *choice)).encode())


def _selected(
    margins: Mapping[Choice, float], tied: Mapping[Choice, float], settings: PairingSettings, set_id: str
) -> list[Choice]:
    """The choices that become pairs; where one must be taken, a tie only in want of a winner."""
    if settings.strategy in ("adjacent", "all"):
        return [*margins, *tied]
    of = margins or tied
    if settings.strategy == "best-random" and margins:
        return [min(of, key=lambda choice: _draw(choice, settings, set_id))]
    return [min(of, key=lambda choice: (-of[choice], _draw(choice, settings, set_id)))]


def _matched(choice: Choice, contents: Mapping[str, Content], settings: PairingSettings) -> bool:
    return settings.length_matched is None or _ratio(choice, contents) <= settings.length_matched


def _ratio(choice: Choice, contents: Mapping[str, Content]) -> float:
    """Characters of the longer response over those of the shorter."""
    shorter, longer = sorted(_length(contents[id]) for id in choice)
    return longer / shorter if shorter else (math.inf if longer else 1.0)


def _length(content: Content) -> int:
    return len(content) if isinstance(content, str) else sum(len(message.content or "") for message in content)


def _most_telling(compared: Sequence[Comparison | None]) -> tuple[str, str | None]:
    """The reason that a person would want to know of first, among comparisons that gave no pair."""
    reasons: dict[str, str | None] = {}
    for comparison in compared:
        if comparison is None:
            reasons.setdefault("no-judgment", "the responses were not compared directly")
        elif comparison.winner is not None:
            reasons.setdefault("tie", "the verdicts contradict each other in a cycle")
        else:
            reasons.setdefault(comparison.reason or "tie", comparison.detail)
    return next((name, reasons[name]) for name in TELLING if name in reasons)


def _pair(
    response_set: ResponseSet,
    contents: Mapping[str, Content],
    choice: Choice,
    margin: float,
    comparison: Comparison,
    how: Mapping[str, Any],
    settings: PairingSettings,
    *,
    tie: bool,
) -> PreferencePair:
    prompt = response_set.prompt
    by_id = {response.id: response for response in response_set.responses}
    metadata: dict[str, Any] = {"response_set_id": response_set.id}
    for side, id in zip(("chosen", "rejected"), choice, strict=True):
        metadata[f"{side}_response_id"] = id
        if by_id[id].model is not None:
            metadata[f"{side}_model"] = by_id[id].model
    if prompt.metadata:
        metadata["prompt_metadata"] = dict(prompt.metadata)
    if how:
        metadata["pairing"] = dict(how)
    if tie:
        metadata["tie"] = comparison.reason
    probability = comparison.probability if choice[0] == comparison.ids[0] else 1 - comparison.probability
    # A majority of votes may stand against the mean of probabilities: then nothing speaks for either.
    probability = max(probability, 0.5) if settings.tie == "soft" else 0.5
    chosen, rejected = contents[choice[0]], contents[choice[1]]
    pair = PreferencePair(
        id="",
        prompt=prompt.content if isinstance(chosen, str) else conversation(prompt.content, "user"),
        chosen=chosen,
        rejected=rejected,
        tools=prompt.tools,
        margin=margin,
        probability=probability if tie or settings.tie == "soft" else None,
        judgment_ids=comparison.judgment_ids,
        metadata=metadata,
    )
    return dataclasses.replace(pair, id=pair_id(pair_record(pair)))


def _how(choice: Choice, settings: PairingSettings, comparison: Comparison, *, drawn: bool) -> dict[str, Any]:
    """How the pair came about, where that is not the plain majority: ranking, votes by weight, the seed of a draw."""
    seed = {"strategy": settings.strategy, "seed": settings.seed} if drawn else {}
    if settings.ranking == "majority" and not settings.weights:
        return seed
    first, second, neither = comparison.votes
    chosen, rejected = (first, second) if comparison.ids[0] == choice[0] else (second, first)
    votes = {"chosen": chosen, "rejected": rejected, "neither": neither}
    return {"ranking": settings.ranking, "weighted": bool(settings.weights), "votes": votes, **seed}


def _shown(choice: Choice, judgments: Sequence[Judgment], counted: Collection[str]) -> dict[str, float]:
    """The share of judgments that showed the chosen response first, where it is not half: an audit may want it.

    Only of judges that can be swayed by it.
    """
    firsts = [
        one.shown.index(choice[0]) < one.shown.index(choice[1])
        for one in judgments
        if one.id in counted and one.judge.kind in ("human", "llm") and {*choice} <= {*one.shown}
    ]
    return {} if 2 * sum(firsts) == len(firsts) else {"chosen_shown_first": round(sum(firsts) / len(firsts), 4)}


def _couple(choice: Choice) -> Couple:
    return choice if choice[0] < choice[1] else (choice[1], choice[0])


def _couples(ids: Sequence[str]) -> list[Couple]:
    return [(a, b) for place, a in enumerate(ids) for b in ids[place + 1 :]]


def _joined(reasons: Sequence[str]) -> str | None:
    return "; ".join(sorted(set(reasons))) or None
