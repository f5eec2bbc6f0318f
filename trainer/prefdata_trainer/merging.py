"""The model with its adapter merged in, for programs that read no adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftModel

from prefdata_trainer.method import Method
from prefdata_trainer.settings import RunSettings
from prefdata_trainer.theirs import Theirs

QUANTIZED = ("load_in_4bit", "load_in_8bit")


def merge(trainer: Any, method: Method, settings: RunSettings, theirs: Theirs, result: Path) -> None:
    """Write ``result/merged``: weights W + alpha / r B A, and the tokenizer.

    An adapter on quantized weights is merged into the model loaded anew without quantization, which rounds nothing.
    """
    if any(theirs.loading.get(name) for name in QUANTIZED):
        loading = {name: value for name, value in theirs.loading.items() if name not in QUANTIZED}
        bare = method.load(settings, Theirs(theirs.training, loading, theirs.lora))
        adapted = PeftModel.from_pretrained(bare, str(result))
    else:
        adapted = trainer.accelerator.unwrap_model(trainer.model)
    adapted.merge_and_unload().save_pretrained(str(result / "merged"))
    trainer.processing_class.save_pretrained(str(result / "merged"))
