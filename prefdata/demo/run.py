"""The demo from the first prompt to the last table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from prefdata.demo.steps import BATCHES, DPO, RULE, SAMPLING, SFT, TINY, TRAINING, Size, Steps
from prefdata.errors import MissingExtraError, OutputExistsError
from prefdata.records.output import write_json
from prefdata.stats import Rate, rate

RESULT = "result.json"
MARK = ".prefdata-demo"
EXTRA = ("torch", "transformers", "trl", "peft", "uvicorn", "starlette")
MODELS = ("base", "tuned", "control")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured on held-out prompts."""

    folder: Path
    correct: Mapping[str, Rate]
    """Wholly correct answers of base, tuned (DPO) and control (SFT on the chosen side alone)."""
    pair_accuracy: Rate
    pairs: int
    """Pairs trained on."""
    chosen_correct: Rate
    """How many of the chosen answers trained on are wholly correct themselves."""
    shuffled: bool
    seconds: float


def demo(
    folder: Path,
    say: Callable[[str], None],
    *,
    seed: int = 0,
    shuffle_labels: bool = False,
    overwrite: bool = False,
    size: Size | None = None,
) -> DemoResult:
    """Run the whole road in ``folder``; raises OutputExistsError, MissingExtraError, or what a step says."""
    size = size or Size()
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the demo trains a model and needs {', '.join(missing)}", "install it: pip install 'prefdata[train]'"
        )
    _make_room(folder, overwrite)
    began = time.monotonic()
    steps = Steps(folder, say)
    say(f"$ cd {folder}")
    say(f"$ export OMP_NUM_THREADS={steps.environment['OMP_NUM_THREADS']}")
    _pairs(steps, size, seed)
    pairs = "pairs.jsonl"
    if shuffle_labels:
        pairs = "shuffled.jsonl"
        shuffle = ("python", "-m", "prefdata.demo.shuffle", "pairs.jsonl", pairs, "--seed", str(seed))
        steps.run(*shuffle, title="Negative control: the same pairs, their sides swapped at random")
    _training(steps, pairs, seed)
    _held_out(steps, size, seed)
    result = _measured(steps, shuffle_labels, began)
    write_json(folder / RESULT, {**asdict(result), "folder": str(folder)})
    return result


def _make_room(folder: Path, overwrite: bool) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (overwrite and (folder / MARK).exists()):
            raise OutputExistsError(
                f"{folder} is not empty",
                "pass --overwrite to run anew" if (folder / MARK).exists() else "choose another folder with -o",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def _pairs(steps: Steps, size: Size, seed: int) -> None:
    """From nothing to pairs.jsonl."""
    train = (*TINY, "train", "--out", "base", "--steps", str(size.steps), "--seed", str(seed))
    steps.run(*train, title="A tiny booking desk that gets each detail right about half the time, trained from scratch")
    prompts = (*TINY, "prompts", "--out", "prompts.jsonl", "--count", str(size.prompts), "--seed", str(seed))
    steps.run(*prompts)
    with steps.serving(*TINY, "serve", "base", title="Served by a local OpenAI-compatible server") as url:
        collect = ("prefdata", "collect", "prompts.jsonl", "-o", "responses.jsonl", "--model", f"base@{url}")
        title = f"collect: {size.samples} answers for each prompt"
        steps.run(*collect, "-n", str(size.samples), *SAMPLING, "--seed", str(seed), title=title)
    judge = ("prefdata", "judge", "responses.jsonl", "-o", "pairs.jsonl", "--judge", RULE)
    steps.run(*judge, title="judge: a rule counts the right details; the best and the worst answer make a pair")


def _training(steps: Steps, pairs: str, seed: int) -> None:
    """From pairs to two adapters."""
    validate = ("prefdata", "validate", pairs, "-o", "dataset")
    steps.run(*validate, title="validate: what cannot be trained on is refused by name", findings=True)
    train = ("prefdata", "train", "dpo", "dataset", "--model", "base")
    rest = (*TRAINING, *BATCHES, "--seed", str(seed), "--quiet")
    steps.run(*train, "-o", "tuned", *DPO, *rest, title="train dpo: a LoRA adapter")
    steps.run(*train, "-o", "control", *SFT, *rest, title="The control: imitate the chosen side alone, all else equal")


def _held_out(steps: Steps, size: Size, seed: int) -> None:
    """Base, tuned and control on prompts whose cities none of them was tuned on, judged by the same rule."""
    prompts = (*TINY, "prompts", "--out", "held-out.jsonl", "--count", str(size.held_out), "--split", "held-out")
    steps.run(*prompts, "--seed", str(seed), title="Held-out prompts: cities that no training prompt names")
    serve = (*TINY, "serve", "base", "--adapter", "tuned", "--adapter", "control")
    sampling = (*SAMPLING, "--seed", str(seed + 1))
    with steps.serving(*serve, title="All three at one server") as url:
        models = [part for name in MODELS for part in ("--model", f"{name}@{url}")]
        steps.run("prefdata", "collect", "held-out.jsonl", "-o", "answers.jsonl", *models, "-n", "1", *sampling)
        collect = ("prefdata", "collect", "held-out.jsonl", "-o", "candidates.jsonl", "--model", f"base@{url}")
        steps.run(*collect, "-n", str(size.samples), *sampling)
    steps.run("prefdata", "judge", "answers.jsonl", "-o", "answers.pairs.jsonl", "--judge", RULE, title="The same rule")
    steps.run("prefdata", "judge", "candidates.jsonl", "-o", "held-out.pairs.jsonl", "--judge", RULE)


def _measured(steps: Steps, shuffled: bool, began: float) -> DemoResult:
    folder = steps.folder
    told = steps.run(*TINY, "accuracy", "base", "tuned", "held-out.pairs.jsonl", capture=True)
    accuracy = orjson.loads(told)
    trained = _chosen(folder)
    return DemoResult(
        folder=folder,
        correct=_correct(folder),
        pair_accuracy=rate(accuracy["right"], accuracy["pairs"]),
        pairs=trained.total,
        chosen_correct=trained,
        shuffled=shuffled,
        seconds=round(time.monotonic() - began, 1),
    )


def _correct(folder: Path) -> dict[str, Rate]:
    """Answers with the full score, by model."""
    model_of = {
        (row["id"], response["id"]): response["model"]
        for row in _rows(folder / "answers.jsonl")
        for response in row["responses"]
    }
    right, total = dict.fromkeys(MODELS, 0), dict.fromkeys(MODELS, 0)
    for judgment in _rows(folder / "answers.pairs.judgments.jsonl"):
        for id, score in judgment["scores"].items():
            model = model_of[judgment["response_set_id"], id]
            total[model] += 1
            right[model] += score == 1
    return {model: rate(right[model], total[model]) for model in MODELS}


def _chosen(folder: Path) -> Rate:
    """Pairs of the dataset, and how many of their chosen answers have the full score."""
    from prefdata.records.dataset import open_dataset

    scores = {
        (judgment["response_set_id"], id): score
        for judgment in _rows(folder / "pairs.judgments.jsonl")
        for id, score in judgment["scores"].items()
    }
    rows = [row["metadata"] for row in open_dataset(folder / "dataset").rows()]
    right = sum(scores[row["response_set_id"], row["chosen_response_id"]] == 1 for row in rows)
    return rate(right, len(rows))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
