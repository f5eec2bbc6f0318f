"""``prefdata show``: rows as conversations, with what differs between the sides marked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefdata.cli.common import output_format, quiet, token_options
from prefdata.cli.output import print_json, say
from prefdata.errors import InputError, UsageError

if TYPE_CHECKING:
    from prefdata.validation.showing import Shown
    from prefdata.validation.tokens import TokenSettings


@click.command(short_help="Look at pairs as conversations, with what differs marked.")
@click.argument("source", metavar="DATASET|FILE")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only the row of this id, or whose id begins so.")
@click.option("--limit", type=click.IntRange(min=1), default=5, show_default=True, help="Rows to show at most.")
@token_options
@output_format
@quiet
def command(
    source: str, ids: tuple[str, ...], limit: int, format: str, quiet: bool, tokenizer: str | None, **options: Any
) -> None:
    """Show the pairs of a DATASET, of a FILE of pairs (JSONL, .gz or .zst, - for stdin) or of a quarantine.jsonl.

    Each is printed as a conversation. What differs between chosen and rejected is in colour on a terminal, and between
    ⟦ and ⟧ elsewhere. Lines that are no pair are told with the reason. With --tokenizer the tokens follow: which of
    them train under the --trainer, and which are masked.
    """
    from prefdata.validation.showing import LEGEND, lines, rows_shown

    colour = bool(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    rows = list(rows_shown(source, ids=ids, limit=limit))
    if not rows:
        raise InputError(f"there are no rows in {source}", "check the path, and the step that should have written it")
    if tokenizer is None and (options["max_length"] or options["chat_template"]):
        raise UsageError("a length in tokens or a chat template asks for a tokenizer", "add --tokenizer MODEL")
    settings = None if tokenizer is None else _settings(tokenizer, **options)
    if format == "json":
        print_json([{**row.document(), **_tokens(row, settings)} for row in rows])
        return
    say(LEGEND[colour], quiet=quiet)
    click.echo("\n\n".join("\n".join(lines(row, colour=colour)) for row in rows))
    if settings is not None:
        from prefdata.validation.report.tokens import previews

        click.echo("\n" + "\n".join(previews(rows, settings, colour=colour)))


def _settings(tokenizer: str, max_length: int | None, trainer: Any, chat_template: Path | None) -> TokenSettings:
    from prefdata.validation.tokens import TokenSettings

    return TokenSettings(tokenizer, max_length, trainer, None if chat_template is None else str(chat_template))


def _tokens(shown: Shown, settings: TokenSettings | None) -> dict[str, Any]:
    from prefdata.validation.tokens import preview_of

    if settings is None or shown.row is None:
        return {}
    preview, reason = preview_of(shown.row, shown.id or "", settings)
    return {"tokens": None if preview is None else preview.document(), "left_out": reason if preview is None else None}
