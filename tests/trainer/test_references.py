"""Reference log-probabilities that outlive a run: found again where nothing changed, and never where something did."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prefdata_trainer import train_dpo
from prefdata_trainer.fast import ReferenceCache, Speed, reference_hash, references
from prefdata_trainer.loading import load_model
from prefdata_trainer.settings import DpoSettings
from prefdata_trainer.theirs import Theirs

from tests.trainer.conftest import MakeDataset, Row, build_model, chat_pairs
from tests.trainer.test_fast import build
from tests.trainer.test_resume import work

LINES = list[str]
pytestmark = pytest.mark.usefixtures("quiet_libraries")


def columns(trainer: Any) -> np.ndarray[Any, Any]:
    return np.array([trainer.train_dataset[name][:] for name in ("ref_chosen_logps", "ref_rejected_logps")])


def refer(
    cache: Path | None, model: Path, rows: Path, folder: Path, **training: Any
) -> tuple[np.ndarray[Any, Any], LINES]:
    """A trainer whose references were computed or read, and what was said of it."""
    lines: LINES = []
    settings = DpoSettings(model=str(model))
    reference = reference_hash(load_model(str(model), settings, Theirs()))
    speed = Speed(cache=ReferenceCache(cache) if cache else None, reference=reference, say=lines.append)
    return columns(build(model, rows, folder, speed=speed, batch=2, **training)), lines


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefdata_trainer.fast import speed

    monkeypatch.setattr(speed, "BLOCK", 4)


@pytest.mark.usefixtures("small_blocks")
def test_a_second_run_reads_what_the_first_computed(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    rows, cache = make_dataset(chat_pairs(10)), tmp_path / "cache"
    first, said = refer(cache, tiny_model, rows, tmp_path / "1")
    assert not said
    assert len(list(cache.iterdir())) == 3
    again, said = refer(cache, tiny_model, rows, tmp_path / "2")
    assert said == [f"reference log-probabilities of 10 pairs taken from {cache}"]
    assert np.array_equal(first, again), "to the last digit"
    without, _ = refer(None, tiny_model, rows, tmp_path / "3")
    assert np.array_equal(first, without)
    plain = build(tiny_model, rows, tmp_path / "4", speed=Speed(fast=False), batch=2)
    assert np.allclose(first, columns(plain), atol=1e-4)


@pytest.mark.usefixtures("small_blocks")
def test_pairs_that_were_added_are_all_that_is_computed(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Ids do not matter, and neither does what a run that was killed left undone."""
    cache = tmp_path / "cache"
    refer(cache, tiny_model, make_dataset(chat_pairs(8), "short"), tmp_path / "1")
    renamed: list[Row] = [{**row, "id": f"new{at}"} for at, row in enumerate(chat_pairs(14))]
    longer, said = refer(cache, tiny_model, make_dataset(renamed, "long"), tmp_path / "2")
    assert said == [f"reference log-probabilities of 8 pairs taken from {cache}"]
    assert np.array_equal(longer, refer(None, tiny_model, make_dataset(renamed, "again"), tmp_path / "3")[0])


