"""The command line of ``prefdata train dpo``: what is checked when, what is passed on, what a person is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner, Result
from prefdata_trainer.commands import dpo
from prefdata_trainer.flags import PassingCommand
from prefdata_trainer.settings import DpoSettings
from prefdata_trainer.theirs import read
from trl import DPOConfig

from prefdata.errors import MissingExtraError, PrefdataError, UsageError
from tests.trainer.conftest import SEED_TEXT, MakeDataset, chat_pairs, text_pairs

Invoke = Callable[..., Result]

HEAVY = ("torch", "transformers", "trl", "peft", "accelerate")
SPY = """
import sys
from prefdata.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("loaded:", *[name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""


def spied(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which says at its end which heavy packages it has loaded."""
    program = SPY.format(heavy=HEAVY)
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def invoke() -> Invoke:
    """The command in this process; PrefdataErrors come out as they are."""

    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(dpo, list(map(str, arguments)))

    return call


def error(result: Result) -> PrefdataError:
    assert isinstance(result.exception, PrefdataError), result.output
    return result.exception


def test_help_loads_nothing_heavy() -> None:
    done = spied("train", "dpo", "--help")
    assert done.returncode == 0
    assert "--loss-on" in done.stdout
    assert "loaded: \n" in done.stderr or done.stderr.endswith("loaded:\n")


@pytest.mark.parametrize("damage", ["row", "manifest", "no manifest"])
def test_an_altered_dataset_is_refused_before_torch_loads(
    damage: str, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    dataset = make_dataset(text_pairs(2))
    shard, manifest = next((dataset / "train").glob("*.arrow")), dataset / "manifest.json"
    if damage == "row":
        content = bytearray(shard.read_bytes())
        content[content.index(b"t0")] ^= 1  # the id of the first pair
        shard.write_bytes(content)
    elif damage == "manifest":
        manifest.write_text(manifest.read_text().replace('"rows": 2', '"rows": 3', 1))
    else:
        manifest.unlink()
    done = spied("train", "dpo", dataset, "--model", tiny_model, "-o", tmp_path / "adapter")
    assert done.returncode == 3, done.stderr
    assert "prefdata validate" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("loaded:\n")
    assert not (tmp_path / "adapter.state").exists()


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    """A process that sees every installed package but those of the extra ``train``."""
    dataset = make_dataset(text_pairs(2))
    without = tmp_path / "site"
    without.mkdir()
    for distribution in distributions():
        root = Path(str(distribution.locate_file("")))
        tops = {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        if distribution.name.lower() in HEAVY:
            continue
        for top in tops:
            if (root / top).exists() and not (without / top).exists() and not top.endswith(".pth"):
                (without / top).symlink_to(root / top)
    here = Path(__file__).resolve().parents[2]
    paths = [str(without), str(here), str(here / "trainer")]
    program = f"import sys; sys.path += {paths!r}; from prefdata.cli.main import main; main()"
    arguments = ["train", "dpo", str(dataset), "--model", str(tiny_model), "-o", str(tmp_path / "adapter")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "torch, transformers, trl, peft, accelerate" in done.stderr
    assert "pip install 'prefdata[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_dataset_is_refused(invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path) -> None:
    refused = error(invoke(make_dataset([{"prompt": "x", "chosen": [], "rejected": "y"}]), "-m", tiny_model, "-o", "a"))
    assert refused.exit_code == 3
    assert "holds no pair" in refused.message
    assert "prefdata validate" in (refused.hint or "")


@pytest.mark.parametrize(
    ("model", "what"),
    [
        ("./nowhere", "no such model folder"),
        ("file", "is a file"),
        ("empty", "no config.json"),
        ("lora", "is an adapter"),
    ],
)
def test_a_model_that_is_none_is_refused(
    model: str, what: str, invoke: Invoke, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("empty").mkdir()
    Path("lora").mkdir()
    Path("lora/adapter_config.json").write_text("{}")
    refused = error(invoke(make_dataset(text_pairs(2)), "-m", model, "-o", "adapter"))
    assert refused.exit_code == 2
    assert what in refused.message


def test_finished_work_is_not_overwritten(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "adapter").mkdir()
    refused = error(invoke(make_dataset(text_pairs(2)), "-m", tiny_model, "-o", tmp_path / "adapter"))
    assert "--overwrite" in (refused.hint or "")


def test_overwrite_removes_nothing_but_an_earlier_result(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, notes, work = make_dataset(text_pairs(2)), tmp_path / "notes", tmp_path / "work"
    model = shutil.copytree(tiny_model, tmp_path / "model")
    for folder in (notes, work):
        folder.mkdir()
    (notes / "todo.txt").write_text("much")
    monkeypatch.chdir(work)
    before = sorted(tmp_path.rglob("*"))
    for output, what in (
        (dataset, "the dataset"),
        (model, "the model"),
        (tmp_path, "the dataset"),
        (Path(), "the folder that you are in"),
        (Path("/"), "the dataset"),
        (notes, "no result of prefdata train"),
        (notes / "todo.txt", "no result of prefdata train"),
    ):
        refused = error(invoke(dataset, "-m", model, "-o", output, "--overwrite"))
        assert what in refused.message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reporter_that_is_not_installed_is_named(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    refused = error(
        invoke(make_dataset(text_pairs(2)), "-m", tiny_model, "-o", tmp_path / "a", "--report-to", "clearml")
    )
    assert isinstance(refused, MissingExtraError)
    assert "pip install clearml" in (refused.hint or "")


@pytest.mark.parametrize(
    ("flags", "what", "hint"),
    [
        (["--warmup_step", "3"], "there is no flag --warmup_step", "--warmup_steps"),
        (["--lora-rank", "3"], "there is no flag --lora_rank", ""),
        (["--output_dir", "x"], "--output_dir cannot be set", ""),
        (["--logging_steps", "many"], "--logging_steps: invalid float value: 'many'", ""),
        (["--optim", "slow"], "--optim: invalid choice: 'slow'", ""),
        (["--full", "--use_dora", "true"], "--use_dora is a flag of LoRA", ""),
        (["--lora-targets", "nothing_like_it"], "nothing_like_it", ""),
        (["--load_in_4bit", "--full"], "quantizes the weights", "leave one out"),
        (["--weight-by", "margin"], "2 of 2 pairs have no margin", "prefdata judge"),
        (["--early-stopping", "2"], "needs a split eval", "--eval-fraction"),
        (["--loss-type", "exo_pair"], "Label smoothing must be greater than 0.0", ""),
        (["--lora-targets", "nothing_like_it", "--dry-run"], "nothing_like_it", ""),
        (["--lr_scheduler_type", "cosine_with_min_lr"], "min_lr", ""),
        (["--dataloader_drop_last", "--batch-size", "3"], "2 pairs make no whole one", "--batch-size"),
        (["--loss-weights", "nan"], "a loss weight must be a number", ""),
    ],
)
def test_flags_that_cannot_be_meant_give_one_line(
    flags: list[str],
    what: str,
    hint: str,
    invoke: Invoke,
    make_dataset: MakeDataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    refused = error(invoke(make_dataset(text_pairs(2)), "-m", tiny_model, "-o", tmp_path / "adapter", *flags))
    assert refused.exit_code == 2
    assert what in refused.message
    assert "\n" not in refused.message
    assert hint in (refused.hint or "")


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_a_package_that_a_flag_needs_is_named(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    flags = ("--optim", "adamw_bnb_8bit")
    refused = error(invoke(make_dataset(text_pairs(2)), "-m", tiny_model, "-o", tmp_path / "a", *flags))
    assert isinstance(refused, MissingExtraError)
    assert "bitsandbytes" in refused.message
    assert not (tmp_path / "a.state").exists()


@pytest.mark.parametrize(
    ("flag", "value"), [("--seed", "-1"), ("--seed", str(2**32)), ("--epochs", "nan"), ("--beta", "inf")]
)
def test_numbers_that_cannot_be_meant_are_refused_at_once(flag: str, value: str, invoke: Invoke) -> None:
    result = invoke("dataset", "-m", "model", "-o", "a", flag, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{flag}'" in result.stderr


def test_a_chat_template_that_is_no_text_is_named(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    template = tmp_path / "template.jinja"
    template.write_bytes(b"\xff\xfe{")
    refused = error(
        invoke(make_dataset(chat_pairs(2)), "-m", tiny_model, "-o", tmp_path / "a", "--chat-template", template)
    )
    assert "is not UTF-8" in refused.message


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has a GPU, where QLoRA is possible")
def test_quantized_weights_need_a_gpu(invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path) -> None:
    refused = error(invoke(make_dataset(text_pairs(2)), "-m", tiny_model, "-o", "a", "--load_in_4bit", "--dry-run"))
    assert "needs a GPU" in refused.message
    assert "--dtype bfloat16" in (refused.hint or "")


def split(*arguments: str) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    assert isinstance(dpo, PassingCommand)
    return dpo.split(arguments)


def test_our_flags_and_theirs_are_told_apart() -> None:
    mine, theirs = split("data", "--beta", "0.2", "--warmup_steps", "3", "--use_dora", "-o", "out", "--optim=sgd")
    assert mine == ["data", "--beta", "0.2", "-o", "out"]
    assert theirs == {"warmup_steps": ("3",), "use_dora": (), "optim": ("sgd",)}


def test_trls_spelling_of_our_flags_is_ours() -> None:
    mine, theirs = split(
        "data", "--per_device_train_batch_size", "4", "--loss_type", "sigmoid", "sft", "--max_length=9"
    )
    assert mine == ["data", "--batch-size", "4", "--loss-type", "sigmoid", "--loss-type", "sft", "--max-length=9"]
    assert theirs == {}


def test_a_switch_of_ours_can_be_turned_off() -> None:
    assert split("data", "--no-fast", "--no_group_by_length") == (["data", "--no-fast", "--no-group-by-length"], {})


def test_a_negative_number_is_a_value() -> None:
    assert split("data", "--seed", "-1", "--label_smoothing", "-0.5") == (
        ["data", "--seed", "-1"],
        {"label_smoothing": ("-0.5",)},
    )


def test_values_reach_trl_and_peft_with_their_types() -> None:
    theirs = read(
        {
            "warmup_steps": ("3",),
            "no_logging_nan_inf_filter": (),
            "activation_checkpointing": (),
            "lr_scheduler_kwargs": ('{"num_cycles": 2}',),
            "dtype": ("bfloat16",),
            "use_rslora": (),
            "modules_to_save": ("embed_tokens", "norm"),
            "rank_pattern": ("{q_proj: 4}",),
        },
        DpoSettings(model="m"),
        DPOConfig,
    )
    assert theirs.training["warmup_steps"] == 3
    assert theirs.training["logging_nan_inf_filter"] is False
    assert theirs.training["activation_checkpointing"] is True
    assert theirs.loading == {"dtype": "bfloat16"}
    assert theirs.lora == {
        "use_rslora": True,
        "modules_to_save": ["embed_tokens", "norm"],
        "rank_pattern": {"q_proj": 4},
    }


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="2 loss weights for 1 losses"):
        DpoSettings(model="m", loss_weights=(1.0, 2.0))
    with pytest.raises(UsageError, match="no loss 'sigmoidal'"):
        DpoSettings(model="m", loss_type=("sigmoidal",))


def plan(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output + repr(result.exception)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_configuration_file_holds_flags_of_either_kind(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "beta: 0.5\nlora-r: 4\nlearning_rate: 0.001\nloss_type: [sigmoid, sft]\nwarmup_steps: 2\nuse_rslora: true\n"
        "max_steps: 7\ntemplate_variables: {enable_thinking: false}\n"
    )
    dataset = make_dataset(chat_pairs(4))
    told = plan(
        invoke(
            dataset, "-m", tiny_model, "-o", "a", "--dry-run", "--format", "json", "--config", config, "--beta", "0.2",
            "--max_steps", "5",
        )
    )  # fmt: skip
    settings = told["settings"]
    assert (settings["beta"], settings["lora_r"], settings["learning_rate"]) == (0.2, 4, 0.001)
    assert settings["loss_type"] == ["sigmoid", "sft"]
    assert settings["template_variables"] == {"enable_thinking": False}
    assert settings["passed"] == {"warmup_steps": ["2"], "use_rslora": ["true"], "max_steps": ["5"]}
    assert told["steps"] == 5
    assert told["expected_first_loss"] is None


def test_one_value_in_a_configuration_file_stands_for_itself(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    """TRL's own configuration files say ``loss_type: sigmoid`` and ``report_to: none``."""
    config = tmp_path / "config.yaml"
    config.write_text("loss_type: hinge\nloss_weights: 2\nlora_target_modules: q_proj\nreport_to: none\n")
    arguments = (make_dataset(text_pairs(3)), "-m", tiny_model, "-o", "a", "--dry-run", "--format", "json")
    settings = plan(invoke(*arguments, "--config", config))["settings"]
    assert (settings["loss_type"], settings["loss_weights"]) == (["hinge"], [2.0])
    assert (settings["lora_targets"], settings["report_to"]) == (["q_proj"], ["none"])
    config.write_text("env: [WANDB_PROJECT]\n")
    result = invoke(*arguments, "--config", config)
    assert result.exit_code == 2
    assert "env must hold variables by name" in result.stderr


def test_every_flag_has_an_environment_variable(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFDATA_TRAIN_DPO_BETA", "0.7")
    arguments = [str(make_dataset(text_pairs(3))), "-m", str(tiny_model), "-o", "a", "--dry-run", "--format", "json"]
    result = CliRunner().invoke(dpo, arguments, auto_envvar_prefix="PREFDATA_TRAIN_DPO")
    assert plan(result)["settings"]["beta"] == 0.7


def test_the_plan_counts_pairs_tokens_and_steps(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    long = {**text_pairs(1)[0], "id": "long", "chosen": "word " * 90}
    dataset = make_dataset([*text_pairs(21), long])
    flags = ("--max-length", "80", "--epochs", "2", "--gradient-accumulation", "4")
    told = plan(invoke(dataset, "-m", tiny_model, "-o", tmp_path / "a", "--dry-run", "--format", "json", *flags))
    assert told["pairs"]["kept"] == 21
    assert told["pairs"]["dropped"] == {"too-long": ["long"]}
    assert told["pairs"]["trained_tokens"] == told["pairs"]["completion_tokens"] > 0
    assert told["steps"] == 2 * 3  # 21 pairs are 11 batches of 2, which are 3 steps of 4
    assert told["expected_first_loss"] == pytest.approx(0.693147, abs=1e-6)
    shown = invoke(dataset, "-m", tiny_model, "-o", tmp_path / "a", "--dry-run", *flags)
    assert "0.6931 expected (ln 2)" in shown.stdout
    assert "pair t0:" in shown.stdout
    assert f"⟦{text_pairs(1)[0]['chosen']}<|im_end|>⟧" in shown.stdout
    assert "\x1b" not in shown.stdout, "no colours off a terminal"
    assert "memory      roughly" in shown.stdout
    assert (
        "dropped 1: prompt and completion are longer than --max-length or than the model reads [too-long] (long)"
        in shown.stdout
    )
    assert not (tmp_path / "a.state").exists()


def test_nothing_left_is_refused_with_the_reasons(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    refused = error(
        invoke(make_dataset(text_pairs(3)), "-m", tiny_model, "-o", tmp_path / "a", "--max-completion-length", "1")
    )
    assert refused.exit_code == 3
    assert "nothing is left of 3 pairs" in refused.message
    assert "completion-too-long" in refused.message


def test_pairs_that_the_template_mangles_stop_the_run_or_are_left_out(
    invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    template = tmp_path / "stripping.jinja"
    template.write_text(
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}"
        "{%- if m.role == 'assistant' and not loop.last %}{{- m.content.split('</think>')[-1] }}"
        "{%- else %}{{- m.content }}{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
    )
    thinking = {**chat_pairs(3)[2], "id": "thinking"}
    thinking["chosen"] = [
        {"role": "assistant", "content": "<think>hm</think>Where?"},
        {"role": "user", "content": "Paris"},
        {"role": "assistant", "content": "Done."},
    ]
    dataset = make_dataset([*chat_pairs(2), thinking])
    arguments = (dataset, "-m", tiny_model, "-o", tmp_path / "a", "--chat-template", template, "--dry-run")
    refused = error(invoke(*arguments))
    assert refused.exit_code == 2
    assert "1 of 3 pairs cannot be rendered; pair thinking" in refused.message
    assert "strip the thinking" in refused.message
    told = plan(invoke(*arguments, "--unrenderable", "drop", "--format", "json"))
    assert told["pairs"]["dropped"] == {"unrenderable": ["thinking"]}


def test_a_text_pair_needs_no_chat_template(invoke: Invoke, make_dataset: MakeDataset, tiny_model: Path) -> None:
    assert plan(invoke(make_dataset([SEED_TEXT]), "-m", tiny_model, "-o", "a", "--dry-run", "--format", "json"))[
        "form"
    ] == ("text")


def test_help_names_every_flag_of_the_settings() -> None:
    names = {parameter.name for parameter in dpo.params if isinstance(parameter, click.Option)}
    assert set(DpoSettings.__dataclass_fields__) - {"passed"} <= names
