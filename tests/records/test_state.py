"""The state folder of unfinished work: one process at a time, and only under the settings that began it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefdata.errors import UsageError
from prefdata.records.output import State


def test_other_settings_are_refused_by_name_and_leave_the_folder_free(tmp_path: Path) -> None:
    out = tmp_path / "out"
    State(out, {"seed": 1}).close()
    for _ in range(2):
        with pytest.raises(UsageError, match="seed: 1 then, 2 now"):
            State(out, {"seed": 2})
    with State(out, {"seed": 1}) as state:
        assert state.resumed
        with pytest.raises(UsageError, match="another prefdata process"):
            State(out, {"seed": 1})
    with State(out, {"seed": 2}, restart=True) as state:
        assert not state.resumed
        state.finish()
    assert not state.folder.exists()