@pytest.mark.parametrize(
    "change", ["weights", "configuration", "tokens", "mask", "batch", "ld_alpha", "layout", "type"]
)
def test_whatever_digits_depend_on_is_in_the_name(
    change: str, tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    rows, cache = chat_pairs(6), tmp_path / "cache"
    refer(cache, tiny_model, make_dataset(rows), tmp_path / "1")
    model, settings, training = tiny_model, DpoSettings(model=str(tiny_model)), {}
    kept = load_model(str(tiny_model), settings, Theirs({}, {"dtype": "bfloat16"} if change == "type" else {}))
    if change == "weights":
        with torch.no_grad():
            kept.model.norm.weight[3] += 1e-4
    elif change == "configuration":
        kept.config.rms_norm_eps = 1e-5
    elif change == "tokens":
        rows[-1] = {**rows[-1], "chosen": [{"role": "assistant", "content": "another"}]}
    elif change == "mask":
        rows[-1] = {**rows[-1], "chosen": [*rows[-1]["chosen"], {"role": "user", "content": "so"}]}
    elif change == "ld_alpha":
        training["ld_alpha"] = 0.5
    lines: LINES = []
    speed = Speed(cache=ReferenceCache(cache), reference=reference_hash(kept), say=lines.append)
    speed.sharing = "off" if change == "layout" else "auto"
    batch = 3 if change == "batch" else 2
    build(model, make_dataset(rows, "changed"), tmp_path / "2", speed=speed, batch=batch, **training)
    assert not lines
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["one bit", "cut", "longer", "empty"])
def test_an_altered_entry_is_computed_again(
    damage: str, tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    rows, cache = make_dataset(chat_pairs(6)), tmp_path / "cache"
    first, _ = refer(cache, tiny_model, rows, tmp_path / "1")
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    altered = {"one bit": whole[:-1] + bytes([whole[-1] ^ 1]), "cut": whole[:-8], "longer": whole + whole, "empty": b""}
    entry.write_bytes(altered[damage])
    again, said = refer(cache, tiny_model, rows, tmp_path / "2")
    assert said == [f"1 damaged entries of {cache} are computed again"]
    assert np.array_equal(first, again)
    assert entry.read_bytes() == whole


def test_a_folder_that_takes_no_file_stops_nobody(tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = tmp_path / "file" / "cache"
    _, said = refer(cache, tiny_model, make_dataset(chat_pairs(6)), tmp_path / "1")
    assert said == [f"reference log-probabilities are not kept: {cache}: Not a directory"]


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.write("a" * 32, np.array([[1.0, np.nan]], np.float32))
    assert cache.read("a" * 32, 1) is None


def test_the_entries_unread_for_longest_go_first(tmp_path: Path) -> None:
    import os

    cache = ReferenceCache(tmp_path)
    for at in range(6):
        cache.write(f"{at:032}", np.full((2, 2), at, np.float32))
        os.utime(tmp_path / f"{at:032}", (at, at))
    assert cache.read(f"{0:032}", 2) is not None
    cache.trim(3)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [0, 4, 5]


def test_two_runs_at_once(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes over one empty cache, and a run after them: the same adapter, and the third computes nothing."""
    rows, cache = make_dataset(chat_pairs(12)), tmp_path / "cache"
    told: dict[str, Any] = {"reference_cache": str(cache), "gradient_accumulation": 1, "learning_rate": 1e-3}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["prefdata_trainer.dpo", "tests.trainer.test_resume"])
    running = [
        context.Process(target=work, args=(str(rows), str(tmp_path / name), str(tiny_model), told)) for name in "ab"
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    train_dpo(rows, tmp_path / "c", model=str(tiny_model), quiet=False, **told)
    assert f"reference log-probabilities of 12 pairs taken from {cache}" in capsys.readouterr().err
    adapters = {(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc"}
    assert len(adapters) == 1
    assert [path for path in cache.iterdir() if path.name.startswith(".")] == []


def test_off_leaves_nothing_behind(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert references.default_folder() == tmp_path / "home" / "prefdata" / "references"
    told: dict[str, Any] = {"model": str(tiny_model), "reference_cache": "off"}
    train_dpo(make_dataset(chat_pairs(4)), tmp_path / "adapter", **told)
    assert not (tmp_path / "home" / "prefdata").exists()
    assert not (tmp_path / "adapter.state").exists()
    train_dpo(make_dataset(chat_pairs(4), "again"), tmp_path / "kept", model=str(tiny_model))
    assert len(list(references.default_folder().iterdir())) == 1


def test_a_separate_reference_is_what_names_the_entry(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Two policies, one reference: computed once. Another reference: computed anew."""
    rows, cache = make_dataset(chat_pairs(6)), tmp_path / "cache"
    reference, policy = build_model(tmp_path / "reference", seed=5), build_model(tmp_path / "policy", seed=6)
    for number, (model, separate, entries) in enumerate(
        [(tiny_model, reference, 1), (policy, reference, 1), (policy, tiny_model, 2), (policy, None, 3)]
    ):
        told: dict[str, Any] = {"model": str(model), "model_ref": None if separate is None else str(separate)}
        train_dpo(rows, tmp_path / f"adapter{number}", reference_cache=str(cache), **told)
        assert len(list(cache.iterdir())) == entries
