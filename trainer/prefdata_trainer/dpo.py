"""Direct Preference Optimization: TRL's losses on our tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
from accelerate import PartialState
from datasets import Dataset
from trl import DPOConfig  # type: ignore[attr-defined]

from prefdata.rendering import RenderReport
from prefdata_trainer import confidence
from prefdata_trainer.fast import Speed, reference_cache, reference_hash
from prefdata_trainer.loading import load_model
from prefdata_trainer.method import Job, Method, Scores
from prefdata_trainer.pair_trainer import PairTrainer
from prefdata_trainer.settings import DpoSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import PairCollator

FIRST_LOSS = {
    "sigmoid": math.log(2),
    "robust": math.log(2),
    "sigmoid_norm": math.log(2),
    "aot": math.log(2),
    "aot_unpaired": math.log(2),
    "hinge": 1.0,
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "bco_pair": 2 * math.log(2),
    "nca_pair": 2 * math.log(2),
}
"""The loss of TRL's DPOTrainer where policy and reference agree, so that both log-ratios are 0."""
REFERENCES = ("ref_chosen_logps", "ref_rejected_logps")


def _speed(job: Job, config: Any, reference: Any) -> Speed:
    """What the run may do to be quicker; ``reference`` is the model that the cache of log-probabilities is keyed by."""
    settings: Any = job.plan.settings
    aloud = PartialState().is_main_process and not job.quiet
    initial = job.theirs.lora.get("init_lora_weights")
    return Speed(
        settings.fast,
        settings.prefix_sharing,
        settings.group_by_length,
        reference_cache(settings.reference_cache, job.folder / "references"),
        reference_hash(reference, initial) if config.precompute_ref_log_probs else "",
        (lambda line: click.echo(line, err=True)) if aloud else (lambda _: None),
    )


class Dpo(Method):
    """Rewards are beta times the log-ratio to the reference (Rafailov et al. 2023, section 4)."""

    name = "dpo"
    title = "Direct Preference Optimization"
    paper = "[Rafailov et al. 2023](https://arxiv.org/abs/2305.18290)"
    config = DPOConfig

    def __init__(self) -> None:
        self._reference: dict[str, Scores] = {}

    def values(self, settings: DpoSettings, theirs: Theirs) -> dict[str, Any]:
        """Also: reference log-probabilities before training, a forward pass moved and not added."""
        return {
            "beta": settings.beta,
            "loss_type": list(settings.loss_type),
            "loss_weights": list(settings.loss_weights) or None,
            "precompute_ref_log_probs": not theirs.training.get("sync_ref_model", False),
        }

    def first_loss(self, settings: DpoSettings) -> float | None:
        """ln 2 for the loss of the paper; None where it depends on the model or the data."""
        if settings.model_ref is not None or any(name not in FIRST_LOSS for name in settings.loss_type):
            return None
        if {"init_lora_weights", "use_weighting"} & set(settings.passed) or settings.uses_confidence:
            return None
        weights = settings.loss_weights or (1.0,) * len(settings.loss_type)
        return sum(weight * FIRST_LOSS[name] for name, weight in zip(settings.loss_type, weights, strict=True))

    def check(self, settings: DpoSettings, report: RenderReport, columns: Mapping[str, int]) -> None:
        confidence.check(settings, report.kept, columns)

    def trainer(
        self, job: Job, config: Any, model: Any, data: Mapping[str, Dataset], lora: Any, callbacks: Sequence[Any]
    ) -> Any:
        settings: Any = job.plan.settings
        padding = None if config.pad_to_multiple_of is None else int(config.pad_to_multiple_of)
        collator = PairCollator(job.tokenizer.pad_token_id, padding, confidence.values(settings, data))
        reference = load_model(settings.model_ref, settings, job.theirs) if settings.model_ref else None
        return PairTrainer(
            model=model,
            ref_model=reference,
            args=config,
            data_collator=collator,
            train_dataset=data["train"],
            eval_dataset=data.get("eval"),
            processing_class=job.tokenizer,
            callbacks=list(callbacks),
            peft_config=lora,
            speed=_speed(job, config, model if reference is None else reference),
            smoothing=settings.smoothing,
        )

    def scores(self, trainer: Any, data: Dataset, settings: DpoSettings, *, trained: bool) -> Scores:
        if not trained:
            trainer.watch(data)
            self._reference[data._fingerprint] = self._references(trainer, data)
        reference = self._reference[data._fingerprint]
        untouched = settings.model_ref is None and "init_lora_weights" not in settings.passed
        logps = reference if untouched and not trained else trainer.logps(data, reference=False)
        return settings.beta * (logps - reference)

    @staticmethod
    def _references(trainer: Any, data: Dataset) -> Scores:
        """Log-probabilities under the reference: those that TRL computed, unless they are length-desensitized."""
        for rows in (trainer.train_dataset, trainer.eval_dataset):
            known = rows is not None and REFERENCES[0] in rows.column_names and trainer.args.ld_alpha is None
            if known and rows["id"][:] == data["id"][:]:
                return np.stack([np.asarray(rows[name], np.float64) for name in REFERENCES], axis=1)
        found: Scores = trainer.logps(data, reference=True)
        return found
