"""What a run is told, by our own flags; plain values that say nothing about how it is carried out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from prefdata.errors import UsageError
from prefdata.rendering import Limits, LossOn, Truncation

LOSSES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
)
LORA_LEARNING_RATE = 1e-5
FULL_LEARNING_RATE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What every trainer is told. Defaults suit LoRA on a chat model; lengths are in tokens, None for no limit."""

    model: str
    """A folder, or a name on the hub."""
    learning_rate: float | None = None
    """1e-5 for LoRA and 1e-6 for full fine-tuning where it is None."""
    epochs: float = 1.0
    batch_size: int = 2
    gradient_accumulation: int = 8
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("all-linear",)
    full: bool = False
    loss_on: LossOn = "assistant"
    max_length: int | None = None
    """By default what the model reads."""
    max_prompt_length: int | None = None
    max_completion_length: int | None = None
    truncation: Truncation = "drop"
    unrenderable: Literal["stop", "drop"] = "stop"
    """What to do when the chat template of the model cannot be split into turns for some pairs."""
    chat_template: Path | None = None
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    report_to: tuple[str, ...] = ()
    save_steps: int = 100
    eval_steps: int | None = None
    """Optimizer steps between evaluations, where the dataset has a split ``eval``; as ``save_steps`` where None."""
    early_stopping: int | None = None
    """Evaluations without a lower loss after which training stops; the best checkpoint is then the result."""
    merge: bool = False
    """Write the model with the adapter merged into it, too."""
    disputed: int = 0
    """How many of the pairs that the trained model disputes most to write as response sets for people to judge."""
    limit: int | None = None
    """Take only the first pairs, for a first try."""
    passed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flags of TRL's configuration and ModelConfig and of PEFT's LoraConfig, by their own names, as words."""

    def __post_init__(self) -> None:
        if self.merge and self.full:
            raise UsageError("--merge merges an adapter, and --full trains without one", "leave one out")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"a seed is a whole number from 0 to {2**32 - 1:,}, and not {self.seed}")

    @property
    def rate(self) -> float:
        """The learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_LEARNING_RATE if self.full else LORA_LEARNING_RATE

    def limits(self, context: int | None) -> Limits:
        """Length limits for a model that reads at most ``context`` tokens."""
        lengths = [length for length in (self.max_length, context) if length is not None]
        return Limits(min(lengths, default=None), self.max_prompt_length, self.max_completion_length, self.truncation)

    def document(self) -> dict[str, Any]:
        """The settings as a JSON document."""
        return {
            **asdict(self),
            "learning_rate": self.rate,
            "chat_template": None if self.chat_template is None else str(self.chat_template),
            "template_variables": dict(self.template_variables),
            "passed": {name: list(words) for name, words in self.passed.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoSettings(RunSettings):
    """A DPO run."""

    model_ref: str | None = None
    """A separate reference model; by default the model as it is before training."""
    beta: float = 0.1
    loss_type: tuple[str, ...] = ("sigmoid",)
    loss_weights: tuple[float, ...] = ()
    weight_by: Literal["margin", "probability"] | None = None
    """Weigh each pair by a column of the dataset; formulas in docs/training.md, as for the three that follow."""
    smoothing: Literal["conservative", "robust"] | None = None
    disagreement: float | None = None
    """The share of wrong labels that smoothing expects; by default each pair's own, 1 - probability."""
    margin_offset: float | None = None
    """Scale of the offset by which a pair's margin must be exceeded (ODPO)."""
    offset_of: Literal["log", "linear"] = "log"
    fast: bool = True
    """Compute the same loss and gradient in less time; see docs/training.md."""
    prefix_sharing: Literal["auto", "on", "off"] = "auto"
    """Whether what the sides of a pair have in common is computed once."""
    group_by_length: bool | None = None
    """Whether a batch holds pairs of similar length; None where the losses are means over pairs."""
    reference_cache: str | None = None
    """A folder, or ``off``; None for ``prefdata/references`` in the user's cache folder."""

    def __post_init__(self) -> None:
        RunSettings.__post_init__(self)
        unknown = [name for name in self.loss_type if name not in LOSSES]
        if unknown:
            raise UsageError(f"there is no loss {unknown[0]!r}", f"TRL has: {', '.join(LOSSES)}")
        if self.loss_weights and len(self.loss_weights) != len(self.loss_type):
            raise UsageError(
                f"{len(self.loss_weights)} loss weights for {len(self.loss_type)} losses",
                "give --loss-weights once for each --loss-type",
            )
        if not all(map(math.isfinite, self.loss_weights)):
            raise UsageError("a loss weight must be a number", "pass one, as in --loss-weights 0.2")
        if self.uses_confidence and "sigmoid" not in self.loss_type:
            raise UsageError(
                "--weight-by, --smoothing and --margin-offset change the loss sigmoid, which is not among the losses",
                "add --loss-type sigmoid, or leave them out",
            )
        changed = self._changes_of_sigmoid()
        if self.uses_confidence and changed:
            raise UsageError(
                f"--{changed} changes the loss sigmoid, and so do --weight-by, --smoothing and --margin-offset; no "
                "formula has both",
                "leave one out",
            )
        if self.disagreement is not None and self.smoothing is None:
            raise UsageError("--disagreement says how much to smooth, but not how", "add --smoothing conservative")

    def _changes_of_sigmoid(self) -> str | None:
        """The flag of TRL's that makes its sigmoid loss another than -log sigmoid(margin), where one is given."""
        plain = {"ld_alpha": (), "use_weighting": ("false", "False", "0", "no"), "f_divergence_type": ("reverse_kl",)}
        for name, values in plain.items():
            if name in self.passed and not set(self.passed[name] or ("",)) <= set(values):
                return name
        return None

    @property
    def uses_confidence(self) -> bool:
        """Whether a pair's margin or probability takes part in the loss."""
        return self.weight_by is not None or self.smoothing is not None or self.margin_offset is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrpoSettings(RunSettings):
    """An ORPO run: no reference model."""

    beta: float = 0.1
    """Weight of the odds-ratio term (lambda in the paper)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KtoSettings(RunSettings):
    """A KTO run: either side of a pair for itself, as desirable or not."""

    model_ref: str | None = None
    beta: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings(RunSettings):
    """A reward model: one number for a conversation."""

    use_margin: bool = False
    """Demand that rewards differ by more than the pair's margin (Llama 2's loss)."""
