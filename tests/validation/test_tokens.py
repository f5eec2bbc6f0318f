"""``--tokenizer``: what a trainer will make of rows, told before it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import prefdata
from prefdata.errors import InputError, UsageError
from prefdata.validation.row import row_of
from prefdata.validation.tokens import Tokens, TokenSettings, preview_of, signal
from tests.here import run_here
from tests.validation.rows import chat, text, turns, write
from tests.validation.tokenizers import saved_tokenizer

Capture = pytest.CaptureFixture[str]
AFTER = chat(
    turns("2+2?"),
    turns("4", "Sure?", "Yes.", first="assistant"),
    turns("5", "Sure?", "No.", first="assistant"),
)
"""A user turn after the divergence: stock TRL trains on it, prefdata does not."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_tokenizer(tmp_path_factory.mktemp("model"))


def tokens_of(row: dict[str, Any], model: Path, **options: Any) -> Tokens:
    return Tokens(row_of(row), TokenSettings(str(model), **options))


def codes(path: Path, **options: Any) -> dict[str, int]:
    return {total.code: total.findings for total in prefdata.validate(path, **options).totals}


def test_a_user_turn_after_the_sides_part_trains_under_trl_and_is_masked_under_prefdata(model: Path) -> None:
    texts = {}
    for trainer in ("prefdata", "trl"):
        preview, reason = preview_of(row_of(AFTER), "id", TokenSettings(str(model), trainer=trainer))
        assert preview is not None
        assert reason is None
        texts[trainer] = {
            part: "".join(piece.text for piece in preview.chosen if piece.part == part)
            for part in ("trained", "masked")
        }
    assert "Sure?" in texts["prefdata"]["masked"]
    assert texts["prefdata"]["trained"] == "4<|im_end|>Yes.<|im_end|>"
    assert "Sure?" in texts["trl"]["trained"]
    assert texts["trl"]["masked"] == ""


@pytest.mark.parametrize("trainer", ["prefdata", "trl"])
def test_signal_counts_the_tokens_in_the_loss_after_the_sides_part(trainer: Any, model: Path) -> None:
    row = text("2+2?\n", "yes no 4", "yes no 5")
    pair = tokens_of(row, model, trainer=trainer).whole
    assert pair is not None
    assert signal(pair) == 4, "4 and 5, and the mark of the end after each"


def test_truncation_that_erases_the_difference_refuses_the_row_and_one_that_cuts_it_is_told(
    model: Path, tmp_path: Path
) -> None:
    long = "Sure, let me search. "
    rows = [
        text("2+2?\n", long * 20 + "4", long * 20 + "5"),
        text("3+3?\n", "6 " + long * 20, "7"),
        text(long * 20 + "\n", "6", "7"),
        text("4+4?\n", "8", "9"),
    ]
    path = write(tmp_path / "in.jsonl", *rows)
    result = prefdata.validate(path, tokenizer=model, max_length=60, trainer="trl", ignore=["CNV", "AUD"])
    told = {(finding.line, finding.code): finding.message for finding in result.findings}
    assert set(told) == {(1, "TOK003"), (2, "TOK004"), (3, "TOK003")}
    assert "cutting to length left chosen and rejected the same" in told[1, "TOK003"]
    assert "leaves no room for a completion" in told[3, "TOK003"]
    assert result.statistics["tokens"]["pairs"] == 2
    ours = prefdata.validate(path, tokenizer=model, max_length=60, ignore=["CNV", "AUD"])
    assert {(f.line, f.code) for f in ours.findings} == {(1, "TOK004"), (2, "TOK004"), (3, "TOK004")}
    assert ours.statistics["tokens"]["left_out"] == {"too-long": 3}


def test_tokens_that_merge_over_the_end_of_the_prompt_are_told_for_trl(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", text("Book me a ho", "tel", "liday"))
    assert "TOK005" in codes(path, tokenizer=model, trainer="trl")
    assert "TOK005" not in codes(path, tokenizer=model)


def test_roles_that_the_template_refuses_or_drops(model: Path, tmp_path: Path) -> None:
    brief = {"role": "developer", "content": "Be brief."}
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    dropped = [*turns("Warm?"), call, {"role": "tool", "content": "31 degrees"}]
    rows = [chat([brief, *turns("2+2?")]), chat(dropped), chat()]
    for trainer in ("prefdata", "trl"):
        result = prefdata.validate(write(tmp_path / "in.jsonl", *rows), tokenizer=model, trainer=trainer)
        told = {
            finding.line: (finding.code, finding.json_path) for finding in result.findings if finding.code[:3] == "TOK"
        }
        assert told == {1: ("TOK001", "/prompt"), 2: ("TOK002", "/prompt/2")}
        assert "no developer here" in next(f.message for f in result.findings if f.code == "TOK001")


def test_the_result_does_not_depend_on_the_number_of_processes(model: Path, tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{n}.jsonl", text(f"{n}+2?\n", "4" * n, "5"), text(f"{n}+3?\n", "6", "7" * n)) for n in (2, 3)
    ]
    results = [prefdata.validate(paths, tokenizer=model, jobs=jobs) for jobs in (1, 2)]
    assert results[0] == results[1]
    assert results[0].statistics["tokens"]["pairs"] == 4


def test_the_command_prints_figures_and_a_preview(model: Path, tmp_path: Path, capfd: Capture) -> None:
    path = write(tmp_path / "in.jsonl", AFTER)
    done = run_here(capfd, "validate", path, "--tokenizer", model, "-o", tmp_path / "out")
    assert done.code == 0
    assert f"tokens of {model} under prefdata train dpo: 1 pairs" in done.out
    assert "⟦4<|im_end|>⟧" in done.out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["tokens"]["tokenizer"] == str(model)
    assert manifest["statistics"]["tokens"]["signal"]["min"] > 0
    shown = run_here(capfd, "show", tmp_path / "out", "--tokenizer", model, "--trainer", "trl", "--format", "json")
    row = json.loads(shown.out)[0]
    assert row["tokens"]["chosen"]["masked"] == 0
    done = run_here(capfd, "validate", path, "--tokenizer", model, "--preview", "0", "--format", "json")
    assert orjson.loads(done.out)["statistics"]["tokens"]["trainer"] == "prefdata"


def test_what_cannot_be_meant_is_told(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", text())
    with pytest.raises(UsageError, match="asks for a tokenizer"):
        prefdata.validate(path, max_length=10)
    with pytest.raises(UsageError, match="runs only with --tokenizer"):
        prefdata.validate(path, select=["TOK"])
    with pytest.raises(UsageError, match="no trainer"):
        prefdata.validate(path, tokenizer=model, trainer="other")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be loaded"):
        prefdata.validate(path, tokenizer=tmp_path)


def test_without_a_tokenizer_neither_transformers_nor_torch_is_imported(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", text())
    code = (
        f"import sys, prefdata; prefdata.validate({str(path)!r}); print({{'torch', 'transformers'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
