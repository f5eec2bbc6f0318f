"""What the plugin takes for granted of TRL, PEFT and transformers: each test fails when one of them changes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from datasets import Dataset
from prefdata_trainer import train_dpo
from prefdata_trainer.callbacks import WHOLE, Checkpoints, last_whole_checkpoint
from prefdata_trainer.dpo import FIRST_LOSS, Dpo
from prefdata_trainer.loading import load_model, lora_config, training_config
from prefdata_trainer.pair_trainer import PairTrainer
from prefdata_trainer.quiet import hushed
from prefdata_trainer.settings import DpoSettings
from prefdata_trainer.theirs import Theirs
from prefdata_trainer.tokens import PairCollator, render
from transformers import AutoTokenizer
from trl import DPOTrainer

from prefdata.records.dataset import open_dataset
from prefdata.rendering import Renderer
from tests.trainer.conftest import MakeDataset, trajectory_pairs


@pytest.fixture
def trainer(tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path) -> Iterator[Any]:
    """A trainer as a run builds it, over four trajectories."""
    settings = DpoSettings(model=str(tiny_model), batch_size=4)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    handle = open_dataset(make_dataset(trajectory_pairs(4)))
    render(handle, Renderer(tokenizer), None, tmp_path / "tokens", "train")
    with hushed():
        yield PairTrainer(
            model=load_model(settings.model, settings, Theirs()),
            args=training_config(Dpo(), settings, Theirs(), tmp_path / "checkpoints", "name", 1),
            data_collator=PairCollator(tokenizer.pad_token_id),
            train_dataset=Dataset.from_file(str(tmp_path / "tokens" / "train.arrow")),
            processing_class=tokenizer,
            callbacks=[Checkpoints()],
            peft_config=lora_config(settings, Theirs()),
        )


def test_the_methods_that_are_overridden_exist() -> None:
    overridden = (
        "_prepare_dataset",
        "_send_telemetry",
        "create_model_card",
        "_precompute_ref_logps",
        "_get_train_sampler",
    )
    for name in (*overridden, "compute_ref_log_probs"):
        assert callable(getattr(DPOTrainer, name))
    assert "train_dataset" in inspect.signature(DPOTrainer.__init__).parameters
    assert "self._prepare_dataset(train_dataset" in inspect.getsource(DPOTrainer.__init__)


def test_trl_hands_our_columns_to_our_collator(trainer: Any) -> None:
    batch = next(iter(trainer.get_train_dataloader()))
    assert {"input_ids", "attention_mask", "completion_mask", "ref_chosen_logps", "ref_rejected_logps"} == set(batch)
    texts = []
    for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True):
        texts.append(trainer.processing_class.decode(ids[mask.bool()]))
    rows = trajectory_pairs(4)
    expected = {
        "".join(turn["content"] + "<|im_end|>" for turn in row[side] if turn["role"] == "assistant")
        for row in rows
        for side in ("chosen", "rejected")
    }
    assert set(texts) == expected


def test_the_completion_mask_is_what_is_in_the_loss(trainer: Any) -> None:
    """Tokens outside the mask have no part in the loss, those inside have."""
    batch = next(iter(trainer.get_train_dataloader()))
    inside = {name: value.clone() for name, value in batch.items()}
    first = int(inside["completion_mask"][0].nonzero()[0])
    inside["completion_mask"][0, first] = 0
    with torch.no_grad():
        whole, changed = (float(trainer.compute_loss(trainer.model, dict(some))) for some in (batch, inside))
    assert whole == pytest.approx(0.693147, abs=1e-5)
    assert abs(whole - changed) > 1e-3


def test_references_are_precomputed_by_us_in_the_order_of_the_rows(trainer: Any) -> None:
    precomputed = [trainer.train_dataset[name] for name in ("ref_chosen_logps", "ref_rejected_logps")]
    found = torch.tensor([list(column) for column in precomputed]).T
    assert torch.allclose(found.double(), torch.from_numpy(trainer.logps(reference=True)), atol=1e-4)
    assert len(trainer.train_dataset.cache_files) == 1, "TRL has cached none of its own"


def test_dropout_of_the_model_is_turned_off_on_loading(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=8, n_layer=1, n_head=1, n_positions=16)).save_pretrained(tmp_path)
    settings = DpoSettings(model=str(tmp_path))
    drops = [module.p for module in load_model(str(tmp_path), settings, Theirs()).modules() if _is_dropout(module)]
    assert drops
    assert set(drops) == {0.0}
    kept = load_model(str(tmp_path), settings, Theirs(training={"disable_dropout": False}))
    assert {module.p for module in kept.modules() if _is_dropout(module)} == {0.1}


def _is_dropout(module: Any) -> bool:
    return isinstance(module, torch.nn.Dropout)


def test_lora_dropout_acts_in_training(trainer: Any) -> None:
    """TRL's disable_dropout would turn it off with the model's own: it comes after PEFT has wrapped the model."""
    drops = {
        module.p for name, module in trainer.model.named_modules() if "lora_dropout" in name and hasattr(module, "p")
    }
    assert drops == {0.05}


def test_a_checkpoint_is_marked_once_everything_is_in_it(trainer: Any, tmp_path: Path) -> None:
    trainer.train()
    checkpoint = last_whole_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-1"
    files = orjson.loads((checkpoint / WHOLE).read_bytes())
    assert {"adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(
        files
    )


@pytest.mark.parametrize("damage", ["unmarked", "short", "missing", "unreadable mark"])
def test_a_half_written_checkpoint_is_passed_over_and_removed(damage: str, tmp_path: Path) -> None:
    for step in (9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"12345")
        (folder / WHOLE).write_bytes(orjson.dumps({"optimizer.pt": 5}))
    late = tmp_path / "checkpoint-10"
    if damage == "unmarked":
        (late / WHOLE).unlink()
    elif damage == "short":
        (late / "optimizer.pt").write_bytes(b"123")
    elif damage == "missing":
        (late / "optimizer.pt").unlink()
    else:
        (late / WHOLE).write_bytes(b'{"optim')
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert not late.exists()


def test_every_loss_that_we_name_is_one_of_trls_and_starts_where_we_say(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """One run over all of TRL's losses whose first value we state, in one weighted list."""
    weights = tuple(0.5 + 0.25 * at for at in range(len(FIRST_LOSS)))
    outcome = train_dpo(
        make_dataset(trajectory_pairs(4)),
        tmp_path / "adapter",
        model=str(tiny_model),
        batch_size=4,
        loss_type=tuple(FIRST_LOSS),
        loss_weights=weights,
        passed={"label_smoothing": ("0.1",)},
    )
    document = outcome.document()
    assert document["results"]["first_loss"] == pytest.approx(document["expected_first_loss"], rel=1e-5)


