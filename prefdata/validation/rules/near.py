"""PRF, continued: rows that are nearly the same as others of the input; asked for by ``--near-duplicates``."""

from __future__ import annotations

from collections.abc import Iterator

from prefdata.validation.near import Alike
from prefdata.validation.registry import DatasetHit, Hit, near_rule

_ROW = b'{"prompt": "What is the capital of France, and why is it there?", "chosen": "%b", "rejected": "It is London."}'
_LONG = b"It is Paris, since kings have held court on its island in the river Seine for a thousand years"


@near_rule(
    "PRF015",
    "near-duplicate",
    severity="warning",
    message="an earlier row is nearly the same",
    hint="keep one row of a cluster; two that differ by a word count nearly twice, and leak from train into eval",
    why="""Rows that were paraphrased by a script, scraped twice or sampled twice differ in a few letters only. They
    weigh twice, and where one is in train and one in eval the eval measures memory. Rows are compared by all runs of
    eight bytes of prompt, chosen and rejected: each must agree to 80% (Jaccard), or to the share given with
    --near-duplicates. Likeness of meaning is not seen. A row that prefers nearly the same answers the other way round
    is told too.""",
    bad=(_ROW % (_LONG + b"."), _ROW % (_LONG + b"!")),
    good=(_ROW % (_LONG + b"."), _ROW.replace(b"France", b"Spain and of Portugal") % b"They are Madrid and Lisbon."),
)
def near_duplicate(alike: Alike) -> Iterator[DatasetHit]:
    shares = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(("prompt", "chosen", "rejected"), alike.similarities, strict=True)
    )
    way = "nearly the same answers preferred the other way round in" if alike.turned else "nearly the same row as"
    cluster = f"; {alike.cluster} rows hang together so" if alike.cluster > 2 else ""
    yield DatasetHit(
        alike.ordinal, Hit(f"/{alike.side}", f"{way} {{others}} ({shares}{cluster})", parts=alike.parts), (alike.other,)
    )
