"""AUD: the data set as a whole. Rules over a sample of the rows kept, and over rows that also stand in an eval set."""

from __future__ import annotations

from collections.abc import Iterator

from prefdata.validation.audit import MORE, Audit, GroupShare
from prefdata.validation.registry import Hit, audit_rule, row_rule
from prefdata.validation.row import Row

PREDICTS, PREDICTS_WHERE, COVERS = 0.65, 0.85, 0.1
"""A shortcut is told where the interval of its accuracy lies above ``PREDICTS``; or above ``PREDICTS_WHERE`` among the
pairs that differ in it, where these are at least ``COVERS`` of all."""
APART = 0.25
"""Difference of shares at which a group stands out, their intervals apart."""
ROW = b'{"prompt": "%d+1?", "chosen": "%b", "rejected": "%b"}'
NAMED = b'{"prompt": "%d+1?", "chosen": "%b", "rejected": "%b", "metadata": {"%b": "%b"}}'
LONG, SHORT = b"The sum is %d.", b"It is %d"


def _rows(count: int, chosen: bytes, rejected: bytes) -> list[bytes]:
    return [ROW % (n, chosen % (n + 1), rejected % (n + 2)) for n in range(count)]


def _grouped(key: bytes, apart: bool) -> list[bytes]:
    """Pairs of two groups: in one the longer answer is chosen; in the other the shorter, or (not ``apart``) either."""
    lines = []
    for n in range(240):
        second, longer = n % 2 == 1, n % 4 < 2
        if apart:
            longer = not second
        sides = (LONG, SHORT) if longer else (SHORT, LONG)
        lines.append(NAMED % (n, sides[0] % (n + 1), sides[1] % (n + 2), key, b"second" if second else b"first"))
    return lines


@audit_rule(
    "AUD001",
    "shortcut",
    severity="warning",
    message="something shallow predicts which answer is chosen",
    hint="balance the pairs (sample, or add some of the other kind), or train with a penalty; see report.html",
    why="""Training finds the cheapest thing that explains the preferences. Where length, a refusal, Markdown, lists or
    the place at which the judge saw an answer tell most choices alone, the model learns that instead of what was meant.
    Told where the 95% interval of the accuracy lies above 65%, or above 85% among the pairs that differ in it, where
    these are a tenth of all. Figures are from at most 8,192 rows, chosen by their hashes; pairs of one prompt are drawn
    together.""",
    bad=_rows(40, LONG, SHORT),
    good=_rows(20, LONG, SHORT) + [ROW % (n, SHORT % (n + 1), LONG % (n + 2)) for n in range(20, 40)],
)
def shortcut(audit: Audit) -> Iterator[Hit]:
    for one in audit.shortcuts:
        accuracy, differs, where = one.accuracy, one.differs, one.where_differs
        sure = accuracy.low is not None and accuracy.low > PREDICTS
        below = where.high is not None and where.high < 1 - PREDICTS_WHERE
        above = where.low is not None and where.low > PREDICTS_WHERE
        often = (differs.value or 0) >= COVERS
        if not (sure or (often and (above or below))) or accuracy.value is None:
            continue
        right = where.count if (one.more.value or 0) >= 0.5 else where.total - where.count
        interval = f"{accuracy.low:.0%} to {accuracy.high:.0%}"
        yield Hit(
            f"/{one.name}",
            f"choosing {one.guess} is right for {accuracy.value:.0%} of the pairs ({interval}); "
            f"for {right:,} of the {differs.count:,} that differ in it",
        )


def _outstanding(audit: Audit, by: str) -> Iterator[GroupShare]:
    for one in audit.groups:
        share, rest = one.share, one.rest
        if one.by != by or None in (share.value, share.low, share.high, rest.value, rest.low, rest.high):
            continue
        # Of three groups and more the odd one is told, and not also those that differ from the rest by it alone.
        others = [rest.value or 0, *([] if one.middle is None else [one.middle])]
        apart = all(abs((share.value or 0) - other) >= APART for other in others)
        if apart and ((share.low or 0) > (rest.high or 0) or (share.high or 0) < (rest.low or 0)):
            yield one


