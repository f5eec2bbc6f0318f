"""The command line inside the test's own process: the same code as in a process of its own, without its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from prefdata.cli.main import main


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


def run_here(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> Finished:
    """Run ``prefdata *arguments``; what it printed is taken from ``capfd``."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(stopped.value.code, int)
    return Finished(stopped.value.code, out, err)
