"""What a user gets wrong with ``pair`` and ``agree``: one clear line, and one that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefdata.types import Judge
from tests.here import run_here
from tests.pairing.published import judgment, write

ANN = Judge("human", "ann")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    outputs = [{"id": "1", "response": "x"}, {"id": "2", "response": "y"}]
    write(tmp_path / "r.jsonl", [{"id": "0", "prompt": {"prompt": "Q"}, "responses": outputs}])
    write(tmp_path / "other.jsonl", [{"id": "7", "prompt": {"prompt": "Q"}, "responses": outputs}])
    write(tmp_path / "j.jsonl", [judgment(0, 0, 1, ANN)])
    write(tmp_path / "p.jsonl", [{"prompt": "Q", "chosen": "x", "rejected": "y"}])
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "w.yaml").write_text("human:anna: 2")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said", "way_out"),
    [
        (["pair", "j.jsonl", "r.jsonl"], "no line of r.jsonl is a judgment", "looks like a file of response sets"),
        (["pair", "p.jsonl", "j.jsonl"], "no line of p.jsonl is a response set", "looks like a file of pairs"),
        (["pair", "other.jsonl", "j.jsonl"], "no judgment belongs to any of the response sets", "that were judged"),
        (["pair", "r.jsonl", "empty.jsonl"], "empty.jsonl is empty", "one judgment a line"),
        (["pair", "r.jsonl", "none.jsonl"], "none.jsonl: no such file", "check the path"),
        (["pair", "r.jsonl", "j.jsonl", "--weights", "w.yaml"], "no judgment is by human:anna", "judges are human:ann"),
        (["pair", "r.jsonl", "j.jsonl", "--criterion", "safe"], "of the criterion 'safe'", "leave out --criterion"),
        (["agree", "r.jsonl"], "no line of r.jsonl is a judgment", "looks like a file of response sets"),
        (["agree", "j.jsonl", "--responses", "other.jsonl"], "no judgment belongs to any", "leave out --responses"),
        (["agree", "j.jsonl", "--gold", "j.jsonl"], "j.jsonl is named twice", "name it once"),
        (["convert", "r.jsonl"], "in no format that is known", "response sets of ours"),
        (["convert", "j.jsonl"], "in no format that is known", "judgments of ours"),
    ],
    ids=str,
)
def test_one_line_and_a_way_out(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str, way_out: str
) -> None:
    output = [] if arguments[0] == "agree" else ["-o", "out.jsonl"]
    done = run_here(capfd, *arguments, *output)
    assert (done.code, len(done.err.splitlines())) == (2, 2), done.err
    happened, to_do = done.err.splitlines()
    assert said in happened
    assert way_out in to_do
    assert not (folder / "out.jsonl").exists()