def _said(one: GroupShare) -> Hit:
    return Hit(
        f"/{one.by}/{one.name.replace('~', '~0').replace('/', '~1')}",
        f"{one.by} {one.name!r}: {MORE[one.feature]} is chosen in {one.share.value:.0%} of its pairs that differ "
        f"in it, in {one.rest.value:.0%} of the others'",
    )


@audit_rule(
    "AUD002",
    "source-stands-out",
    severity="warning",
    message="the pairs of one source prefer otherwise than all others",
    hint="look at its rows; was its chosen and rejected side mixed up, or its style judged rather than its content?",
    why="""Sources that are mixed should say the same about what is better. One that prefers long answers where all
    others prefer short ones has other annotators, another rubric or its sides swapped, and training averages the two.
    Told where the shares lie 25 points apart and their 95% intervals do not touch.""",
    bad=_grouped(b"source", apart=True),
    good=_grouped(b"source", apart=False),
)
def source_stands_out(audit: Audit) -> Iterator[Hit]:
    yield from map(_said, _outstanding(audit, "source"))


@audit_rule(
    "AUD003",
    "annotator-stands-out",
    severity="warning",
    message="one annotator prefers otherwise than all others",
    hint="look at that annotator's pairs, and at prefdata agree on the judgments",
    why="""An annotator who always takes the longer answer, or the first one shown, decides by that and not by what was
    asked. The annotator is what metadata names as annotator, annotator_id, worker, labeler or judge. Told as for
    sources (AUD002).""",
    bad=_grouped(b"annotator", apart=True),
    good=_grouped(b"annotator", apart=False),
)
def annotator_stands_out(audit: Audit) -> Iterator[Hit]:
    yield from map(_said, _outstanding(audit, "annotator"))


@row_rule(
    "AUD004",
    "prompt-in-eval-set",
    message="the prompt also stands in the data that is kept for evaluation",
    hint="leave the row out of training; --severity AUD004=warning keeps it and only tells",
    why="""What is trained on cannot be measured with. Prompts of TruthfulQA stood in UltraFeedback, prompts of
    RewardBench in Skywork's first release, and figures on them had to be taken back. Prompts are compared with those of
    the files given to --against after folding case and white space: whole, and each turn of the user that is at least
    30 characters long.""",
    bad=b'{"prompt": "What is 2+2?", "chosen": "4", "rejected": "5"}',
    good=b'{"prompt": "What is 2+3?", "chosen": "5", "rejected": "4"}',
    flag="--against",
    screen=lambda _batch: (),
)
def prompt_in_eval_set(_row: Row) -> Iterator[Hit]:
    """Nothing: a row alone does not tell. The engine, which holds the prompts, finds these rows."""
    return iter(())


@audit_rule(
    "AUD005",
    "shared-opening",
    severity="info",
    message="conversations of eval open as conversations of train do",
    hint="cuts of one conversation at different turns may lie on both sides; split the conversations before pairing",
    why="""No prompt stands on both sides of --eval-fraction, but a conversation that was cut into prompts at several
    turns may: the eval then asks how a conversation goes on that was trained on. Counted are rows of eval with several
    turns whose first turn of the user opens a conversation of train too.""",
    bad=[
        b'{"prompt": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, '
        b'{"role": "user", "content": "%d"}], "chosen": [{"role": "assistant", "content": "yes"}], '
        b'"rejected": [{"role": "assistant", "content": "nope"}]}' % number
        for number in range(4)
    ],
    good=[
        b'{"prompt": [{"role": "user", "content": "Hi, %d"}, {"role": "assistant", "content": "Hello!"}, '
        b'{"role": "user", "content": "So?"}], "chosen": [{"role": "assistant", "content": "yes"}], '
        b'"rejected": [{"role": "assistant", "content": "nope"}]}' % number
        for number in range(4)
    ],
    flag="--eval-fraction",
)
def shared_opening(audit: Audit) -> Iterator[Hit]:
    if audit.shared_openings:
        rows = "row" if audit.shared_openings == 1 else "rows"
        yield Hit("/eval", f"{audit.shared_openings:,} {rows} of eval open as a conversation of train does")
