"""TRL's and PEFT's own flags, read by TRL's own parser. Imports torch, transformers, trl and peft."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

import yaml
from peft import LoraConfig
from trl import ModelConfig, TrlParser  # type: ignore[attr-defined]

from prefdata.errors import UsageError
from prefdata_trainer.flags import THEIR_NAMES
from prefdata_trainer.settings import RunSettings

OURS = {
    "output_dir": "the adapter goes to -o, checkpoints beside it",
    "resume_from_checkpoint": "the same command run again continues from the last whole checkpoint",
    "remove_unused_columns": "the loss mask is a column that TRL would remove",
    "truncation_mode": "use --truncation",
    "padding_free": "TRL does not support it at present",
    "save_only_model": "such a checkpoint cannot be continued",
    "push_to_hub": "push the finished folder instead",
    "eval_strategy": "a dataset's split eval is evaluated every --eval-steps",
    "do_eval": "a dataset's split eval is evaluated every --eval-steps",
    "load_best_model_at_end": "use --early-stopping",
    "task_type": "the trainer sets it",
    "base_model_name_or_path": "use --model",
    "use_peft": "LoRA is the default; --full turns it off",
    "pad_token": "the tokenizer says it",
}
"""Their flags that would work against us, and why."""
LOADING = {
    "model_revision",
    "dtype",
    "attn_implementation",
    "load_in_8bit",
    "load_in_4bit",
    "bnb_4bit_quant_type",
    "use_bnb_nested_quant",
    "bnb_4bit_quant_storage",
}
"""The flags of TRL's ModelConfig that say how weights are loaded."""
LORA_NAMES = {"lora_target_parameters": "target_parameters", "lora_modules_to_save": "modules_to_save"}


@dataclass(frozen=True, slots=True)
class Theirs:
    """Values by name, for TRL's configuration, for loading the model, and for LoraConfig; only what was given."""

    training: Mapping[str, Any] = field(default_factory=dict)
    loading: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] = field(default_factory=dict)


class _Parser(TrlParser):
    """TRL's parser, whose complaints are one line each and not its whole usage."""

    def error(self, message: str) -> NoReturn:
        name, _, complaint = message.removeprefix("argument ").partition(": ")
        raise UsageError(
            f"{name.split('/')[0]}: {complaint}", "TRL's documentation of its configuration lists its flags"
        )


def read(passed: Mapping[str, Iterable[str]], settings: RunSettings, config: Any) -> Theirs:
    """The passed-on flags with their types; raises UsageError for one that nobody has, or that is ours to set.

    ``config`` is TRL's configuration class.
    """
    training = {item.name: item for item in fields(config)}
    lora = {item.name for item in fields(LoraConfig)} | set(LORA_NAMES)
    words: list[str] = []
    found: dict[str, list[str]] = {"training": [], "loading": []}
    of_lora: dict[str, Any] = {}
    for name, values in passed.items():
        given, plain = list(values), name.removeprefix("no_") if name.removeprefix("no_") in training else name
        if plain in OURS:
            raise UsageError(f"--{name} cannot be set: {OURS[plain]}")
        if plain in training or plain in LOADING:
            if not given and plain in training and "bool" in str(training[plain].type) and plain == name:
                given = ["true"]
            words += [f"--{name}", *given]
            found["training" if plain in training else "loading"].append(plain)
        elif name in lora:
            of_lora[LORA_NAMES.get(name, name)] = _value(given)
        else:
            known = {*training, *LOADING, *lora, *THEIR_NAMES, *(item.name for item in fields(settings))} - set(OURS)
            close = difflib.get_close_matches(name, sorted(known), n=1)
            raise UsageError(
                f"there is no flag --{name}, neither here nor in TRL's {config.__name__} nor in PEFT's LoraConfig",
                f"did you mean --{close[0]}?" if close else "--help lists ours",
            )
    if of_lora and settings.full:
        raise UsageError(f"--{next(iter(of_lora))} is a flag of LoRA, and --full trains without it", "leave one out")
    kinds: Any = (config, ModelConfig)
    parsed, _ = _Parser(kinds, allow_abbrev=False).parse_known_args(words)
    return Theirs(
        {name: getattr(parsed, name) for name in found["training"]},
        {name: getattr(parsed, name) for name in found["loading"]},
        of_lora,
    )


def _value(given: list[str]) -> Any:
    """The value of a LoRA flag: words are YAML (``true``, ``[0, 1]``, ``{q_proj: 4}``), several are a list.

    >>> _value([]), _value(["false"]), _value(["q_proj", "v_proj"])
    (True, False, ['q_proj', 'v_proj'])
    """
    values = [yaml.safe_load(word) for word in given]
    return True if not values else values[0] if len(values) == 1 else values
