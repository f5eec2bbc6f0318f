"""Flags of every command that ends in pairs."""

from __future__ import annotations

import click

from prefdata.pairing.pairs import STRATEGIES, TIES

strategy = click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="best-worst",
    show_default=True,
    help="Which responses of a ranked set become pairs.",
)
min_margin = click.option(
    "--min-margin", type=float, default=0.0, show_default=True, help="Make no pair with a smaller margin."
)
tie = click.option(
    "--tie",
    type=click.Choice(TIES),
    default="drop",
    show_default=True,
    help="What two responses without a winner (a tie, or orders that contradict each other) become: nothing; (keep) a "
    "tie record with margin 0, probability 0.5 and metadata.tie; (soft) a pair with the judges' probability, which "
    "then every pair has.",
)
length_matched = click.option(
    "--length-matched",
    type=click.FloatRange(min=1),
    metavar="RATIO",
    help="Make only pairs whose longer side has at most RATIO times the characters of the shorter.",
)
