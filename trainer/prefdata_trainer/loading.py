"""Tokenizer, model, reference and adapter from their names, and TRL's configuration from our settings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, get_quantization_config  # type: ignore[attr-defined]

from prefdata.errors import InputError, MissingExtraError, PrefdataError, UsageError
from prefdata.rendering.loading import completed
from prefdata.rendering.tokens import special_marks
from prefdata_trainer.memory import Shape
from prefdata_trainer.settings import RunSettings
from prefdata_trainer.theirs import Theirs


def load_tokenizer(settings: RunSettings, theirs: Theirs) -> Any:
    """The model's tokenizer, with the user's chat template where one is given, and a padding token."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(settings.model, **_source(theirs))
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise _unreadable("the tokenizer of " + settings.model, error) from None
    completed(tokenizer, settings.model, settings.chat_template)
    if tokenizer.pad_token is None:  # it is never attended to nor in the loss
        tokenizer.pad_token = tokenizer.eos_token or next(
            iter(special_marks(tokenizer).values()), tokenizer.convert_ids_to_tokens(0)
        )
    return tokenizer


def check_reference(settings: RunSettings, theirs: Theirs, tokenizer: Any) -> None:
    """Raise UsageError where the separate reference model reads other tokens than the model."""
    reference = getattr(settings, "model_ref", None)
    if reference is None:
        return
    try:
        other = AutoTokenizer.from_pretrained(reference, **_source(theirs))
    except (OSError, ValueError, KeyError, json.JSONDecodeError):
        return  # weights without a tokenizer: nothing to compare
    if other.get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            f"{reference} reads other tokens than {settings.model}, so it cannot be its reference",
            "choose a reference model with the same tokenizer",
        )


def reach(settings: RunSettings, theirs: Theirs) -> tuple[int | None, int | None]:
    """How many tokens the model reads at most, and how many it knows, where its configuration says so."""
    try:
        config = AutoConfig.from_pretrained(settings.model, **_source(theirs))
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise _unreadable("the model " + settings.model, error) from None
    told = [getattr(config.get_text_config(), name, None) for name in ("max_position_embeddings", "vocab_size")]
    length, known = (int(number) if number else None for number in told)
    return length, known


def check_quantization(settings: RunSettings, theirs: Theirs) -> None:
    """Raise UsageError or MissingExtraError where quantized weights are asked for and this machine cannot have them."""
    bits = next((bits for bits in (4, 8) if theirs.loading.get(f"load_in_{bits}bit")), None)
    if bits is None:
        return
    if settings.full:
        raise UsageError(f"--load_in_{bits}bit quantizes the weights, and --full would train them", "leave one out")
    if not torch.accelerator.is_available():
        raise UsageError(
            f"--load_in_{bits}bit needs a GPU, and this machine has none",
            "leave it out to train the adapter on unquantized weights; --dtype bfloat16 halves their memory",
        )
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            f"--load_in_{bits}bit needs the package bitsandbytes, which is not installed", "pip install bitsandbytes"
        )


def load_model(name: str, settings: RunSettings, theirs: Theirs, kind: Any = AutoModelForCausalLM, **more: Any) -> Any:
    """A causal language model, without dropout unless TRL's --disable_dropout false asks for it.

    ``kind`` is another class of transformers' for another head, ``more`` what it is to be told.
    """
    told = _told(settings, theirs)
    dtype = told.dtype if told.dtype in ("auto", None) else getattr(torch, str(told.dtype))
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": told.attn_implementation}
    if quantization := get_quantization_config(told):
        options |= {"quantization_config": quantization, "device_map": {"": torch.accelerator.current_device_index()}}
    try:
        model, found = kind.from_pretrained(name, **_source(theirs), **options, **more, output_loading_info=True)
    except ImportError as error:
        raise MissingExtraError(f"loading {name} needs a package: {_first_line(error)}") from None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unreadable("the model " + name, error) from None
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise InputError(
            f"the weights of {name} have other shapes than its config.json says",
            "check that both are of the same model, and whole",
        ) from None
    _check_whole(name, model, found["missing_keys"], head=kind is AutoModelForCausalLM)
    if theirs.training.get("disable_dropout", True):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    return model


