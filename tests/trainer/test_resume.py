"""Killed at any instant and run again, a run ends with the same bytes as one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefdata_trainer import train_dpo
from prefdata_trainer.callbacks import WHOLE

from prefdata.errors import PrefdataError, UsageError
from tests.trainer.conftest import MakeDataset, trajectory_pairs

SETTINGS: dict[str, Any] = {
    "learning_rate": 2e-3,
    "epochs": 3,
    "gradient_accumulation": 2,
    "save_steps": 4,
    "lora_dropout": 0.1,  # draws random numbers in every step: their state must be taken up, too
    "passed": {"logging_steps": ("3",)},  # averages that would span a checkpoint
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def work(dataset: str, output: str, model: str, settings: dict[str, Any]) -> None:
    """A run in a child process."""
    import torch

    torch.set_num_threads(1)
    try:
        train_dpo(dataset, output, model=model, **settings)
    except PrefdataError as error:
        Path(output + ".error").write_text(error.message)


Begin = Callable[..., Any]


@pytest.fixture(scope="module")
def begin() -> Begin:
    """Starts a run in a process of its own, forked from one in which torch and TRL are loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["prefdata_trainer.dpo", "tests.trainer.test_resume"])

    def start(dataset: Path, output: Path, model: Path, **changes: Any) -> Any:
        process = context.Process(target=work, args=(str(dataset), str(output), str(model), {**SETTINGS, **changes}))
        process.start()
        return process

    return start


def wait_for(condition: Callable[[], bool], process: Any) -> None:
    """Until ``condition`` holds or the process has ended."""
    while not condition() and process.exitcode is None:
        time.sleep(0.002)


