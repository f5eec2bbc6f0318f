"""``prefdata show``: rows as conversations, with what differs between the sides marked."""

from __future__ import annotations

import os
import sys

import click

from prefdata.cli.common import output_format, quiet
from prefdata.cli.output import print_json, say
from prefdata.errors import InputError


@click.command(short_help="Look at pairs as conversations, with what differs marked.")
@click.argument("source", metavar="DATASET|FILE")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only the row of this id, or whose id begins so.")
@click.option("--limit", type=click.IntRange(min=1), default=5, show_default=True, help="Rows to show at most.")
@output_format
@quiet
def command(source: str, ids: tuple[str, ...], limit: int, format: str, quiet: bool) -> None:
    """Show the pairs of a DATASET, of a FILE of pairs (JSONL, .gz or .zst, - for stdin) or of a quarantine.jsonl.

    Each is printed as a conversation. What differs between chosen and rejected is in colour on a terminal, and between
    ⟦ and ⟧ elsewhere. Lines that are no pair are told with the reason.
    """
    from prefdata.validation.showing import LEGEND, lines, rows_shown

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    rows = list(rows_shown(source, ids=ids, limit=limit))
    if not rows:
        raise InputError(f"there are no rows in {source}", "check the path, and the step that should have written it")
    if format == "json":
        print_json([row.document() for row in rows])
    else:
        say(LEGEND[bool(colour)], quiet=quiet)
        click.echo("\n\n".join("\n".join(lines(row, colour=bool(colour))) for row in rows))