def _check_whole(name: str, model: Any, missing: Iterable[str], *, head: bool) -> None:
    """Raise InputError where weights are not in the model's files: transformers draws them at random, with a warning.

    Without ``head`` what stands on the backbone may be new.
    """
    lost = sorted(key for key in missing if head or key.startswith(model.base_model_prefix + "."))
    if lost:
        shown = ", ".join(lost[:3]) + (", …" if len(lost) > 3 else "")
        raise InputError(
            f"{name} lacks weights of a {type(model).__name__}, which would be drawn at random: {shown}",
            "name a causal language model whose files are whole",
        )


def shape(settings: RunSettings, theirs: Theirs) -> Shape:
    """How the model will be loaded and a batch computed, for the estimate of memory."""
    told = _told(settings, theirs)
    weight_bytes = 0.55 if told.load_in_4bit else 1.05 if told.load_in_8bit else 4 if told.dtype == "float32" else 2
    checkpointing = theirs.training.get("activation_checkpointing", torch.accelerator.is_available())
    half = theirs.training.get("bf16", _half()) or theirs.training.get("fp16", False)
    source = _source(theirs)
    return Shape(
        settings.batch_size,
        weight_bytes,
        2 if half else 4,
        bool(checkpointing or theirs.training.get("gradient_checkpointing", False)),
        source["revision"],
        source["trust_remote_code"],
    )


def _told(settings: RunSettings, theirs: Theirs) -> Any:
    """TRL's flags for loading a model, with our default for its type."""
    return ModelConfig(**{"dtype": "bfloat16" if _half() and not settings.full else "float32", **theirs.loading})


def lora_config(settings: RunSettings, theirs: Theirs, task_type: str = "CAUSAL_LM") -> LoraConfig | None:
    """The adapter to train, or None for full fine-tuning."""
    if settings.full:
        return None
    targets: str | list[str] = list(settings.lora_targets)
    if len(targets) == 1 and targets[0] == "all-linear":
        targets = targets[0]
    values = {
        "r": settings.lora_r,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "target_modules": targets,
        "task_type": task_type,
        **theirs.lora,
    }
    try:
        return LoraConfig(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"PEFT refuses these LoRA settings: {_first_line(error)}") from None


def training_config(
    method: Any, settings: RunSettings, theirs: Theirs, folder: Path, name: str, steps: int, evaluated: int = 0
) -> Any:
    """TRL's configuration. What TRL or transformers would guess from the machine is said here.

    ``method`` is a ``prefdata_trainer.method.Method``; ``evaluated`` is how many pairs there are to evaluate on.
    """
    on_cpu = not torch.accelerator.is_available()
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "run_name": name,
        "learning_rate": settings.rate,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "max_length": None,  # lengths were settled when the tokens were rendered
        "seed": settings.seed,
        "report_to": list(settings.report_to) or "none",
        "logging_steps": max(1, min(10, steps // 50)),
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would show another number in the place of a loss that is none
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "remove_unused_columns": False,  # the loss mask is a column that the model does not name
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "bf16": _half(),
        "activation_checkpointing": not on_cpu,
        "dataloader_pin_memory": not on_cpu,
        **(_evaluation(settings) if evaluated else {}),
        **method.values(settings, theirs),
        **theirs.training,
    }
    known = {item.name for item in fields(method.config)}
    if "activation_checkpointing" not in known:  # ORPO's configuration has the older name
        values["gradient_checkpointing"] = values.pop("activation_checkpointing")
    # One checkpoint may be half-written when the process is killed, so there are always two.
    values["save_total_limit"] = max(2, values.get("save_total_limit") or 2)
    # TRL would turn off the adapter's own dropout, too; ``load_model`` has turned off the model's.
    values["disable_dropout"] = False
    if values.pop("fp16", False):
        values |= {"fp16": True, "bf16": False}
    try:
        return method.config(**values)
    except (ValueError, TypeError, ImportError) as error:
        raise UsageError(f"TRL refuses these settings: {_first_line(error)}") from None


def _evaluation(settings: RunSettings) -> dict[str, Any]:
    every = settings.eval_steps or settings.save_steps
    values: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": every, "prediction_loss_only": True}
    if settings.early_stopping:  # the best model is among the checkpoints only if one is written at each evaluation
        best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
        values |= {**best, "save_steps": every}
    return values


def _half() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def _source(theirs: Theirs) -> dict[str, Any]:
    return {
        "revision": theirs.loading.get("model_revision", "main"),
        "trust_remote_code": theirs.training.get("trust_remote_code", False),
    }


def _unreadable(what: str, error: Exception) -> PrefdataError:
    return InputError(f"{what} cannot be loaded: {_first_line(error)}", "check the name, the path and its files")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
