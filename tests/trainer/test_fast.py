"""The fast forward against TRL's own, by one trainer on the same weights: losses, gradients, and when it is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
import transformers
import yaml
from datasets import Dataset
from prefdata_trainer import train_dpo
from prefdata_trainer.dpo import Dpo
from prefdata_trainer.fast import LengthGrouped, Speed
from prefdata_trainer.fast.layout import IGNORED, shared
from prefdata_trainer.fast.support import as_trl_alone, obstacle_to_all, obstacle_to_sharing
from prefdata_trainer.loading import load_model, lora_config, training_config
from prefdata_trainer.pair_trainer import PairTrainer
from prefdata_trainer.settings import LOSSES, DpoSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import PairCollator, render
from transformers import AutoTokenizer

from prefdata.errors import UsageError
from prefdata.records.dataset import open_dataset
from prefdata.rendering import Renderer
from tests.trainer.conftest import MakeDataset, build_tokenizer, chat_pairs, text_pairs, trajectory_pairs

pytestmark = pytest.mark.usefixtures("quiet_libraries")

Pairs = Callable[[int], list[dict[str, Any]]]


def mixed_pairs(count: int) -> list[dict[str, Any]]:
    """Conversations short and long, with answers that begin alike, one of which is the whole beginning of the other."""
    rows = [*trajectory_pairs(count), *chat_pairs(count)]
    for at, row in enumerate(rows):
        row["id"] = str(at)
    rows[0]["rejected"][0] = dict(rows[0]["chosen"][0])
    rows[1]["chosen"] = rows[1]["rejected"][:1]
    return rows[::2] + rows[1::2]


def build(
    model: Path,
    rows: Path,
    folder: Path,
    *,
    losses: tuple[str, ...] = ("sigmoid",),
    weights: tuple[float, ...] = (),
    separate: Path | None = None,
    full: bool = False,
    dtype: str = "float32",
    batch: int = 8,
    speed: Speed | None = None,
    lora: dict[str, Any] | None = None,
    **training: Any,
) -> Any:
    """A trainer as a run builds it, whose adapter is not zero, so that policy and reference differ."""
    settings = DpoSettings(
        model=str(model),
        batch_size=batch,
        loss_type=losses,
        loss_weights=weights,
        full=full,
        lora_dropout=0.0,
        beta=0.3,
    )
    theirs = Theirs(training, {"dtype": dtype}, {} if full else {"init_lora_weights": False, **(lora or {})})
    tokenizer = AutoTokenizer.from_pretrained(model)
    render(open_dataset(rows), Renderer(tokenizer), None, folder / "tokens", "train")
    return PairTrainer(
        model=load_model(str(model), settings, theirs),
        ref_model=load_model(str(separate), settings, theirs) if separate else None,
        args=training_config(Dpo(), settings, theirs, folder / "checkpoints", "name", 1),
        data_collator=PairCollator(tokenizer.pad_token_id, training.get("pad_to_multiple_of")),
        train_dataset=Dataset.from_file(str(folder / "tokens" / "train.arrow")),
        processing_class=tokenizer,
        peft_config=lora_config(settings, theirs),
        speed=speed or Speed(sharing="on"),
    )


def loss_and_gradient(trainer: Any, rows: range) -> tuple[float, torch.Tensor, dict[str, list[float]]]:
    """Of one batch, with the metrics that TRL logs of it."""
    trainer.model.train()
    trainer.model.zero_grad()
    batch = trainer.data_collator([trainer.train_dataset[at] for at in rows])
    with trainer.accelerator.autocast():
        loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    gradient = torch.cat([p.grad.double().flatten() for p in trainer.model.parameters() if p.grad is not None])
    metrics = {name: list(values) for name, values in trainer._metrics["train"].items() if name != "num_tokens"}
    trainer._metrics["train"].clear()
    return float(loss.detach()), gradient, metrics


def assert_equal(trainer: Any, rows: range, tolerance: float = 1e-5) -> None:
    """Loss, gradient (relative to its norm) and metrics of the fast forward are those of TRL's own."""
    assert trainer.speed.forwards
    loss, gradient, metrics = loss_and_gradient(trainer, rows)
    with as_trl_alone(*trainer.speed.forwards):
        expected, expected_gradient, expected_metrics = loss_and_gradient(trainer, rows)
    assert loss == pytest.approx(expected, rel=tolerance, abs=tolerance)
    assert float(expected_gradient.norm()) > 1e-3
    assert float((gradient - expected_gradient).norm() / expected_gradient.norm()) < tolerance
    for name, values in expected_metrics.items():
        assert metrics[name] == pytest.approx(values, rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("sharing", ["on", "off"])
@pytest.mark.parametrize("pairs", [text_pairs, chat_pairs, trajectory_pairs, mixed_pairs])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("precomputed", [False, True])
def test_loss_and_gradient_are_trls(
    pairs: Pairs,
    sharing: str,
    separate: bool,
    precomputed: bool,
    tiny_model: Path,
    other_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
) -> None:
    """Both references, in each step and before; rows of all lengths; turns of users out of the loss; padding."""
    trainer = build(
        tiny_model, make_dataset(pairs(6)), tmp_path, separate=other_model if separate else None,
        speed=Speed(sharing=sharing), precompute_ref_log_probs=precomputed, pad_to_multiple_of=16 if separate else None,
    )  # fmt: skip
    assert trainer.speed.found["prefix_sharing"] == sharing
    assert_equal(trainer, range(6))
    assert_equal(trainer, range(2, 3))


@pytest.mark.parametrize(
    ("losses", "weights", "more"),
    [
        *(((name,), (), {"label_smoothing": 0.1}) for name in LOSSES),
        (("sigmoid", "sft"), (0.7, 0.2), {}),
        (("ipo", "bco_pair", "sigmoid_norm"), (1.0, 0.5, 0.25), {}),
        (("sigmoid",), (), {"use_weighting": True}),
        (("sigmoid",), (), {"ld_alpha": 0.4, "precompute_ref_log_probs": True}),
        (("sigmoid",), (), {"f_divergence_type": "js_divergence"}),
    ],
)
def test_every_loss_is_trls(
    losses: tuple[str, ...],
    weights: tuple[float, ...],
    more: dict[str, Any],
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
) -> None:
    told = {"precompute_ref_log_probs": False, **more}
    trainer = build(tiny_model, make_dataset(mixed_pairs(4)), tmp_path, losses=losses, weights=weights, **told)
    assert_equal(trainer, range(8))


def test_full_fine_tuning_is_trls(
    tiny_model: Path, other_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """The head and the embeddings have a gradient, too."""
    trainer = build(tiny_model, make_dataset(mixed_pairs(4)), tmp_path, separate=other_model, full=True)
    assert trainer.model.get_output_embeddings().weight.requires_grad
    assert_equal(trainer, range(8))


def test_gradient_checkpointing_is_trls(tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    trainer = build(tiny_model, make_dataset(mixed_pairs(4)), tmp_path, gradient_checkpointing=True)
    assert_equal(trainer, range(8))


@pytest.mark.parametrize("lora", [{"use_dora": True}, {"use_rslora": True}])
def test_other_adapters_are_trls(
    lora: dict[str, Any], tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    assert_equal(build(tiny_model, make_dataset(mixed_pairs(4)), tmp_path, lora=lora), range(8))


@pytest.mark.parametrize("kind", ["weights", "autocast"])
def test_in_16_bits_the_error_is_no_greater_than_trls(
    kind: str, tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """bfloat16 rounds both ways of computing, each in its own way: both are held against 32 bits."""
    rows = make_dataset(mixed_pairs(12))
    exact = build(tiny_model, rows, tmp_path / "exact")
    weights = "bfloat16" if kind == "weights" else "float32"
    halves = build(tiny_model, rows, tmp_path / "halves", dtype=weights, bf16=True)
    halves.model.load_state_dict(exact.model.state_dict())
    assert halves.speed.found["prefix_sharing"] == "on"
    truth = exact.logps(reference=False)
    fast = halves.logps(reference=False)
    with as_trl_alone(*halves.speed.forwards):
        alone = halves.logps(reference=False)
    error, error_alone = (float(abs(found - truth).mean()) for found in (fast, alone))
    assert error_alone > 0
    assert error < 1.5 * error_alone


def test_with_dropout_only_the_draw_differs(tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    """Dropout that falls on the same tokens in both layouts gives the same loss: what differs is that TRL draws twice
    for the shared tokens, once for each side."""

    class ByContent(torch.nn.Module):
        """Drops what the sines of the values choose: a token drops the same wherever it stands."""

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            key = (values.detach().sum(dim=-1, keepdim=True) * 2).round()
            unit = torch.arange(values.shape[-1])
            return values * (torch.sin(key * (unit + 1)) > -0.9) / 0.86

    trainer = build(tiny_model, make_dataset(mixed_pairs(4)), tmp_path)
    undropped = loss_and_gradient(trainer, range(8))[0]
    for module in trainer.model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = ByContent()
    assert abs(loss_and_gradient(trainer, range(8))[0] - undropped) > 1e-3
    assert_equal(trainer, range(8))


def test_the_layout_reads_each_token_once() -> None:
    """Two pairs by hand: what is common once, what follows the last token of the loss not at all."""
    ids = torch.tensor([[1, 2, 3, 4, 9, 0], [1, 2, 3, 4, 9, 0], [1, 2, 5, 6, 7, 9], [1, 2, 3, 0, 0, 0]])
    attended = (ids != 0).long()
    labels = ids.masked_fill(attended == 0, IGNORED)
    labels[:, :2] = IGNORED  # the prompt
    labels[0, 4] = IGNORED  # a mark after the last token of the loss
    layout = shared(ids, attended, labels)
    assert layout.position_ids is not None
    assert layout.input_ids.tolist() == [[1, 2, 3, 5, 6, 7], [1, 2, 3, 4, 3, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 2, 3, 4], [0, 1, 2, 3, 2, 3]]
    assert layout.attention_mask[0, 0].long().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 1, 1],
    ]
    assert layout.targets.tolist() == [3, 4, 3, 4, 9, 5, 6, 7, 9, 3]
    assert layout.columns.tolist() == [1, 2, 1, 2, 3, 1, 3, 4, 5, 1]


@pytest.mark.parametrize(
    ("ids", "labels"),
    [
        ([[3, 4, 5, 6], [3, 4, 5, 7]], [[-100, 4, 5, -100], [-100, 4, 5, -100]]),  # differ only after the loss
        ([[3, 4, 5], [6, 7, 8]], [[3, 4, 5], [6, 7, 8]]),  # nothing in common, not even a prompt
        ([[3, 4, 5], [3, 4, 0]], [[-100, 4, 5], [-100, 4, -100]]),  # one is the beginning of the other
        ([[3, 4], [3, 5]], [[-100, -100], [-100, 5]]),  # one side has nothing in the loss
        ([[3, 4], [3, 5]], [[-100, -100], [-100, -100]]),  # neither has
    ],
)
def test_pairs_at_the_edges(
    ids: list[list[int]], labels: list[list[int]], tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    trainer = build(tiny_model, make_dataset(chat_pairs(2)), tmp_path)
    given = torch.tensor(ids)
    inputs = {"input_ids": given, "attention_mask": (given != 0).long(), "labels": torch.tensor(labels)}
    with torch.no_grad():
        found = trainer.model(**inputs, fused_lm_head=True).log_probs
        with as_trl_alone(*trainer.speed.forwards):
            expected = trainer.model(**inputs, fused_lm_head=True).log_probs
    assert torch.allclose(found, expected, atol=1e-5)


def test_common_parts_of_several_lengths_are_filled_up() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [1, 6, 0, 0], [1, 2, 3, 5], [1, 7, 8, 0]])
    labels = ids.masked_fill(ids == 0, IGNORED)
    labels[:, 0] = IGNORED
    labels[3, 1] = 7
    layout = shared(ids, (ids != 0).long(), labels, multiple=4)
    assert layout.position_ids is not None
    assert layout.input_ids.shape == (2, 4)
    assert layout.input_ids[1].tolist() == [1, 6, 0, 7]
    assert layout.position_ids[1].tolist() == [0, 1, 2, 1]
    assert layout.attention_mask[1, 0].long().tolist() == [[1, 0, 0, 1]]


SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "initializer_range": 0.2}
SHARES = {
    "llama": ("LlamaForCausalLM", SMALL),
    "eager": ("LlamaForCausalLM", {**SMALL, "attn_implementation": "eager"}),
    "gpt2": ("GPT2LMHeadModel", GPT2),
    "gemma2": ("Gemma2ForCausalLM", {**SMALL, "sliding_window": 128, "attn_implementation": "eager"}),
    "wide window": ("MistralForCausalLM", {**SMALL, "sliding_window": 128}),
    "phi3": ("Phi3ForCausalLM", SMALL),
    "granite": ("GraniteForCausalLM", {**SMALL, "logits_scaling": 3.0}),
    "neox": ("GPTNeoXForCausalLM", SMALL),
    "experts": ("MixtralForCausalLM", {**SMALL, "num_local_experts": 2, "router_aux_loss_coef": 0.0}),
}
DOES_NOT = {
    "narrow window": ("MistralForCausalLM", {**SMALL, "sliding_window": 16}, "see only 16 tokens"),
    "gemma3": ("Gemma3ForCausalLM", {**SMALL, "sliding_window": 16}, "see only 16 tokens"),
    "bloom": ("BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 2}, "the position of a token"),
    "mamba": ("MambaForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2}, "a state from token to token"),
    "convolutions": (
        "Lfm2ForCausalLM",
        {**SMALL, "layer_types": ["conv", "full_attention"]},
        "layers of conv",
    ),
    "router": (
        "MixtralForCausalLM",
        {**SMALL, "num_local_experts": 2, "router_aux_loss_coef": 0.1, "output_router_logits": True},
        "auxiliary loss",
    ),
}


def of_kind(folder: Path, name: str, told: dict[str, Any], seed: int = 0) -> Path:
    """A model of a family of transformers', with the tests' tokenizer."""
    tokenizer = build_tokenizer()
    kind = getattr(transformers, name)
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    torch.manual_seed(seed)
    kind(kind.config_class(vocab_size=len(tokenizer), **special, **told)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", SHARES)
def test_families_that_share(name: str, make_dataset: MakeDataset, tmp_path: Path) -> None:
    kind, told = SHARES[name]
    config = {key: value for key, value in told.items() if key != "attn_implementation"}
    model, other = (of_kind(tmp_path / f"model{seed}", kind, config, seed) for seed in (0, 1))
    lines: list[str] = []
    trainer = build(
        model, make_dataset(mixed_pairs(4)), tmp_path, full=True, separate=other, speed=Speed(say=lines.append)
    )
    for fast in trainer.speed.forwards:
        if attention := told.get("attn_implementation"):
            fast.model.set_attn_implementation(attention)
        fast.sharing = "on"
    assert trainer.speed.found["prefix_sharing"] == "auto", lines
    assert_equal(trainer, range(8))


@pytest.mark.parametrize("name", DOES_NOT)
def test_families_that_do_not_share(name: str, make_dataset: MakeDataset, tmp_path: Path) -> None:
    """A message says why; the loss is TRL's all the same; and ``--prefix-sharing on`` is refused."""
    kind, told, why = DOES_NOT[name]
    model, other = (of_kind(tmp_path / f"model{seed}", kind, told, seed) for seed in (0, 1))
    lines: list[str] = []
    rows = make_dataset(mixed_pairs(4))
    trainer = build(model, rows, tmp_path, full=True, separate=other, speed=Speed(say=lines.append))
    assert trainer.speed.found["prefix_sharing"] == "off"
    assert len(lines) == 1
    assert why in lines[0]
    if trainer.speed.forwards:
        assert_equal(trainer, range(8))
    with pytest.raises(UsageError, match=r"prefixes cannot be shared.*"):
        build(model, rows, tmp_path / "on", full=True, separate=other, speed=Speed(sharing="on"))


class Forgetful(transformers.LlamaModel):
    """Says that it takes positions, and counts for itself: nothing but trying finds it out."""

    def forward(self, *args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


def test_a_model_that_turns_out_different_is_left_to_trl(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of_kind(tmp_path / "model", "LlamaForCausalLM", SMALL)
    monkeypatch.setattr(transformers.models.llama.modeling_llama, "LlamaModel", Forgetful)
    lines: list[str] = []
    trainer = build(model, make_dataset(mixed_pairs(4)), tmp_path, speed=Speed(say=lines.append))
    assert isinstance(trainer.model.get_base_model().model, Forgetful)
    assert trainer.speed.found["prefix_sharing"] == "off"
    assert "log-probabilities differed by" in lines[0]
    assert trainer.speed.found["fast"]
    assert_equal(trainer, range(8))


def test_sharing_is_chosen_where_it_is_less_work(tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    """Two long sides with nothing in common are quicker apart: attention grows with the square of a row."""
    trainer = build(tiny_model, make_dataset(chat_pairs(4)), tmp_path, speed=Speed())
    (fast,) = trainer.speed.forwards

    def shape(prompt: int, completion: int) -> tuple[int, int]:
        ids = torch.arange(2).repeat_interleave(prompt + completion).view(2, -1).clone() + 5
        ids[:, :prompt] = 3
        labels = ids.clone()
        labels[:, :prompt] = IGNORED
        return fast._layout(ids, torch.ones_like(ids), labels).size

    assert shape(200, 20) == (1, 238)
    assert shape(1, 400) == (2, 400)


def test_batches_are_even_and_every_pair_comes_once() -> None:
    lengths = [int(length) for length in torch.randint(10, 1000, (1003,), generator=torch.Generator().manual_seed(1))]
    sampler = LengthGrouped(lengths, batch=4, seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(1003))
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert sorted(sampler) == sorted(first)
    batches = [[lengths[row] for row in first[at : at + 4]] for at in range(0, 1000, 4)]
    wasted = sum(4 * max(batch) - sum(batch) for batch in batches) / sum(4 * max(batch) for batch in batches)
    assert wasted < 0.05
    means = torch.tensor([sum(batch) / 4 for batch in batches])
    assert abs(float(torch.corrcoef(torch.stack([means[:-1], means[1:]]))[0, 1])) < 0.2, "no run of like batches"


@pytest.mark.parametrize(
    ("losses", "batch", "grouped"), [(("sigmoid",), 2, True), (("sigmoid", "sft"), 2, False), (("sigmoid",), 1, False)]
)
def test_lengths_are_grouped_where_a_loss_is_a_mean_over_pairs(
    losses: tuple[str, ...], batch: int, grouped: bool, tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    trainer = build(tiny_model, make_dataset(chat_pairs(6)), tmp_path, losses=losses, batch=batch)
    assert trainer.speed.found["group_by_length"] is grouped
    loader = trainer.get_train_dataloader()
    assert isinstance(loader.batch_sampler.sampler, LengthGrouped) is grouped


def test_slow_and_fast_runs_agree(tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    """Whole runs, the same batches in both: the same adapter but for rounding, and each says how it was computed."""
    rows = make_dataset(mixed_pairs(8))
    told: dict[str, Any] = {"lora_dropout": 0.0, "learning_rate": 1e-3, "gradient_accumulation": 2, "epochs": 2}
    weights = []
    for name, flags in (("slow", {"fast": False}), ("fast", {"group_by_length": False, "prefix_sharing": "on"})):
        outcome = train_dpo(rows, tmp_path / name, model=str(tiny_model), **told, **flags)
        assert outcome.document()["speed"]["fast"] is (name == "fast")
        weights.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
        document = orjson.loads((tmp_path / name / "results.json").read_bytes())
        assert document["speed"]["prefix_sharing"] == ("on" if name == "fast" else "off")
    from safetensors.torch import load

    slow, fast = map(load, weights)
    assert all(torch.allclose(slow[name], fast[name], atol=1e-5) for name in slow)
    assert any(not torch.equal(slow[name], torch.zeros_like(slow[name])) for name in slow if "lora_B" in name)


def test_the_command_refuses_what_cannot_be_shared_and_says_what_was_done(
    make_dataset: MakeDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_dataset(mixed_pairs(4))
    kind, told, why = DOES_NOT["narrow window"]
    model = of_kind(tmp_path / "model", kind, told)
    with pytest.raises(UsageError, match=why):
        train_dpo(rows, tmp_path / "adapter", model=str(model), prefix_sharing="on")
    assert not list(tmp_path.glob("adapter*"))
    train_dpo(rows, tmp_path / "adapter", model=str(model), quiet=False)
    assert "not sharing prefixes: some layers see only 16 tokens" in capsys.readouterr().err
    document = yaml.safe_load((tmp_path / "adapter" / "prefdata_config.yaml").read_text())
    assert why in document["speed"]["prefix_sharing_off_because"]
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "common beginnings of a pair read for each side" in card
    assert "batches of similar length" in card


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("flash", "flash_attention_2 reads no mask of our own"),
        ("neftune", "noise depends on the length"),
        ("vision", "reads more than text"),
        ("compile", "would compile anew"),
        ("deepspeed", "not been tested under DeepSpeed"),
    ],
)
def test_settings_that_leave_it_to_trl(
    change: str, why: str, tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """What cannot be had on this machine (flash attention, DeepSpeed) is said of the configuration alone."""
    trainer = build(tiny_model, make_dataset(chat_pairs(2)), tmp_path)
    model = trainer.model.get_base_model()
    if change == "flash":
        model.config._attn_implementation_internal = "flash_attention_2"
    elif change == "neftune":
        trainer.args.neftune_noise_alpha = 5
    elif change == "vision":
        model.config = transformers.Gemma3Config()
    elif change == "compile":
        trainer.args.torch_compile = True
    else:
        trainer.args.deepspeed = "zero.json"
    assert why in (obstacle_to_all(trainer) or obstacle_to_sharing(model, trainer.args, 64) or "")
