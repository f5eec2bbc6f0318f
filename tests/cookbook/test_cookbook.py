"""Every ``console`` block of the cookbook, run in order in a copy of its folder: it must say what stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COOKBOOK = Path(__file__).resolve().parents[2] / "cookbook"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTRIES = sorted(path.parent.name for path in COOKBOOK.glob("*/README.md") if "```console" in path.read_text())


def commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Each command with the lines that it must print, in this order, among others."""
    for block in BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *said = part.splitlines()
            yield command, [line for line in said if line]


@pytest.mark.parametrize("name", ENTRIES)
def test_the_cookbook_says_what_happens(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(COOKBOOK / name, folder)
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, said in commands((COOKBOOK / name / "README.md").read_text()):
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env={**os.environ, "PATH": search, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = iter(done.stdout.splitlines())
        for line in said:
            assert any(line in each for each in printed), f"{command}\ndoes not say (here): {line}\n\n{done.stdout}"
