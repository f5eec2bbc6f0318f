"""The rule by which ``prefdata demo`` judges: how much of a booking the reply got right."""

from __future__ import annotations

OPENING = "Booked: "


def slots(reply: str) -> list[str] | None:
    """The slots that a reply books, in order; ``None`` where it is no booking.

    >>> slots("Booked: Kyoto, Friday, 3 nights, 2 guests, twin room.")
    ['Kyoto', 'Friday', '3 nights', '2 guests', 'twin room']
    >>> slots("Booked: Kyoto") is None
    True
    """
    reply = reply.strip()
    if not (reply.startswith(OPENING) and reply.endswith(".")):
        return None
    return reply.removeprefix(OPENING).removesuffix(".").split(", ")


def score(prompt: str, response: str, reference: str) -> float:  # noqa: ARG001 (the signature of a rule)
    """The share of the reference's slots that the response repeats, in [0, 1]; 0 for what is no booking of that shape.

    >>> reference = "Booked: Kyoto, Friday, 3 nights, 2 guests, twin room."
    >>> score("", "Booked: Kyoto, Friday, 2 nights, 2 guests, double room.", reference)
    0.6
    >>> score("", "Your room is ready.", reference)
    0.0
    """
    booked, asked = slots(response), slots(reference)
    if booked is None or asked is None or len(booked) != len(asked):
        return 0.0
    return sum(got == want for got, want in zip(booked, asked, strict=True)) / len(asked)