def kill(process: Any) -> bool:
    """SIGKILL; whether the process was still at work."""
    process.kill()
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def test_killed_at_random_moments(begin: Begin, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    """Kills while rendering, while loading, while a checkpoint is being written, between two, and while finishing."""
    dataset, output = make_dataset(trajectory_pairs(24)), tmp_path / "adapter"
    train_dpo(dataset, output, model=str(tiny_model), **SETTINGS)
    undisturbed = contents(output)
    output.rename(tmp_path / "undisturbed")

    state, moments = tmp_path / "adapter.state", random.Random(7)
    begun = [
        lambda: state.exists(),
        lambda: (state / "tokens").exists(),
        lambda: (state / "checkpoints").exists(),
        lambda: (state / "checkpoints" / "checkpoint-4").exists(),
        lambda: (state / "checkpoints" / "checkpoint-8").exists(),
        lambda: (state / "checkpoints" / "checkpoint-12").exists(),
        lambda: (state / "checkpoints" / "checkpoint-18").exists(),
        lambda: (state / "result").exists(),
    ]
    killed = 0
    for condition in begun:
        process = begin(dataset, output, tiny_model)
        wait_for(condition, process)
        time.sleep(moments.choice([0.0, 0.0, 0.005, 0.05]))
        killed += kill(process)
        assert not output.exists() or killed < len(begun), "the output appears whole, once a run has finished"
        if output.exists():
            break
    assert killed >= 6
    if not output.exists():
        last = begin(dataset, output, tiny_model)
        last.join()
        assert last.exitcode == 0
    assert contents(output) == undisturbed


def test_the_command_continues_from_its_checkpoint(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    """The real command, killed once a checkpoint is whole: the second run ends as one that nobody disturbed."""
    dataset, output = make_dataset(trajectory_pairs(24)), tmp_path / "adapter"
    flags = ["--learning-rate", "0.002", "--gradient-accumulation", "1", "--save-steps", "20", "--max_steps", "60"]
    program = str(Path(sys.executable).parent / "prefdata")
    command = [program, "train", "dpo", str(dataset), "-m", str(tiny_model), "-o", str(output)]
    mark = tmp_path / "adapter.state" / "checkpoints" / "checkpoint-20" / WHOLE
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not mark.exists() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    again = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "continuing at step" in again.stderr
    settings = {"learning_rate": 0.002, "gradient_accumulation": 1, "save_steps": 20, "passed": {"max_steps": ("60",)}}
    continued = contents(output)
    train_dpo(dataset, output, model=str(tiny_model), overwrite=True, **settings)
    assert contents(output) == continued


def test_sigterm_saves_a_checkpoint_and_the_next_run_ends_alike(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    """The real command, told to stop between two checkpoints: exit code 130, one line, the same weights in the end."""
    dataset, output = make_dataset(trajectory_pairs(24)), tmp_path / "adapter"
    flags = ["--learning-rate", "0.002", "--gradient-accumulation", "1", "--save-steps", "1000", "--max_steps", "150"]
    program = str(Path(sys.executable).parent / "prefdata")
    command = [program, "train", "dpo", str(dataset), "-m", str(tiny_model), "-o", str(output)]
    with subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("step 1/150"))
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 130, said + rest
    assert "interrupted" in rest
    assert "Traceback" not in rest
    checkpoints = list((tmp_path / "adapter.state" / "checkpoints").glob(f"checkpoint-*/{WHOLE}"))
    assert len(checkpoints) == 1
    assert not output.exists()
    settings: dict[str, Any] = {"learning_rate": 0.002, "gradient_accumulation": 1, "save_steps": 1000}
    settings |= {"model": str(tiny_model), "passed": {"max_steps": ("150",)}}
    train_dpo(dataset, output, **settings)
    train_dpo(dataset, tmp_path / "undisturbed", **settings)
    for name in ("adapter_model.safetensors", "per_pair.parquet"):
        assert (output / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_other_settings_are_refused_or_begin_anew(
    begin: Begin, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    """Refused while there is a checkpoint to lose; with --overwrite the run is the one that a fresh folder gives."""
    dataset, output = make_dataset(trajectory_pairs(8)), tmp_path / "adapter"
    process = begin(dataset, output, tiny_model, epochs=50)
    wait_for((tmp_path / "adapter.state" / "checkpoints" / "checkpoint-4" / WHOLE).exists, process)
    assert kill(process)
    begin(dataset, output, tiny_model, beta=0.3).join()
    assert "begun with other settings (beta: 0.1 then, 0.3 now" in Path(f"{output}.error").read_text()
    changed = {**SETTINGS, "beta": 0.3}
    train_dpo(dataset, output, model=str(tiny_model), overwrite=True, **changed)
    train_dpo(dataset, tmp_path / "fresh", model=str(tiny_model), **changed)
    same = {"adapter_model.safetensors", "metrics.jsonl", "per_pair.parquet"}
    restarted, fresh = contents(output), contents(tmp_path / "fresh")
    assert all(restarted[name] == fresh[name] for name in same)


def test_a_run_that_got_nowhere_does_not_stand_in_the_way(
    begin: Begin, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    dataset, output = make_dataset(trajectory_pairs(8)), tmp_path / "adapter"
    process = begin(dataset, output, tiny_model)
    wait_for((tmp_path / "adapter.state" / "settings.json").exists, process)
    assert kill(process)
    train_dpo(dataset, output, model=str(tiny_model), epochs=2)
    assert output.exists()


@pytest.mark.parametrize("flags", [{"max_length": 3}, {"lora_targets": ("nothing_like_it",)}])
def test_what_is_refused_leaves_nothing_behind(
    flags: dict[str, Any], make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(PrefdataError):
        train_dpo(make_dataset(trajectory_pairs(2)), tmp_path / "adapter", model=str(tiny_model), **flags)
    assert not (tmp_path / "adapter.state").exists()


def test_two_runs_do_not_share_an_output(
    begin: Begin, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    dataset, output = make_dataset(trajectory_pairs(24)), tmp_path / "adapter"
    process = begin(dataset, output, tiny_model)
    wait_for((tmp_path / "adapter.state" / "tokens").exists, process)
    with pytest.raises(UsageError, match="another prefdata process is at work"):
        train_dpo(dataset, output, model=str(tiny_model), **SETTINGS)
    kill(process)


@pytest.mark.parametrize("most", [1_000, 30_000, 100_000], ids=["tokens", "adapter", "optimizer"])
def test_a_file_that_cannot_be_written_is_one_line_and_the_work_goes_on(
    most: int, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the full disk: the first file that is larger cannot be written."""
    program = "import resource, sys\nfrom prefdata.cli.main import main\n"
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
    arguments = ["train", "dpo", str(make_dataset(trajectory_pairs(8))), "-m", str(tiny_model), "-q"]
    arguments += ["-o", str(tmp_path / "adapter"), "--save-steps", "1", "--reference-cache", "off"]

    def call(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
        )

    done = call(program + limit + "main()")
    assert done.returncode == 2, done.stderr
    assert f"error: {tmp_path / 'adapter'} cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "adapter").exists()
    done = call(program + "main()")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
