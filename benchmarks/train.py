"""Training by ``prefdata train dpo`` against stock TRL: pairs a second, in one run, at the same loss.

    python benchmarks/train.py                                   # A and C on all sets; about 10 minutes on one core
    python benchmarks/train.py --models B --sets long --pairs 4  # the shape of a 135M model
    python benchmarks/train.py --device cuda --dtype bf16 --models 1b --batch 4 --pairs 64

Models are built from configurations, pairs are random tokens. Each variant is a trainer that ``train()``s one epoch
of LoRA (r 16, all linear layers, no dropout) over the same pairs; variants take turns, and what is printed is the
median over rounds of (stock's time in the round / the variant's time in the round): CPU time of the process on a CPU,
so that other processes disturb little, wall time on a GPU. "stock" is TRL's DPOTrainer, gradient checkpointing off,
given the same tokens and masks; its reference log-probabilities come from a second forward pass in each step. Ratios
travel between machines, absolute figures do not.

Rows: "head" narrows the LM head to tokens of the loss; "prefix" puts both sides of a pair in one row;
"kv" is prefix sharing by a cache of keys and values instead, which prefdata does not ship; "group" adds batches of like
lengths. These compute references in each step, as stock does. "first epoch" is prefdata's default with an empty cache,
the pass over the references included; "and margins" adds the pass after training that prefdata measures the margin of
each pair with, which stock has nothing of; "later" is a further epoch, or a run whose references are in the cache.

Before anything is timed, each variant's loss and gradient on one batch are held against stock's.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if "cuda" not in sys.argv:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TQDM_DISABLE"] = "1"

import torch
from datasets import Dataset
from prefdata_trainer.dpo import Dpo
from prefdata_trainer.fast import FastForward, ReferenceCache, Speed, reference_hash
from prefdata_trainer.fast.layout import IGNORED
from prefdata_trainer.loading import load_model, lora_config, training_config
from prefdata_trainer.pair_trainer import PairTrainer
from prefdata_trainer.quiet import hushed
from prefdata_trainer.settings import DpoSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import SIDES, PairCollator
from tokenizers import Tokenizer, models
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOTrainer

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 256, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "heads": (2, 1)},
    "A": {"vocab_size": 2048, "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 4, "heads": (4, 4)},
    "C": {"vocab_size": 32768, "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 4, "heads": (4, 4)},
    "B": {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "heads": (9, 3)},
    "1b": {
        "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "heads": (32, 8),
    },
}  # fmt: skip
SETS = {
    "long": ((448, 576), (48, 80)),
    "short": ((16, 32), (16, 64)),
    "mixed": ((16, 768), (8, 256)),
    "turns": ((64, 256), (96, 192)),
}
"""Tokens of the prompt and of each completion. In "turns" the middle third of a completion is a user's, not scored."""


class Stock(DPOTrainer):
    """TRL's own trainer but for where its tokens come from."""

    _prepare_dataset = PairTrainer._prepare_dataset
    _send_telemetry = PairTrainer._send_telemetry

    def __init__(self, *, speed: Speed, **keywords: Any) -> None:
        super().__init__(**keywords)


