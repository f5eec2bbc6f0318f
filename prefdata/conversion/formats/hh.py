"""HH-RLHF (Bai et al. 2022, arXiv:2204.05862): both sides are whole transcripts.

Speakers may repeat and a reply may be empty; both are kept as they stand, for ``validate`` to judge. The branches may
part at any turn.
"""

from __future__ import annotations

import re

from prefdata.conversion.outcomes import Format, Outcome, Row, WrongShapeError, each
from prefdata.conversion.sides import Messages, paired, text

TURN = re.compile(r"\n\n(Human|Assistant):")
SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def transcript(written: str, name: str) -> Messages:
    """The turns of a transcript; one space after the colon is part of the mark, everything else of the text.

    >>> [turn["content"] for turn in transcript("\\n\\nHuman: Hi\\n\\nAssistant: ", "chosen")]
    ['Hi', '']
    """
    parts = TURN.split(written)
    if parts[0].strip() or len(parts) == 1:
        raise WrongShapeError(f'column "{name}" does not begin with "\\n\\nHuman:" or "\\n\\nAssistant:"')
    return [
        {"role": SPEAKERS[speaker], "content": said.removeprefix(" ")}
        for speaker, said in zip(parts[1::2], parts[2::2], strict=True)
    ]


def detect(row: Row) -> float:
    sides = [row.get("chosen"), row.get("rejected")]
    if row.get("prompt") is not None or not all(isinstance(side, str) for side in sides):
        return 0.0
    return sum(bool(TURN.match(str(side))) for side in sides) / 2


def read(row: Row) -> Outcome:
    chosen, rejected = (transcript(text(row, name), name) for name in ("chosen", "rejected"))
    return paired(row, None, chosen, rejected, used=("chosen", "rejected"))


FORMAT = Format(
    name="hh",
    summary="HH-RLHF transcripts",
    signature=r'"chosen" and "rejected" being transcripts that begin with "\n\nHuman:"',
    detect=detect,
    read=each(read),
    aliases=("hh-rlhf",),
    examples=(
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Sum?\n\nAssistant: BETTER",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Sum?\n\nAssistant: WORSE",
        },
    ),
)
