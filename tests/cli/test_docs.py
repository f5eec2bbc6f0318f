"""The generated pages of docs/ are those that the code would generate now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "module"), [("commands.md", "prefdata.cli.docs"), ("rules.md", "prefdata.validation.docs")]
)
def test_the_generated_page_is_current(page: str, module: str) -> None:
    generated = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=True).stdout
    assert (DOCS / page).read_text(encoding="utf-8") == generated, f"run: make docs (docs/{page} is out of date)"
