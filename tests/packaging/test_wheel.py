"""The wheel, built from the checkout and installed in a clean environment outside it: what a user gets."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    {"prompt": "What is the capital of France?", "chosen": "Paris.", "rejected": "London."},
    {"prompt": "What is 2 + 2?", "chosen": "4", "rejected": "4"},
]
RESPONSES = {
    "prompt": {"prompt": "What is 2 + 2?", "reference": "4"},
    "responses": [{"response": "5"}, {"response": "4"}],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    finished = subprocess.run(build, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel and its declared dependencies, and no extra."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    finished = subprocess.run(
        [*install, "--constraint", str(ROOT / "constraints.txt"), str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return python.parent


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "prefdata"), *arguments], capture_output=True, text=True, cwd=folder, check=False, timeout=120
    )


def test_the_wheel_ships_the_packages_the_schemas_and_the_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for schema in (ROOT / "schemas").glob("*.json"):
        assert f"prefdata/schemas/{schema.name}" in names
    for template in (ROOT / "prefdata" / "judging" / "templates").glob("*.yaml"):
        assert f"prefdata/judging/templates/{template.name}" in names
    for folder in ("static", "static/vendor", "templates"):
        for file in (ROOT / "prefdata" / "annotation" / folder).iterdir():
            assert file.is_dir() or f"prefdata/annotation/{folder}/{file.name}" in names
    assert {"prefdata/py.typed", "prefdata_trainer/py.typed", "prefdata_trainer/commands.py"} <= names
    assert not [name for name in names if name.startswith(("tests/", "trainer/"))]


def test_the_commands_work_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "responses.jsonl").write_text(json.dumps(RESPONSES) + "\n")

    validated = run(installed, tmp_path, "validate", "pairs.jsonl", "-o", "dataset")
    assert validated.returncode == 1, validated.stderr
    counts = json.loads((tmp_path / "dataset" / "manifest.json").read_text())["counts"]
    assert (counts["lines"], counts["kept"], counts["quarantined"]) == (2, 1, 1)

    judged = run(installed, tmp_path, "judge", "responses.jsonl", "-o", "judged.jsonl", "--judge", "rule:exact-match")
    assert judged.returncode == 0, judged.stderr
    (pair,) = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    assert (pair["chosen"], pair["rejected"]) == ("4", "5")

    version = subprocess.run(
        [str(installed / "python"), "-c", "import prefdata; print(prefdata.__version__, prefdata.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert str(ROOT) not in version.stdout


def test_without_the_extra_train_dpo_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    assert run(installed, tmp_path, "validate", "pairs.jsonl", "-o", "dataset").returncode == 0
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    trained = run(installed, tmp_path, "train", "dpo", "dataset", "--model", "model", "-o", "adapter")
    assert trained.returncode == 3
    assert "pip install 'prefdata[train]'" in trained.stderr
    assert "Traceback" not in trained.stderr
    assert "dpo" in run(installed, tmp_path, "train").stdout


def test_without_the_extra_annotate_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "responses.jsonl").write_text(json.dumps(RESPONSES) + "\n")
    served = run(installed, tmp_path, "annotate", "responses.jsonl", "--store", "s.db")
    assert served.returncode == 3
    assert "pip install 'prefdata[annotate]'" in served.stderr
    assert "Traceback" not in served.stderr
    assert not (tmp_path / "s.db").exists()
