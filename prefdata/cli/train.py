"""``prefdata train``: the trainers that are installed, found through the entry-point group ``prefdata.trainers``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

GROUP = "prefdata.trainers"


class Trainers(click.Group):
    """Each entry point loads a click command; loading one imports no deep-learning package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(point.name for point in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found: list[EntryPoint] = [point for point in entry_points(group=GROUP) if point.name == cmd_name]
        if not found:
            return None
        command = found[0].load()
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Trainers, invoke_without_command=True, short_help="Train on a validated dataset.")
@click.pass_context
def command(context: click.Context) -> None:
    """Train on a validated dataset; without a trainer's name, list the trainers found."""
    if context.invoked_subcommand is None:
        for name in sorted(point.name for point in entry_points(group=GROUP)):
            loaded = context.command.get_command(context, name)  # type: ignore[attr-defined]
            click.echo(f"{name:12} {loaded.get_short_help_str(limit=90) if loaded else ''}")
