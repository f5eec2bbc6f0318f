"""PRF, continued: rows that clash with other rows of the input."""

from __future__ import annotations

from collections.abc import Iterator

from prefdata.validation.duplicates import Group
from prefdata.validation.registry import DatasetHit, Hit, dataset_rule

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
    for ordinal, way in zip(group.ordinals, group.orientations, strict=True):
        against = tuple(o for o, its in zip(group.ordinals, group.orientations, strict=True) if its is not way)
        yield DatasetHit(ordinal, Hit(message="{others} prefers the same two answers the other way round"), against)
