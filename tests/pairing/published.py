"""Public judgments as records of ours: LLMBar's recorded verdicts and PandaLM's three people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from prefdata.records.codec import judgment_record
from prefdata.types import Judge, Judgment


def write(path: Path, records: list[Any]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


def judgment(number: int, order: int, winner: int, judge: Judge) -> dict[str, Any]:
    """``winner``: 1, 2, or 0 for a tie."""
    shown = ("1", "2") if order == 0 else ("2", "1")
    ranking = ((str(winner),), (str(3 - winner),)) if winner else (("1", "2"),)
    return judgment_record(Judgment(f"{judge.name}-{number}-{order}", str(number), shown, ranking, judge, order=order))


def llmbar(data: Path, name: str, folder: Path) -> tuple[Path, Path, Path]:
    """Judgments, gold and responses of LLMBar Natural as judged by GPT-4."""
    rows = json.loads((data / f"llmbar_natural_gpt4_{name}.json").read_text())
    judge, person = Judge("llm", f"gpt-4-{name}"), Judge("human", "label")
    judgments, gold, responses = [], [], []
    for number, row in enumerate(rows):
        for order, swap in enumerate(("swap = False", "swap = True")):
            judgments.append(judgment(number, order, int(row["results"][0][swap]["winner"]), judge))
        gold.append(judgment(number, 0, row["label"], person))
        outputs = [{"id": str(n), "response": row[f"output_{n}"]} for n in (1, 2)]
        responses.append({"id": str(number), "prompt": {"prompt": row["input"]}, "responses": outputs})
    return (
        write(folder / f"{name}.jsonl", judgments),
        write(folder / "gold.jsonl", gold),
        write(folder / "responses.jsonl", responses),
    )


def pandalm(data: Path, folder: Path) -> Path:
    """Judgments of PandaLM's three annotators."""
    rows = json.loads((data / "pandalm_testset_v1.json").read_text())
    return write(
        folder / "pandalm.jsonl",
        [
            judgment(row["idx"], 0, row[f"annotator{n}"], Judge("human", f"annotator{n}"))
            for row in rows
            for n in (1, 2, 3)
        ],
    )


def alpaca_eval(data: Path, folder: Path) -> tuple[Path, Path]:
    """Judgments with probabilities and responses of AlpacaEval: gemma-7b-it against GPT-4 Turbo, 200 instructions."""
    rows = json.loads((data / "alpaca_eval_gpt4_turbo_gemma7b.json").read_text())
    judge = Judge("llm", "weighted-alpaca-eval-gpt4-turbo")
    judgments, responses = [], []
    for number, row in enumerate(rows):
        second = row["preference"] - 1
        order = int(row["shown_first"] == "output_2")
        shown = ("2", "1") if order else ("1", "2")
        best = "2" if second > 0.5 else "1"
        ranking = ((best,), ("1" if best == "2" else "2",)) if second != 0.5 else (("1", "2"),)
        said = Judgment(
            f"a{number}", str(number), shown, ranking, judge, order=order, probability=second if order else 1 - second
        )
        judgments.append(judgment_record(said))
        outputs = [{"id": n, "response": row[f"output_{n}"], "model": row[f"generator_{n}"]} for n in "12"]
        asked = {"prompt": row["instruction"], "metadata": {"source": row["dataset"]}}
        responses.append({"id": str(number), "prompt": asked, "responses": outputs})
    return write(folder / "alpaca.jsonl", judgments), write(folder / "alpaca-responses.jsonl", responses)
