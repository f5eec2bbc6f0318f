"""Short ways to say response sets and judgments in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefdata.types import Content, Judge, Judgment, Prompt, Response, ResponseSet

LLM = Judge("llm", "gpt")
OTHER = Judge("llm", "claude")
THIRD = Judge("human", "ann")
RULE = Judge("rule", "length")


def response_set(*contents: Content, ids: str = "abcdefgh", prompt: Content = "Q?") -> ResponseSet:
    """A response set whose responses are called a, b, c, …"""
    responses = tuple(Response(id, content, model=f"m-{id}") for id, content in zip(ids, contents, strict=False))
    return ResponseSet("set", Prompt("prompt", prompt), responses)


def judgment(
    shown: str | Sequence[str],
    ranking: str | None,
    judge: Judge = LLM,
    *,
    flags: tuple[str, ...] = (),
    scores: Mapping[str, float] | None = None,
    id: str | None = None,
) -> Judgment:
    """``judgment("ba", "a>b")``: shown b then a, a better; ``=`` ties; None is unreadable unless flags say more."""
    tiers = None if ranking is None else tuple(tuple(tier.split("=")) for tier in ranking.split(">"))
    if tiers is None and not flags:
        flags = ("unreadable",)
    return Judgment(
        id=id or f"{judge.name}:{''.join(shown)}:{ranking}:{flags}:{scores}",
        response_set_id="set",
        shown=tuple(shown),
        ranking=tiers,
        judge=judge,
        flags=flags,
        scores=scores or {},
        order=int(list(shown) != sorted(shown)),
    )


def both(winner: str, loser: str, judge: Judge = LLM) -> list[Judgment]:
    """A consistent verdict in both orders."""
    return [
        judgment([winner, loser], f"{winner}>{loser}", judge),
        judgment([loser, winner], f"{winner}>{loser}", judge),
    ]
