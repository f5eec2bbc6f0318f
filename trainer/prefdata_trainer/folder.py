"""The finished folder: what stands in it beside the weights and the tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from prefdata.records.dataset import DatasetHandle
from prefdata.records.output import write_json
from prefdata_trainer import disputed
from prefdata_trainer.card import card
from prefdata_trainer.checks import CONFIGURATION
from prefdata_trainer.outcome import Outcome
from prefdata_trainer.plots import draw
from prefdata_trainer.theirs import Theirs


def complete(folder: Path, outcome: Outcome, handle: DatasetHandle, theirs: Theirs) -> None:
    """Add to ``folder``, which holds weights and tokenizer, the metrics, margins, configuration, curves and card."""
    adapter = folder / "adapter_config.json"
    if adapter.exists():  # PEFT writes its sets in whatever order they come; the same run gives the same bytes
        config = orjson.loads(adapter.read_bytes())
        if isinstance(config["target_modules"], list):
            config["target_modules"].sort()
        write_json(adapter, config)
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; what it says is in prefdata_config.yaml
    if (folder.parent / "runs").is_dir():
        shutil.copytree(folder.parent / "runs", folder / "runs")
    with (folder / "metrics.jsonl").open("wb") as file:
        for entry in outcome.metrics:
            file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS))
    pq.write_table(_table(outcome), folder / "per_pair.parquet")
    if outcome.plan.settings.disputed:
        disputed.write(folder, handle, outcome.pairs, outcome.plan.settings.disputed)
    exact = {**outcome.plan.document(), "trl": dict(theirs.training), "lora": dict(theirs.lora)}
    exact = {**exact, "loading": dict(theirs.loading), "speed": outcome.speed, "versions": outcome.versions}
    text = yaml.safe_dump(orjson.loads(orjson.dumps(exact, default=str)), sort_keys=False, allow_unicode=True)
    (folder / CONFIGURATION).write_text(text, encoding="utf-8")
    write_json(folder / "results.json", outcome.document())
    draw(outcome, folder / "curves.png")
    rules = orjson.loads((handle.path / "report.json").read_bytes()).get("rules", {})
    (folder / "README.md").write_text(card(outcome, handle.manifest, rules), encoding="utf-8")


def _table(outcome: Outcome) -> pa.Table:
    """per_pair.parquet; margins and probabilities that no pair has are columns of nulls, and still numbers."""
    numbers = {name: pa.array(outcome.pairs[name], pa.float64()) for name in ("margin", "probability")}
    return pa.table({**outcome.pairs, **numbers})
