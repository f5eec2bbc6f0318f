"""What a run does to be quicker, decided once the trainer stands, and told to the user."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from datasets import Dataset, concatenate_datasets

from prefdata.errors import UsageError
from prefdata_trainer.fast.forward import FastForward
from prefdata_trainer.fast.references import BLOCK, ReferenceCache, block_key, circumstances
from prefdata_trainer.fast.sampling import LengthGrouped, worth_grouping
from prefdata_trainer.fast.support import differs, obstacle_to_all, obstacle_to_sharing
from prefdata_trainer.measure import READING

SECONDS_BETWEEN_LINES = 10.0
REFERENCES = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass
class Speed:
    """One for each trainer. ``sharing`` is ``auto``, ``on`` or ``off``; ``grouping`` None leaves it to the losses."""

    fast: bool = True
    sharing: str = "auto"
    grouping: bool | None = None
    cache: ReferenceCache | None = None
    reference: str = ""
    """The hash of the reference's weights; needed with a cache."""
    say: Callable[[str], None] = lambda _: None
    found: dict[str, Any] = field(default_factory=dict)
    """What was decided, for the configuration that is written beside the adapter."""
    forwards: list[FastForward] = field(default_factory=list)

    def install(self, trainer: Any) -> None:
        """Put fast forwards before those of the trainer's models, once TRL has prepared them; again does nothing.

        Raises UsageError where prefixes are to be shared at all costs and cannot be.
        """
        if self.found:
            return
        losses, batch = trainer.loss_types, trainer.args.train_batch_size * trainer.accelerator.num_processes
        if self.grouping is None:
            self.grouping = self.fast and worth_grouping(
                losses, batch, getattr(trainer.args, "train_sampling_strategy", "random")
            )
        sharing, narrow, why = self._decide(trainer)
        self.found = {
            "fast": narrow,
            "prefix_sharing": sharing or "off",
            **({"prefix_sharing_off_because": why} if why else {}),
            "group_by_length": self.grouping,
        }
        if why and self.sharing == "on":
            raise UsageError(f"prefixes cannot be shared: {why}", "leave out --prefix-sharing on")
        if why:
            self.say(f"not sharing prefixes: {why}" if narrow else f"no faster than TRL alone: {why}")

    def _decide(self, trainer: Any) -> tuple[str | None, bool, str | None]:
        """How prefixes are shared, whether the head is narrowed, and what stands in the way of either."""
        if not self.fast:
            return None, False, None
        if why := obstacle_to_all(trainer):
            return None, False, why
        rows = trainer.train_dataset
        lengths = np.asarray(rows["length"])
        args, why = trainer.args, None
        models = [trainer.accelerator.unwrap_model(trainer.model)]
        models = [getattr(model, "get_base_model", lambda model=model: model)() for model in models]
        if trainer.ref_model is not None:
            models.append(trainer.accelerator.unwrap_model(trainer.ref_model))
        sharing = None if self.sharing == "off" else self.sharing
        if sharing:
            longest = max(int(lengths.max()), *(trainer.eval_dataset["length"] if trainer.eval_dataset else [0]))
            why = next(filter(None, (obstacle_to_sharing(m, args, longest) for m in models)), None)
            sharing = None if why else sharing
        multiple = int(args.pad_to_multiple_of or (8 if trainer.accelerator.device.type == "cuda" else 1))
        self.forwards = [FastForward(model, multiple=multiple) for model in models]
        # The longest pair, and with it one of middling length, so that there is padding where a batch has several.
        some = np.argsort(lengths, kind="stable")[[-1, len(lengths) // 2][: args.train_batch_size]]
        batch = trainer._prepare_inputs(trainer.data_collator([rows[int(at)] for at in some]))
        calls = [trainer.model] + ([trainer.ref_model] if trainer.ref_model is not None else [])
        if sharing:
            for fast in self.forwards:
                fast.share("on")
            why = self._trouble(trainer, calls, batch)
            sharing = None if why else sharing
        for fast in self.forwards:
            fast.share(sharing)
        if sharing is None and (worse := self._trouble(trainer, calls, batch)):
            for fast in self.forwards:
                fast.narrow = False
            return None, False, worse
        return sharing, True, why

    def _trouble(self, trainer: Any, calls: list[Any], batch: Any) -> str | None:
        """What a first try with each model shows to be different."""
        for model, fast in zip(calls, self.forwards, strict=True):
            exact = fast.model.dtype == torch.float32 and not (trainer.args.bf16 or trainer.args.fp16)
            was_training = model.training
            model.eval()
            with trainer.accelerator.autocast():
                why = differs(fast, model, batch, exact)
            model.train(was_training)
            if why:
                return why
        return None

    def sampler(self, trainer: Any) -> Any:
        """The order of training, where batches are grouped; None leaves it to transformers."""
        if not self.grouping:
            return None
        args = trainer.args
        seed = args.seed if args.data_seed is None else args.data_seed
        return LengthGrouped(
            trainer.train_dataset["length"], args.train_batch_size * trainer.accelerator.num_processes, seed
        )

    def with_references(self, trainer: Any, dataset: Dataset, batch_size: int) -> Dataset:
        """``dataset`` with the reference's log-probabilities of each pair as two more columns."""
        cache = self.cache
        if not trainer.args.precompute_ref_batch_size:
            batch_size *= READING
        how = {**circumstances(trainer, batch_size), "layout": [self.found["fast"], self.found["prefix_sharing"]]}
        blocks = [range(at, min(at + BLOCK, len(dataset))) for at in range(0, len(dataset), BLOCK)]
        known: list[Any] = [None] * len(blocks)
        keys = [""] * len(blocks)
        if cache is not None and trainer.accelerator.is_main_process:
            keys = [block_key(dataset[block.start : block.stop], self.reference, how) for block in blocks]
            known = [cache.read(key, len(block)) for key, block in zip(keys, blocks, strict=True)]
        known = broadcast_object_list(known, from_process=0)
        todo = [at for at, block in enumerate(known) if block is None]
        if cache is not None and len(todo) < len(blocks):
            self.say(f"reference log-probabilities of {_pairs(blocks, known):,} pairs taken from {cache.folder}")
        if cache is not None and cache.damaged:
            self.say(f"{cache.damaged} damaged entries of {cache.folder} are computed again")
        last, model = time.monotonic(), trainer.ref_model or trainer.model
        for at in todo:
            known[at] = trainer.over(
                dataset.select(blocks[at]), batch_size, lambda batch: trainer.compute_ref_log_probs(model, batch)
            ).astype(np.float32)
            if cache is not None and trainer.accelerator.is_main_process:
                try:
                    cache.write(keys[at], known[at])
                except OSError as error:
                    self.say(f"reference log-probabilities are not kept: {cache.folder}: {error.strerror}")
                    cache = None
            if time.monotonic() - last > SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                self.say(f"reference log-probabilities of {_pairs(blocks, known):,} of {len(dataset):,} pairs")
        if cache is not None and trainer.accelerator.is_main_process and todo:
            with suppress(OSError):
                cache.trim()
        values = np.concatenate(known)
        columns = Dataset.from_dict({name: values[:, side] for side, name in enumerate(REFERENCES)})
        return concatenate_datasets([dataset, columns], axis=1)


def _pairs(blocks: list[range], known: list[Any]) -> int:
    return sum(len(block) for block, found in zip(blocks, known, strict=True) if found is not None)
