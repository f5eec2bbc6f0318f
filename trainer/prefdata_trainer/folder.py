"""The finished folder: what stands in it beside the weights and the tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from prefdata.records.output import write_json
from prefdata_trainer.card import card
from prefdata_trainer.outcome import Outcome
from prefdata_trainer.plots import draw
from prefdata_trainer.theirs import Theirs


def complete(folder: Path, outcome: Outcome, manifest: Mapping[str, Any], theirs: Theirs) -> None:
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
    pq.write_table(pa.table(outcome.pairs), folder / "per_pair.parquet")
    exact = {**outcome.plan.document(), "trl": dict(theirs.training), "lora": dict(theirs.lora)}
    exact = {**exact, "loading": dict(theirs.loading), "speed": outcome.speed, "versions": outcome.versions}
    text = yaml.safe_dump(orjson.loads(orjson.dumps(exact, default=str)), sort_keys=False, allow_unicode=True)
    (folder / "prefdata_config.yaml").write_text(text, encoding="utf-8")
    write_json(folder / "results.json", outcome.document())
    draw(outcome, folder / "curves.png")
    (folder / "README.md").write_text(card(outcome, manifest), encoding="utf-8")