class CachedPrefix(FastForward):
    """Prefix sharing by a cache: the prefix read once a pair, then both rests of it against its keys and values."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.narrow or not kwargs.get("fused_lm_head"):
            return self.trl(*args, **kwargs)
        ids, attended, labels = (kwargs.pop(name) for name in ("input_ids", "attention_mask", "labels"))
        pairs = len(ids) // 2
        scored = labels[:, 1:] != IGNORED
        starts = (ids[:pairs] == ids[pairs:]).long().cumprod(1).sum(1)
        starts = torch.minimum(starts, scored.long().argmax(1).view(2, pairs).amin(0) + 1)
        both = starts.repeat(2)
        prefix, rest = int(starts.max()), int((attended.sum(1) - both).max())
        places = torch.arange(prefix, device=ids.device)
        seen = places < starts[:, None]
        cache = DynamicCache()
        backbone = self.model.base_model
        hidden = backbone(
            input_ids=ids[:pairs, :prefix], attention_mask=seen.long(), past_key_values=cache, use_cache=True
        ).last_hidden_state
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys.repeat(2, 1, 1, 1), layer.values.repeat(2, 1, 1, 1)
        positions = both[:, None] + torch.arange(rest, device=ids.device)
        inside = positions.clamp(max=ids.shape[1] - 1)
        rows, columns = scored.nonzero(as_tuple=True)
        early = columns < both[rows]

        def narrow(_module: Any, _arguments: Any, outputs: Any) -> Any:
            late = outputs.last_hidden_state[rows, (columns - both[rows]).clamp(min=0)]
            outputs.last_hidden_state = torch.where(
                early[:, None], hidden[rows % pairs, columns.clamp(max=prefix - 1)], late
            )[None]
            return outputs

        hook = backbone.register_forward_hook(narrow)
        mask = torch.cat([seen.repeat(2, 1), attended.bool().gather(1, inside) & (positions < ids.shape[1])], 1)
        outputs = self.trl(
            input_ids=ids.gather(1, inside), attention_mask=mask.long(), position_ids=inside, past_key_values=cache,
            shift_labels=labels[:, 1:][scored][None], **kwargs,
        )  # fmt: skip
        hook.remove()
        for name in ("log_probs", "entropy", "mean_logits", "is_top1"):
            value = getattr(outputs, name)
            if value is not None:
                outputs[name] = torch.zeros_like(scored, dtype=value.dtype).masked_scatter(scored, value)
        return outputs


def rows(kind: str, count: int, vocabulary: int, seed: int = 3) -> Iterator[dict[str, Any]]:
    rng = random.Random(seed)
    prompt, completion = SETS[kind]
    for at in range(count):
        row: dict[str, Any] = {"id": str(at), "prompt_ids": _tokens(rng, rng.randint(*prompt), vocabulary)}
        for side in SIDES:
            ids = _tokens(rng, rng.randint(*completion), vocabulary)
            third = len(ids) // 3 if kind == "turns" else 0
            row |= {f"{side}_ids": ids, f"{side}_in_loss": [not third <= i < 2 * third for i in range(len(ids))]}
        yield row | {"length": len(row["prompt_ids"]) + max(len(row[f"{side}_ids"]) for side in SIDES)}


def _tokens(rng: random.Random, count: int, vocabulary: int) -> list[int]:
    return [rng.randrange(2, vocabulary) for _ in range(count)]


class Bench:
    """One model and one set of pairs, and the trainers that race over it."""

    def __init__(self, options: argparse.Namespace, shape: str, kind: str, folder: Path) -> None:
        self.options, self.folder = options, folder
        told = SHAPES[shape] | {"max_position_embeddings": 4096, "tie_word_embeddings": shape in ("B", "1b")}
        heads, of_keys = told.pop("heads")
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**told, num_attention_heads=heads, num_key_value_heads=of_keys))
        self.parameters = model.num_parameters()
        model.to(getattr(torch, options.load)).save_pretrained(folder / "model")
        del model
        vocabulary = {"<pad>": 0, "<eos>": 1}
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(vocabulary, "<pad>")), pad_token="<pad>", eos_token="<eos>"
        )
        Dataset.from_list(list(rows(kind, options.pairs, SHAPES[shape]["vocab_size"]))).save_to_disk(folder / "pairs")

    def trainer(self, name: str) -> Any:
        options = self.options
        settings = DpoSettings(
            model=str(self.folder / "model"), batch_size=options.batch, gradient_accumulation=1, lora_dropout=0.0,
            learning_rate=1e-5,
        )  # fmt: skip
        kept = name in ("first epoch", "later")
        theirs = Theirs(
            {
                "precompute_ref_log_probs": kept, "activation_checkpointing": options.checkpointing,
                "bf16": options.dtype == "bf16",
            },
            {"dtype": options.load},
            {"init_lora_weights": False},
        )  # fmt: skip
        model = load_model(settings.model, settings, theirs)
        speed = Speed(
            fast=name not in ("stock", "kv"),
            sharing="off" if name == "head" else "auto",
            grouping=name not in ("stock", "head", "prefix", "kv"),
            cache=ReferenceCache(self.folder / "references") if kept else None,
            reference=reference_hash(model) if kept else "",
        )
        if name == "first epoch":
            speed.cache = None
        kind = Stock if name == "stock" else PairTrainer
        trainer = kind(
            model=model,
            args=training_config(Dpo(), settings, theirs, self.folder / f"run-{name}", name, 10),
            data_collator=PairCollator(self.tokenizer.pad_token_id),
            train_dataset=Dataset.load_from_disk(self.folder / "pairs"),
            processing_class=self.tokenizer,
            peft_config=lora_config(settings, theirs),
            speed=speed,
        )
        if name == "kv":
            CachedPrefix(trainer.model.get_base_model())
        trainer.args.save_strategy = "no"
        trainer.callback_handler.callbacks.clear()
        return trainer

    def references(self) -> float:
        """Seconds of a pass over the references with an empty cache: what building a trainer takes more for it."""
        trainer = self.trainers["first epoch"]
        plain = trainer.train_dataset.remove_columns(["ref_chosen_logps", "ref_rejected_logps"])
        return _timed(lambda: trainer.speed.with_references(trainer, plain, self.options.batch))

    def agreement(self, names: list[str]) -> None:
        """Loss and gradient of every variant on one batch, against stock's."""
        first: Any = None
        for name in names:
            trainer = self.trainers[name]
            batch = trainer.data_collator([trainer.train_dataset[at] for at in range(self.options.batch)])
            trainer.model.train()
            trainer.model.zero_grad()
            loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
            loss.backward()
            grads = [p.grad.double().flatten() for p in trainer.model.parameters() if p.grad is not None]
            gradient = torch.cat(grads)
            trainer.model.zero_grad()
            value = float(loss.detach())
            first = first or (value, gradient)
            print(
                f"    {name:12} loss {value:.7f}  apart {abs(value - first[0]):.1e}  "
                f"gradient apart {float((gradient - first[1]).norm() / first[1].norm()):.1e} of its norm"
            )

    def race(self) -> None:
        names = ["stock", *self.options.variants.split(",")]
        self.trainers = {name: self.trainer(name) for name in names}
        if not self.options.skip_check:
            self.agreement(names)
        ratios: dict[str, list[float]] = {}
        peaks: dict[str, float] = {}
        seconds: list[float] = []
        for _ in range(self.options.rounds):
            took = {}
            for name in names:
                resting = 0
                if self.options.device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                    resting = torch.cuda.memory_allocated()
                took[name] = _timed(self.trainers[name].train)
                if name == "first epoch":
                    took[name] += self.references()
                    trainer = self.trainers[name]
                    took["and margins"] = took[name] + _timed(lambda: trainer.logps(reference=False))  # noqa: B023
                if self.options.device == "cuda":
                    peaks[name] = (torch.cuda.max_memory_allocated() - resting) / 2**30
            seconds.append(took["stock"])
            for name, spent in took.items():
                ratios.setdefault(name, []).append(took["stock"] / spent)
        print(f"    stock: {self.options.pairs / statistics.median(seconds):.2f} pairs/s")
        for name in ratios:
            spread = f"{min(ratios[name]):.2f} to {max(ratios[name]):.2f}"
            peak = f"  {peaks[name]:.1f} GiB at most, beside weights" if name in peaks else ""
            print(f"    {name:12} {statistics.median(ratios[name]):5.2f} x stock  ({spread}){peak}", flush=True)


def _timed(work: Any) -> float:
    """Seconds of this process on a CPU (other processes may be at work), of the clock on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    began = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="A,C", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--variants", default="head,prefix,kv,group,first epoch,later")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=2, help="pairs in a forward pass; 2 is prefdata's default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-check", action="store_true", help="do not compare losses and gradients first")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32", help="bf16: weights and autocast")
    parser.add_argument("--checkpointing", action="store_true", help="activation checkpointing, for all variants")
    options = parser.parse_args()
    options.load = {"fp32": "float32", "bf16": "bfloat16"}[options.dtype]
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device")
    torch.set_num_threads(options.threads)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {options.threads} thread(s)"
    print(f"{where}, {options.dtype}, torch {torch.__version__}, {options.pairs} pairs, {options.batch} a batch")
    for shape in options.models.split(","):
        for kind in options.sets.split(","):
            with tempfile.TemporaryDirectory() as folder, hushed():
                bench = Bench(options, shape, kind, Path(folder))
                print(f"\n{shape} ({bench.parameters / 1e6:.1f}M parameters), {kind}", flush=True)
                bench.race()


if __name__ == "__main__":
    main()
