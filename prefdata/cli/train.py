"""``prefdata train``: the trainers that are installed, found through the entry-point group ``prefdata.trainers``."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

GROUP = "prefdata.trainers"


def trainers() -> dict[str, click.Command]:
    """The commands by name. A module that an entry point names imports no deep-learning package."""
    return {point.name: point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


class Trainers(click.Group):
    """The trainers found."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(trainers())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return trainers().get(cmd_name)


@click.command(cls=Trainers, invoke_without_command=True, short_help="Train on a validated dataset.")
@click.pass_context
def command(context: click.Context) -> None:
    """Train on a validated dataset; without a trainer's name, list the trainers found."""
    if context.invoked_subcommand is None:
        for name, trainer in trainers().items():
            click.echo(f"{name:12} {trainer.get_short_help_str(limit=100)}")
