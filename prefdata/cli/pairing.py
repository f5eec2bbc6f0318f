"""Flags of every command that ends in pairs."""

from __future__ import annotations

import click

from prefdata.pairing.pairs import STRATEGIES

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
