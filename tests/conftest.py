"""What the tests of every room share: the real command line in a real process, and the real data beside the clone."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

OWN_CACHE = "prefdata-tests-"
if OWN_CACHE not in os.environ.get("XDG_CACHE_HOME", ""):  # the processes that tests begin share this one
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix=OWN_CACHE)
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every process that they begin.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data with published figures; the test skips, saying so, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent: the public data sets with published figures are not here")
    return SHARED


@pytest.fixture(scope="session")
def prefdata() -> Run:
    """``prefdata(*arguments, stdin=None, cwd=None, env=None)``: the installed command in a process of its own."""

    def run(
        *arguments: str | Path,
        stdin: bytes | str | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        finished = subprocess.run(
            [str(Path(sys.executable).parent / "prefdata"), *map(str, arguments)],
            input=data if data is not None else b"",
            capture_output=True,
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(
            finished.args, finished.returncode, finished.stdout.decode(), finished.stderr.decode()
        )

    return run
