"""What a run leaves behind: an adapter that loads, its card, its figures; and nothing that was sent anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from prefdata_trainer import train_dpo
from prefdata_trainer.quiet import hushed
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from prefdata.errors import OutputExistsError, UsageError
from prefdata.records.dataset import open_dataset
from tests.trainer.conftest import SEED_HOTEL, SEED_TEXT, MakeDataset, build_model, chat_pairs, text_pairs

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """The address of a server in the place of the hub, and the requests that it got."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            requests.append(f"{self.command} {self.path}")
            self.send_response(404)
            self.end_headers()

        do_GET = do_HEAD = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


def learned(told: dict[str, Any]) -> None:
    """One row, learned by heart: from ln 2 down, from a tie to certainty."""
    assert told["results"]["first_loss"] == pytest.approx(0.693147, abs=1e-5)
    assert told["results"]["last_loss"] < 0.6
    assert told["results"]["margin_after"] > 0.1
    assert told["results"]["accuracy_before"] == 0.5
    assert told["results"]["accuracy_after"] == 1.0


def test_the_seeds_hotel_row_trains(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    outcome = train_dpo(
        make_dataset([SEED_HOTEL]),
        tmp_path / "adapter",
        model=str(tiny_model),
        epochs=8,
        learning_rate=5e-3,
        lora_dropout=0.0,
    )
    learned(outcome.document())


def test_the_seeds_text_row_trains_from_the_command_line(
    prefdata: Any, hub: tuple[str, list[str]], make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    """One row, the real command, one JSON document on stdout, not one request to the hub, no noise on stderr."""
    adapter = tmp_path / "adapter"
    done = prefdata(
        "train", "dpo", make_dataset([SEED_TEXT]), "--model", tiny_model, "-o", adapter, "--epochs", "8",
        "--format", "json", "--learning-rate", "0.005", "--lora-dropout", "0",
        env={"HF_ENDPOINT": hub[0], "CI": "", "HF_HUB_OFFLINE": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    learned(json.loads(done.stdout))
    assert hub[1] == []
    assert "Warning" not in done.stderr
    assert "%|" not in done.stderr
    assert not (tmp_path / "adapter.state").exists()


def test_the_folder_holds_what_it_should(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    dataset, adapter = make_dataset(chat_pairs(12)), tmp_path / "adapter"
    base = load_file(tiny_model / "model.safetensors")
    outcome = train_dpo(dataset, adapter, model=str(tiny_model), learning_rate=5e-3, epochs=2, gradient_accumulation=2)
    assert {path.name for path in adapter.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "curves.png",
        "metrics.jsonl",
        "per_pair.parquet",
        "prefdata_config.yaml",
        "results.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    weights = load_file(adapter / "adapter_model.safetensors")
    assert all(float(tensor.abs().max()) > 0 for tensor in weights.values()), "every factor of the adapter has moved"
    assert {name.split(".")[-3] for name in weights} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    after = load_file(tiny_model / "model.safetensors")
    assert all(torch.equal(base[name], after[name]) for name in base), "the base model's folder is untouched"

    with hushed():
        loaded = AutoPeftModelForCausalLM.from_pretrained(adapter)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.tensor([tokenizer.apply_chat_template(chat_pairs(1)[0]["prompt"], return_dict=True)["input_ids"]])
    with torch.no_grad():
        assert not torch.allclose(loaded(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-2)

    card = (adapter / "README.md").read_text()
    assert open_dataset(dataset).sha256 in card
    assert "12 lines = 12 kept + 0 quarantined + 0 dropped + 0 blank" in card
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "peft"
    found = outcome.document()["results"]
    assert f"| mean reward margin | 0.0000 | {found['margin_after']:.4f} |" in card

    logged = [orjson.loads(line) for line in (adapter / "metrics.jsonl").read_bytes().splitlines()]
    assert [entry["step"] for entry in logged] == list(range(1, 7))
    assert {"loss", "rewards/margins", "logps/chosen", "learning_rate"} <= set(logged[0])
    pairs = pq.read_table(adapter / "per_pair.parquet").to_pydict()
    assert pairs["id"] == [f"t{at}" for at in range(12)]
    assert sum(pairs["margin_after"]) / 12 == pytest.approx(found["margin_after"])
    exact = yaml.safe_load((adapter / "prefdata_config.yaml").read_text())
    assert exact["settings"]["learning_rate"] == 5e-3
    assert exact["dataset_sha256"] == open_dataset(dataset).sha256
    assert (adapter / "curves.png").read_bytes().startswith(PNG)

    with pytest.raises(OutputExistsError):
        train_dpo(dataset, adapter, model=str(tiny_model))
    train_dpo(dataset, adapter, model=str(tiny_model), overwrite=True, loss_type=("ipo",))
    assert yaml.safe_load((adapter / "prefdata_config.yaml").read_text())["settings"]["loss_type"] == ["ipo"]


def test_full_fine_tuning_moves_the_model_and_saves_it_whole(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    outcome = train_dpo(
        make_dataset(text_pairs(8)), tmp_path / "model", model=str(tiny_model), full=True, learning_rate=1e-3, epochs=2
    )
    base, tuned = (load_file(folder / "model.safetensors") for folder in (tiny_model, tmp_path / "model"))
    assert set(base) == set(tuned)
    assert not any(torch.equal(base[name], tuned[name]) for name in base if "norm" not in name)
    document = outcome.document()
    assert document["trained_parameters"] == document["all_parameters"]
    assert document["results"]["first_loss"] == pytest.approx(0.693147, abs=1e-5)
    assert document["results"]["margin_after"] > 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").num_parameters() == document["all_parameters"]


@pytest.mark.parametrize(
    "passed",
    [
        {"use_dora": ("true",)},
        {"sync_ref_model": ("true",), "full": ()},
        {"train_sampling_strategy": ("group_by_length",)},
    ],
    ids=["dora", "synchronised reference", "length groups"],
)
def test_ways_of_training_that_trl_and_peft_have(
    passed: dict[str, tuple[str, ...]], make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    full = "full" in passed
    outcome = train_dpo(
        make_dataset(chat_pairs(8)),
        tmp_path / "adapter",
        model=str(tiny_model),
        learning_rate=1e-3,
        gradient_accumulation=1,
        full=full,
        loss_type=("sigmoid", "sft"),
        loss_weights=(1.0, 0.2),
        passed={name: words for name, words in passed.items() if name != "full"},
    )
    assert outcome.document()["results"]["margin_after"] > 0.01


def test_a_reference_that_reads_other_tokens_is_refused(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    other = build_model(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["hotel"])
    tokenizer.save_pretrained(other)
    with pytest.raises(UsageError, match="reads other tokens"):
        train_dpo(make_dataset([SEED_TEXT]), tmp_path / "a", model=str(tiny_model), model_ref=str(other))


def test_two_processes_train_as_one(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    """torchrun with two processes of one pair each, against one process with two pairs at a time."""
    dataset, scripts = make_dataset(chat_pairs(8)), Path(sys.executable).parent
    flags = ["--learning-rate", "0.005", "--gradient-accumulation", "1", "--lora-dropout", "0", "--format", "json"]
    done = subprocess.run(
        [
            scripts / "torchrun", "--nproc_per_node", "2", "--no-python", scripts / "prefdata", "train", "dpo", dataset,
            "-m", tiny_model, "-o", tmp_path / "two", "--batch-size", "1", *flags,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["processes"] == 2
    one = train_dpo(
        dataset,
        tmp_path / "one",
        model=str(tiny_model),
        learning_rate=5e-3,
        batch_size=2,
        gradient_accumulation=1,
        lora_dropout=0.0,
    )
    assert json.loads(done.stdout)["steps"] == one.document()["steps"] == 4
    pairs, same = (pq.read_table(tmp_path / name / "per_pair.parquet").to_pydict() for name in ("two", "one"))
    assert pairs["id"] == same["id"]
    assert pairs["margin_after"] == pytest.approx(same["margin_after"], abs=1e-3)
    assert max(map(abs, same["margin_after"])) > 0.02


def test_lengths_are_held_and_told_in_the_card(make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path) -> None:
    long = {**text_pairs(1)[0], "id": "long", "chosen": "one two three " * 20}
    outcome = train_dpo(
        make_dataset([*text_pairs(4), long]),
        tmp_path / "adapter",
        model=str(tiny_model),
        max_completion_length=24,
        truncation="cut-completion",
    )
    pairs = outcome.document()["pairs"]
    assert pairs["kept"] == 5
    assert pairs["cut"] == {"completion-cut": ["long"]}
    assert max(pq.read_table(tmp_path / "adapter" / "per_pair.parquet")["chosen_tokens"].to_pylist()) == 24
    assert "cut 1: a completion was cut from the right [completion-cut] (long)" in (
        (tmp_path / "adapter" / "README.md").read_text()
    )


def test_the_last_step_is_told_though_nothing_is_logged_or_saved(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path
) -> None:
    passed = {"logging_strategy": ("no",), "save_strategy": ("no",)}
    outcome = train_dpo(
        make_dataset(text_pairs(12)), tmp_path / "a", model=str(tiny_model), gradient_accumulation=2, passed=passed,
        learning_rate=1e-2,
    )  # fmt: skip
    assert outcome.losses[-1][0] == 3
    found = outcome.document()["results"]
    assert found["last_loss"] < found["first_loss"] - 0.001
    assert "3 of 3 steps" in (tmp_path / "a" / "README.md").read_text()


def test_the_documented_python_runs(
    make_dataset: MakeDataset, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    code = page.split("```python\n")[1].split("```")[0].replace('"MODEL"', repr(str(tiny_model)))
    make_dataset(text_pairs(4))
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert float(capsys.readouterr().out) > 0
    settings = {"loss_type": "hinge", "loss_weights": 2, "lora_targets": "q_proj", "report_to": "none"}
    told = train_dpo("dataset", "x", model=tiny_model, dry_run=True, **settings).document()
    assert told["expected_first_loss"] == 2.0
    assert list(told["settings"]["lora_targets"]) == ["q_proj"]
