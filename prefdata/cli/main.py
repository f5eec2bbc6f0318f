"""The command ``prefdata``: its subcommands, each in a file of this folder that is imported only when it is called."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Any

import click

from prefdata.cli.output import fail
from prefdata.errors import InputError, PrefdataError
from prefdata.version import __version__

COMMANDS = {
    "demo": "Run the whole road on an embedded default, each step printed.",
    "convert": "Turn a foreign preference format into pairs.",
    "collect": "Sample responses to prompts from models at OpenAI-compatible endpoints.",
    "annotate": "Have people rank responses, in a browser or at a terminal.",
    "judge": "Judge responses with models or rules, and build pairs.",
    "pair": "Build pairs from judgments of any judges and people.",
    "agree": "Measure agreement, consistency and bias of judgments.",
    "validate": "Check pairs and write a dataset that can be trained on.",
    "show": "Look at pairs as conversations, with what differs marked.",
    "explain": "Explain a rule, or where a pair of a dataset came from.",
    "train": "Train on a validated dataset.",
}

MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""Faults of disks and permissions, which no command can foresee."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"prefdata.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "PREFDATA",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="prefdata")
def cli() -> None:
    """Preference data you can trust: collect, judge, pair and validate it, then train on exactly what you saw.

    Data goes to stdout, messages and progress to stderr. Exit codes: 0 ok, 1 findings, 2 usage or input, 3 a missing
    extra, key or service, or an altered dataset, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; expected failures become one clear line, and Ctrl-C or SIGTERM a clean stop."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = cli.main(arguments, prog_name="prefdata", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted: what was finished is kept; run the same command again to continue", err=True)
        code = 130
    except KeyboardInterrupt:
        click.echo("interrupted: what was finished is kept; run the same command again to continue", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except PrefdataError as error:
        fail(error)
        code = error.exit_code
    except BrokenPipeError:  # the reader of stdout has gone, as `| head` does: no fault of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        if error.errno not in MACHINE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        hint = "mend that and run the same command again: what was finished is kept"
        fail(InputError(f"{where}{error.strerror}", hint))
        code = InputError.exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _terminated(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
