"""PRF, continued: rows that clash with other rows of the input."""

from __future__ import annotations

from collections.abc import Iterator

from prefdata.validation.cycles import Cycle
from prefdata.validation.duplicates import Group
from prefdata.validation.registry import DatasetHit, Hit, cycle_rule, dataset_rule, id_rule

ROW = b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}'
TURNED = b'{"prompt": "2+2?", "chosen": "5", "rejected": "4"}'
OTHER = b'{"prompt": "2+3?", "chosen": "5", "rejected": "4"}'


@dataset_rule(
    "PRF003",
    "duplicate-pair",
    severity="warning",
    action="drop",
    message="the same pair stands earlier in the input",
    hint="nothing to do: the first one is kept, this one is in dropped.jsonl",
    why="""A pair that stands twice counts twice, and one that lands in both train and eval makes the eval worthless.
    The prompt and both answers are compared after normalisation; id, margin and metadata are not.""",
    bad=(ROW, ROW),
    good=(ROW, OTHER),
)
def duplicate_pair(group: Group) -> Iterator[DatasetHit]:
    for way in (True, False):
        alike = [o for o, its in zip(group.ordinals, group.orientations, strict=True) if its is way]
        for ordinal in alike[1:]:
            yield DatasetHit(ordinal, Hit(message="the same pair as {others}"), (alike[0],))


@dataset_rule(
    "PRF004",
    "contradictory-pairs",
    message="another row prefers the same two answers the other way round",
    hint="decide which row is right and validate quarantine.jsonl again with only that one in it",
    why="""Of two rows that say A > B and B > A at least one is wrong, and which cannot be known here; together they
    teach nothing. Both are refused, so that no coin is tossed. Mostly annotators disagreed, or a judge followed the
    order shown.""",
    bad=(ROW, TURNED),
    good=(ROW, OTHER),
)
def contradictory_pairs(group: Group) -> Iterator[DatasetHit]:
    if not group.contradictory:
        return
    against = {
        way: tuple(o for o, its in zip(group.ordinals, group.orientations, strict=True) if its is not way)
        for way in (True, False)
    }
    for ordinal, way in zip(group.ordinals, group.orientations, strict=True):
        yield DatasetHit(
            ordinal, Hit(message="{others} prefers the same two answers the other way round"), against[way]
        )


def _round(*pairs: tuple[str, str]) -> tuple[bytes, ...]:
    return tuple(b'{"prompt": "Tea?", "chosen": "%b", "rejected": "%b"}' % (a.encode(), b.encode()) for a, b in pairs)


@cycle_rule(
    "PRF012",
    "preference-cycle",
    message="preferences of this prompt go round in a circle",
    hint="mend or leave out the wrong row and validate quarantine.jsonl again; prefdata pair ranks all answers at once",
    why="""Rows that say A > B, B > C and C > A cannot all be right: no order of the answers agrees with them. At the
    start of training their gradients cancel exactly, as those of a contradiction do. Which row is wrong cannot be known
    here, so all rows of the circle are refused. Mostly several annotators or judges were pooled without a ranking.""",
    bad=_round(("A", "B"), ("B", "C"), ("C", "A")),
    good=_round(("A", "B"), ("B", "C"), ("A", "C")),
)
def preference_cycle(cycle: Cycle) -> Iterator[DatasetHit]:
    first, *others = cycle.ordinals
    letters = " > ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 26] for number in range(len(cycle.ordinals)))
    yield DatasetHit(first, Hit(message=f"{letters} > A: this row says A > B, the rest say {{others}}"), tuple(others))


@id_rule(
    "PRF014",
    "id-clash",
    severity="warning",
    message="another pair has the same id",
    hint="give each pair an id of its own, or leave ids out: they are then made from the content",
    why="""An id leads from a trained pair back to its line and judgments. Two different pairs of one id cannot be told
    apart by it: prefdata explain DATASET ID names both, and margins by pair are mixed up.""",
    bad=(
        b'{"id": "1", "prompt": "2+2?", "chosen": "4", "rejected": "5"}',
        b'{"id": "1", "prompt": "2+3?", "chosen": "5", "rejected": "4"}',
    ),
    good=(
        b'{"id": "1", "prompt": "2+2?", "chosen": "4", "rejected": "5"}',
        b'{"id": "2", "prompt": "2+3?", "chosen": "5", "rejected": "4"}',
    ),
)
def id_clash(group: Group) -> Iterator[DatasetHit]:
    for ordinal in group.ordinals[1:]:
        yield DatasetHit(ordinal, Hit("/id", "{others} is another pair with this id"), group.ordinals[:1])