def test_trl_has_the_losses_that_we_offer() -> None:
    from prefdata_trainer.settings import LOSSES

    source = inspect.getsource(DPOTrainer._compute_loss)
    assert all(f'loss_type == "{name}"' in source for name in LOSSES)
    assert source.count("elif loss_type ==") + 1 == len(LOSSES)


def test_references_are_asked_for_in_the_constructor_once_the_heads_are_fused() -> None:
    """Where ours are computed, and where the fast forward is put before TRL's."""
    source = inspect.getsource(DPOTrainer.__init__)
    assert source.index("add_fused_lm_head(") < source.index("self._precompute_ref_logps(")
    assert list(inspect.signature(DPOTrainer._precompute_ref_logps).parameters) == [
        "self",
        "dataset",
        "name",
        "batch_size",
    ]
    assert source.index("self.aux_loss_enabled =") < source.index("self._precompute_ref_logps(")


def test_trl_asks_for_the_log_probability_of_labels(trainer: Any) -> None:
    """The calls that the fast forward answers: by keyword, with labels for the whole batch, on the model below PEFT."""
    calls: list[dict[str, Any]] = []
    base = trainer.model.get_base_model()
    inner = base.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        assert not args
        calls.append(kwargs)
        return inner(**kwargs)

    base.forward = forward
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.compute_loss(trainer.model, dict(batch))
    trainer.compute_ref_log_probs(trainer.model, batch)
    assert len(calls) == 2
    for call in calls:
        assert call["fused_lm_head"] is True
        assert call["labels"].shape == call["input_ids"].shape == batch["input_ids"].shape
        assert {name for name, value in call.items() if value is not None} <= {
            "input_ids", "attention_mask", "labels", "fused_lm_head", "use_cache", "return_dict",
        }  # fmt: skip


def test_trls_fused_head_scores_the_hidden_states_that_the_backbone_returns(trainer: Any) -> None:
    """A hook may choose among hidden states, and ``shift_labels`` are then their targets."""
    from prefdata_trainer.fast.forward import PER_TOKEN
    from trl.trainer.utils import FusedCausalLMOutput

    assert {"loss", "label_mask", "aux_loss", *PER_TOKEN} == set(FusedCausalLMOutput.__dataclass_fields__)
    model = trainer.model.get_base_model()
    ids = torch.tensor([[5, 6, 7, 8]])
    whole = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs
    assert whole.shape == (1, 3)

    def narrow(_module: Any, _arguments: Any, outputs: Any) -> Any:
        outputs.last_hidden_state = outputs.last_hidden_state[:, 1:2]
        return outputs

    hook = model.base_model.register_forward_hook(narrow)
    one = model(input_ids=ids, shift_labels=torch.tensor([[7]]), fused_lm_head=True).log_probs
    hook.remove()
    assert one.shape == (1, 1)
    assert torch.allclose(one[0], whole[0, 1:2], atol=1e-6)


def test_transformers_takes_a_mask_of_ours_as_it_is(trainer: Any) -> None:
    """A boolean mask (rows, 1, width, width) hides what it says, and positions are those that are given."""
    model = trainer.model.get_base_model()
    mask = torch.ones(3, 3, dtype=torch.bool).tril()
    mask[2, 1] = False
    with torch.no_grad():
        packed = model(
            input_ids=torch.tensor([[5, 6, 7]]),
            attention_mask=mask[None, None],
            position_ids=torch.tensor([[0, 1, 1]]),
        ).logits
        alone = model(input_ids=torch.tensor([[5, 7]])).logits
    assert torch.allclose(packed[0, 2], alone[0, 1], atol=1e-5)


def test_transformers_uses_our_sampler_and_tells_it_the_epoch(trainer: Any) -> None:
    from prefdata_trainer.fast import LengthGrouped

    trainer.speed.grouping = True
    loader = trainer.get_train_dataloader()
    assert isinstance(loader.batch_sampler.sampler, LengthGrouped)
    loader.set_epoch(3)
    assert loader.batch_sampler.sampler.epoch == 3
