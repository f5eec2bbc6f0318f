"""Judges in this process, on tiny models made on the spot: batched as one by one, killed and run again, refused."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    Qwen3Config,
    Qwen3ForSequenceClassification,
)

from tests.conftest import Run
from tests.here import run_here
from tests.judging.sets import read, reasons, row, timeless, write
from tests.trainer.conftest import CHATML, build_model, build_tokenizer, words

COMMIT = "0123456789abcdef" * 2 + "01234567"
NO_SYSTEM = "{%- if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{%- endif %}" + CHATML


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "causal", long=True)


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("models") / "reward")


def reward_model(folder: Path, labels: int = 1, template: str | None = CHATML) -> Path:
    tokenizer = build_tokenizer(template)
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.3,
        num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rows(count: int = 7) -> list[dict[str, object]]:
    """Sets of three responses, of very different lengths."""
    return [row(f"s{n}", *(words(1 + (n * 5 + k * 11) % 40, n + 10 * k) for k in range(3))) for n in range(count)]


def test_a_verdict_is_the_probability_of_the_label_whatever_else_is_in_the_batch(
    tmp_path: Path, causal: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", rows())
    done = run_here(
        capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", f"local:{causal}",
        "--batch-size", "4", "--strategy", "all",
    )  # fmt: skip
    assert done.code == 0, done.err
    judgments = read(tmp_path / "p.judgments.jsonl")
    assert len(judgments) == 7 * 3 * 2
    assert {(each["judge"]["kind"], each["judge"]["name"]) for each in judgments} == {("llm", "causal")}
    model = AutoModelForCausalLM.from_pretrained(causal, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(causal)
    spelt = [text.strip() for text in tokenizer.batch_decode([[id] for id in range(len(tokenizer))])]
    records = read(tmp_path / "p.jsonl.state" / "ledger.jsonl")
    assert len(records) == 42
    by_time = {}
    for record in records:
        text = tokenizer.apply_chat_template(record["request"]["messages"], tokenize=False, add_generation_prompt=True)
        with torch.inference_mode():  # one sequence, no padding: what the batch must come to
            logits = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, -1]
        chances = torch.softmax(logits, dim=-1)
        a, b = (
            sum(float(chances[id]) for id, word in enumerate(spelt) if word == label)
            for label in record["request"]["labels"]
        )
        by_time[record["response"]["choices"][0]["message"]["content"], round(a / (a + b), 4)] = True
    assert len({each["probability"] for each in judgments}) > 30, "the model tells the texts apart"
    assert {round(each["probability"], 4) for each in judgments} == {chance for _, chance in by_time}
    pairs = read(tmp_path / "p.jsonl")
    assert 0 < len(pairs) < 21
    ledger_bytes = (tmp_path / "p.jsonl.state" / "ledger.jsonl").read_bytes()
    again = run_here(
        capfd, "judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", f"local:{causal}",
        "--strategy", "all", "--reparse",
    )  # fmt: skip
    assert again.code == 0
    assert (tmp_path / "p.jsonl.state" / "ledger.jsonl").read_bytes() == ledger_bytes


def test_killed_and_run_again_gives_what_an_undisturbed_run_gives(tmp_path: Path, causal: Path) -> None:
    write(tmp_path / "r.jsonl", rows(30))
    command = [str(Path(sys.executable).parent / "prefdata"), "judge", str(tmp_path / "r.jsonl"), "--batch-size", "4"]
    command += ["--judge", f"local:{causal}"]
    subprocess.run([*command, "-o", str(tmp_path / "whole.jsonl")], check=True, capture_output=True)
    whole = dict(_answers(tmp_path / "whole.jsonl.state"))
    assert len(whole) == 180
    ledger = tmp_path / "killed.jsonl.state" / "ledger.jsonl"
    process = subprocess.Popen([*command, "-o", str(tmp_path / "killed.jsonl")], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (ledger.exists() and ledger.read_bytes().count(b"\n") >= 30):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = ledger.read_bytes().count(b"\n")
    assert 0 < kept < 180, "it was killed with work done and work left"
    subprocess.run([*command, "-o", str(tmp_path / "killed.jsonl")], check=True, capture_output=True)
    assert ledger.read_bytes().count(b"\n") == 180, "nothing is computed twice"
    assert dict(_answers(tmp_path / "killed.jsonl.state")) == whole
    for name in ("", ".judgments", ".dropped"):
        assert timeless(tmp_path / f"whole{name}.jsonl") == timeless(tmp_path / f"killed{name}.jsonl")


def _answers(state: Path) -> list[tuple[str, object]]:
    return [(record["key"], record["response"]) for record in read(state / "ledger.jsonl")]


def test_scores_of_a_reward_model_rank_the_responses(tmp_path: Path, reward: Path) -> None:
    sets = [*rows(3), row("same", "x", "x")]
    sets[1]["prompt"] = {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]}
    for each in sets[1]["responses"]:  # type: ignore[attr-defined]
        each["response"] = [
            {"role": "assistant", "content": each["response"]},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "three"},
        ]
    write(tmp_path / "r.jsonl", sets)
    result = _judge(tmp_path, f"reward:{reward}", batch_size=2)
    assert result.ok
    judgments = read(tmp_path / "p.judgments.jsonl")
    assert [each["judge"]["kind"] for each in judgments] == ["reward"] * 3
    model = AutoModelForSequenceClassification.from_pretrained(reward, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(reward)
    for judgment, response_set in zip(judgments, sets, strict=False):
        expected = {}
        for each in response_set["responses"]:  # type: ignore[attr-defined]
            prompt, response = response_set["prompt"]["prompt"], each["response"]  # type: ignore[index]
            turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
            turns = [
                *turns,
                *(response if isinstance(response, list) else [{"role": "assistant", "content": response}]),
            ]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            with torch.inference_mode():
                made = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False))
            expected[each["id"]] = float(made.logits[0, 0])
        assert judgment["scores"] == pytest.approx(expected, abs=1e-4)
        assert judgment["ranking"] == [[id] for id in sorted(expected, key=lambda id: -expected[id])]
    pair = read(tmp_path / "p.jsonl")[0]
    first = judgments[0]["scores"]
    assert pair["margin"] == pytest.approx(max(first.values()) - min(first.values()))
    assert reasons(tmp_path) == {"same": "identical-responses"}


def test_soft_pairs_of_a_reward_model_have_bradley_and_terrys_probability(tmp_path: Path, reward: Path) -> None:
    write(tmp_path / "r.jsonl", rows(2))
    _judge(tmp_path, f"reward:{reward}", tie="soft")
    for pair in read(tmp_path / "p.jsonl"):
        assert pair["probability"] == pytest.approx(1 / (1 + math.exp(-pair["margin"])))


@pytest.mark.parametrize("template", [NO_SYSTEM, None], ids=["no system turn", "no chat template"])
def test_models_without_a_system_turn_or_without_a_template_judge_too(tmp_path: Path, template: str | None) -> None:
    model = build_model(tmp_path / "model", template=template, long=True)
    write(tmp_path / "r.jsonl", rows(1))
    _judge(tmp_path, f"local:mine={model}")
    judgments = read(tmp_path / "p.judgments.jsonl")
    assert all(0 < each["probability"] < 1 for each in judgments)
    assert {each["judge"]["name"] for each in judgments} == {"mine"}


def test_an_architecture_that_counts_no_positions_judges_the_same_in_any_batch(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(1)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3)
    BloomForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    write(tmp_path / "r.jsonl", rows(3))
    said = []
    for size in (1, 5):
        _judge(tmp_path, f"local:{tmp_path / 'model'}", batch_size=size, overwrite=True)
        said.append([each["probability"] for each in read(tmp_path / "p.judgments.jsonl")])
        (tmp_path / "p.jsonl.state" / "ledger.jsonl").unlink()
    assert said[0] == pytest.approx(said[1], abs=1e-4)
    assert len(set(said[0])) > 10


def test_an_answer_is_written_where_the_template_reads_text(tmp_path: Path, causal: Path) -> None:
    write(tmp_path / "r.jsonl", rows(2))
    template = tmp_path / "mine.yaml"
    template.write_text(
        "name: mine\nuser: '{{prompt}}: {{response_a}} or {{response_b}}?'\nlabels: {a: A, b: B}\n"
        "verdict: {kind: regex, pattern: '({{label_a}}|{{label_b}})'}\nparameters: {temperature: 1.5, max_tokens: 12}\n"
    )
    result = _judge(tmp_path, f"local:{causal}", template=str(template), samples=3, batch_size=5)
    first = dict(_answers(tmp_path / "p.jsonl.state"))
    assert len(first) == result.calls.made == 2 * 3 * 2 * 3
    texts = {response["choices"][0]["message"]["content"] for response in first.values()}  # type: ignore[index]
    assert len(texts) > 12, "samples differ"
    (tmp_path / "p.jsonl.state" / "ledger.jsonl").unlink()
    _judge(tmp_path, f"local:{causal}", template=str(template), samples=3, batch_size=5, overwrite=True)
    assert dict(_answers(tmp_path / "p.jsonl.state")) == first, "each sample has its own seed"


def test_what_the_model_cannot_read_is_a_failed_call_and_the_rest_goes_on(
    tmp_path: Path, causal: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r.jsonl", [*rows(1), row("long", words(3000, 1), "short")])
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", f"local:{causal}"]
    done = run_here(capfd, *command)
    assert done.code == 1
    assert "--retry-failed" in done.err
    assert reasons(tmp_path)["long"] == "call-failed"
    assert "the model takes 2048" in read(tmp_path / "p.dropped.jsonl")[-1]["detail"]


def test_changed_weights_are_another_judge(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", rows(1))
    made = []
    for seed in (0, 1):
        build_model(tmp_path / "model", seed=seed, long=True)
        made.append(_judge(tmp_path, f"local:{tmp_path / 'model'}", overwrite=True).calls.made)
    assert made == [6, 6]


def test_a_model_of_the_hub_is_taken_from_its_cache_under_its_commit(
    tmp_path: Path, prefdata: Run, causal: Path
) -> None:
    cached = tmp_path / "hf" / "hub" / "models--org--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    shutil.copytree(causal, cached / "snapshots" / COMMIT)
    write(tmp_path / "r.jsonl", rows(1))
    offline = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge"]
    done = prefdata(*command, "local:org/tiny", env=offline)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "p.judgments.jsonl")[0]["judge"]["version"] == f"org/tiny@{COMMIT}"
    done = prefdata(*command, "local:org/none", "--overwrite", env=offline)
    assert (done.returncode, "the hub does not give it" in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["local", "reward"])
def test_a_model_that_cannot_be_used_is_said_in_two_lines(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str], causal: Path
) -> None:
    write(tmp_path / "r.jsonl", rows(1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge"]
    for name, says in (
        ("empty", "holds no config.json"),
        ("broken", "cannot be loaded"),
        ("adapter", "is an adapter"),
        ("none", "is no model folder"),
        ("r.jsonl", "is no model folder"),
    ):
        done = run_here(capfd, *command, f"{kind}:{tmp_path / name}")
        assert (done.code, says in done.err) == (2, True), done.err
        assert len([line for line in done.err.splitlines() if line.startswith(("error:", "  ", "help:"))]) == 2
        assert "Traceback" not in done.err
    if kind == "reward":
        done = run_here(capfd, *command, f"reward:{reward_model(tmp_path / 'three', labels=3)}")
        assert (done.code, "has 3 outputs" in done.err) == (2, True)
        done = run_here(capfd, *command, f"reward:{causal}")
        assert (done.code, "lacks the weights score.weight" in done.err) == (2, True), "no head is made up"


def test_without_torch_the_way_to_it_is_said(tmp_path: Path, prefdata: Run, causal: Path) -> None:
    """An environment in which torch cannot be found: refused before anything is imported."""
    write(tmp_path / "r.jsonl", rows(1))
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'torch' else real(name, package)\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    command = ["judge", tmp_path / "r.jsonl", "-o", tmp_path / "p.jsonl", "--judge", f"local:{causal}"]
    done = prefdata(*command, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 3
    assert "local: judges need torch, which is not installed" in done.stderr
    assert "pip install 'prefdata[local]'" in done.stderr
    assert prefdata(*command, "--dry-run", env={"PYTHONPATH": str(tmp_path)}).returncode == 0


def _judge(folder: Path, spec: str, **options: object):  # type: ignore[no-untyped-def]
    import prefdata

    return prefdata.judge(folder / "r.jsonl", folder / "p.jsonl", judge=spec, **options)  # type: ignore[call-overload]
