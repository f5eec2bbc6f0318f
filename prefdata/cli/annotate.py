"""``prefdata annotate``: people rank responses in a browser, or at a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from prefdata.cli import common
from prefdata.cli.output import print_json, say
from prefdata.pairing.pairs import STRATEGIES, Strategy

if TYPE_CHECKING:
    from prefdata.annotation.annotate import Served
    from prefdata.annotation.export import ExportResult


class _Group(click.Group):
    """``prefdata annotate RESPONSES …`` is ``prefdata annotate serve RESPONSES …``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group("annotate", cls=_Group, short_help="Have people rank responses, in a browser or at a terminal.")
def command() -> None:
    """Have people rank responses, and export what they said as judgments.

    \b
    prefdata annotate RESPONSES --store STORE.db        serve it (the same as annotate serve)
    prefdata annotate export STORE.db -o JUDGMENTS.jsonl
    """


@command.command("serve", context_settings={"auto_envvar_prefix": "PREFDATA_ANNOTATE"})
@click.argument("responses", nargs=-1, required=True)
@click.option(
    "--store", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where answers are kept (SQLite)."
)
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="NAME",
    help="Who annotates; repeat it. A link is printed for each. [default: all of the store, or your login name]",
)
@click.option("--overlap", type=click.IntRange(1), help="Answers wanted for each item. [default: 1]")
@click.option(
    "--template", type=click.Path(path_type=Path), metavar="FILE", help="YAML rubric: instructions, criteria to rate."
)
@click.option("--queue", multiple=True, metavar="JUDGMENTS", help="Put items first on which these judges disagree.")
@click.option("--gold", multiple=True, metavar="JUDGMENTS", help="Known answers, mixed in for everyone unseen.")
@click.option("--gold-rate", type=float, help="Share of tasks that are gold. [default: 0.1]")
@click.option("--reask-rate", type=float, help="Share of tasks asked again with sides swapped. [default: 0]")
@click.option(
    "--lease", "lease_minutes", type=float, metavar="MINUTES", help="How long a shown item is kept. [default: 30]"
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes any free port.")
@click.option("--url", metavar="URL", help="The address by which people reach it, if another (a proxy's, with https).")
@click.option("--terminal", is_flag=True, help="Ask here, without a server or browser.")
@click.option("--seed", type=int, help="Seed of the orders shown and of what is mixed in. [default: 0]")
@common.limit
@common.output_format
@common.quiet
@common.config
def serve(
    responses: tuple[str, ...],
    store: Path,
    annotators: tuple[str, ...],
    overlap: int | None,
    template: Path | None,
    queue: tuple[str, ...],
    gold: tuple[str, ...],
    gold_rate: float | None,
    reask_rate: float | None,
    lease_minutes: float | None,
    host: str,
    port: int,
    url: str | None,
    terminal: bool,
    seed: int | None,
    limit: int | None,
    format: str,
    quiet: bool,
) -> int:
    """Serve the response sets in RESPONSES to annotators, each by a signed link of their own, until Ctrl-C.

    The store is a log that is only added to: start the same command again to go on, with more RESPONSES or annotators
    if you like. Flags that are not given stay as the store has them.
    """
    from prefdata.annotation.annotate import annotate

    def ready(told: Served) -> None:
        if format == "json" and not terminal:
            print_json({"annotators": dict(told.annotators), "owner": told.owner, "items": told.imported.items})
        else:
            _announce(told, store, quiet)

    annotate(
        responses,
        store,
        annotators=annotators,
        host=host,
        port=port,
        url=url,
        overlap=overlap,
        reask_rate=reask_rate,
        gold=gold or None,
        gold_rate=gold_rate,
        queue=queue or None,
        lease_minutes=lease_minutes,
        template=template,
        seed=seed,
        limit=limit,
        terminal=terminal,
        ready=ready,
    )
    return 0


def _announce(told: Served, store: Path, quiet: bool) -> None:
    found = told.imported
    say(f"{found.items} response sets, {found.new} of them new: {store}", quiet=quiet)
    for reason, number in found.not_asked.items():
        say(f"  {number:>8}  not asked about: {reason}", quiet=quiet)
    if found.invalid_lines:
        click.echo(f"{found.invalid_lines} lines hold no response set ({found.first_problem})", err=True)
    if told.gold:
        say(f"{told.gold} items with a known answer", quiet=quiet)
    if told.queued:
        say(f"{told.queued} items with judges' views; those on which they disagree come first", quiet=quiet)
    if told.open_to_others:
        click.echo(
            "warning: this server listens to other machines. Who has a link can annotate under its name; use https "
            "(--url) outside a network that you trust.",
            err=True,
        )
    for name, link in told.annotators.items():
        click.echo(f"{name}: {link}")
    if told.owner:
        click.echo(f"owner (dashboard): {told.owner}")
        say("Ctrl-C stops it; every answer that was confirmed is in the store", quiet=quiet)


@command.command("export")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where the judgments go (JSONL).")
@click.option(
    "--pairs", type=click.Path(path_type=Path), help="Write the pairs too, those of edited responses with them."
)
@click.option("--as-of", metavar="TIME", help="What stood at that time (2026-01-31T12:00:00Z).")
@click.option(
    "--exclude",
    multiple=True,
    metavar="FLAG",
    help="Leave responses with this flag (harmful, refusal, personal_data, broken) out of comparisons; repeat it.",
)
@click.option(
    "--adjudicated",
    type=click.Choice(["replace", "add"]),
    default="replace",
    show_default=True,
    help="Whether the owner's word replaces the answers that it decides between.",
)
@click.option("--surplus", is_flag=True, help="Count late answers too, which came when an item had all that it needs.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="best-worst",
    show_default=True,
    help="Which pairs of a ranking.",
)
@common.overwrite
@common.output_format
@common.quiet
@common.config
def export(
    store: Path,
    output: Path,
    pairs: Path | None,
    as_of: str | None,
    exclude: tuple[str, ...],
    adjudicated: Literal["replace", "add"],
    surplus: bool,
    strategy: Strategy,
    overwrite: bool,
    format: str,
    quiet: bool,
) -> int:
    """Write what people said in STORE as judgments, which prefdata pair and agree take as they take those of judge.

    Beside the output: OUTPUT.edits and OUTPUT.edit-judgments hold each improved response and that it is better than the
    original; OUTPUT.dropped lists every item that makes no pair, with the reason. A tie, both good and both bad are
    votes for neither response, "cannot judge" is no vote. The store may be in use.
    """
    from prefdata.annotation.export import export_annotations

    result = export_annotations(
        store,
        output,
        pairs=pairs,
        as_of=as_of,
        exclude=exclude,
        adjudicated=adjudicated,
        surplus=surplus,
        strategy=strategy,
        overwrite=overwrite,
    )
    if format == "json":
        print_json(result.record())
    else:
        _summary(result, quiet)
    return 0


def _summary(result: ExportResult, quiet: bool) -> None:
    click.echo(f"{result.judgments} judgments as of {result.as_of or 'the start'}: {result.output}", err=True)
    if result.edits:
        click.echo(f"{result.edits} improved responses: {result.edits_output}", err=True)
    if result.pairs_output:
        click.echo(f"{result.pairs} pairs: {result.pairs_output}", err=True)
    for number, words in (
        (result.surplus, "late answers left out (--surplus)"),
        (result.superseded, "answers stand behind an adjudication (--adjudicated add)"),
        (result.excluded, "responses left out for their flags"),
    ):
        if number:
            say(f"{number} {words}", quiet=quiet)
    if result.dropped:
        click.echo(f"no pair from {result.dropped.total()} of {result.items} items: {result.dropped_output}", err=True)
        for reason, number in result.dropped.most_common():
            click.echo(f"  {number:>8}  {reason}", err=True)
