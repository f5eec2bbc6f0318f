"""The public boundary: what is listed is what is there, and importing it costs next to nothing."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

import prefdata
from prefdata.cli.main import COMMANDS, cli
from tests.conftest import Run

HEAVY = ["torch", "transformers", "trl", "peft", "datasets", "openai", "pyarrow", "pandas", "numpy", "aiohttp"]


def imported_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after running ``code``."""
    probe = f"{code}\nimport sys, json; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    finished = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(json.loads(finished.stdout.splitlines()[-1]))


def test_every_listed_name_exists_and_every_function_is_the_one_of_its_command() -> None:
    for name in prefdata.__all__:
        assert getattr(prefdata, name) is not None
    for name in ("agree", "annotate", "collect", "convert", "judge", "pair", "validate"):
        function = getattr(prefdata, name)
        assert inspect.isfunction(function), name
        assert function.__name__ == name
        assert function.__doc__
        assert name in COMMANDS


def test_functions_are_not_shadowed_by_modules_after_use() -> None:
    for _ in range(2):
        assert inspect.isfunction(prefdata.validate)
        assert inspect.isfunction(prefdata.judge)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prefdata.nothing


def test_importing_prefdata_loads_nothing_heavy() -> None:
    assert imported_after("import prefdata") == set()


HELP = [["--help"], ["--version"], ["train"], ["train", "dpo", "--help"], *([name, "--help"] for name in COMMANDS)]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    run = f"from prefdata.cli.main import main\ntry: main({arguments!r})"
    assert imported_after(f"{run}\nexcept SystemExit as stop: assert stop.code == 0, stop.code") == set()


def test_lines_are_converted_without_arrow(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "Sum?", "chosen": "BETTER", "rejected": "WORSE"}\n')
    paths = [str(tmp_path / name) for name in ("p.jsonl", "out.jsonl")]
    assert imported_after(f"import prefdata; prefdata.convert({paths[0]!r}, output={paths[1]!r})") == set()


@pytest.mark.parametrize("content", ["x", [{"role": "user", "content": "x"}]], ids=["text", "chat"])
def test_rows_are_validated_without_pandas_and_datasets(tmp_path: Path, content: str | list[dict[str, str]]) -> None:
    calls = [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]}]
    one, other = ("BETTER", "WORSE") if isinstance(content, str) else (calls, [{"role": "assistant", "content": "no"}])
    row = {
        "prompt": content,
        "chosen": one,
        "rejected": other,
        "margin": 1,
        "judgment_ids": ["j"],
        "metadata": {"a": 1},
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    paths = [str(tmp_path / name) for name in ("p.jsonl", "out")]
    code = f"import prefdata; assert prefdata.validate({paths[0]!r}, output={paths[1]!r}, fail_on='never').counts.kept"
    assert imported_after(code) == {"numpy", "pyarrow"}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_in_the_list_explains_itself(name: str) -> None:
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name}: {parameter.name} has no help"


def test_flags_come_from_the_environment_and_a_config_file_in_their_order(prefdata: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "2+2?", "chosen": "4", "rejected": "5"}\n')
    (tmp_path / "flags.yaml").write_text("format: github\nlimit: 1\n")
    text = prefdata("validate", "pairs.jsonl", cwd=tmp_path)
    json_ = prefdata("validate", "pairs.jsonl", cwd=tmp_path, env={"PREFDATA_VALIDATE_FORMAT": "json"})
    assert json.loads(json_.stdout)["counts"]["kept"] == 1
    assert not text.stdout.startswith("{")
    line = prefdata("validate", "pairs.jsonl", "--config", "flags.yaml", "--format", "json", cwd=tmp_path)
    assert json.loads(line.stdout)["counts"]["kept"] == 1

    (tmp_path / "flags.yaml").write_text("formt: json\n")
    wrong = prefdata("validate", "pairs.jsonl", "--config", "flags.yaml", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "formt" in wrong.stderr
    assert "Traceback" not in wrong.stderr
