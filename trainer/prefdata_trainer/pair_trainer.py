"""TRL's DPOTrainer, given tokens that were rendered before. The seams relied upon are tested in tests/trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer  # type: ignore[attr-defined]

from prefdata_trainer.confidence import losses
from prefdata_trainer.divergence import Probe
from prefdata_trainer.fast import Speed
from prefdata_trainer.measure import READING, as_reference, at_rest, over, summed_logps
from prefdata_trainer.method import Scores

MEASURED = 20
"""How often the divergence from the reference is measured in a run."""


class PairTrainer(DPOTrainer):
    """Trains on exactly the tokens that the collator marks.

    TRL tokenises by itself and puts everything after the prompt in the loss; it has no mask for assistant turns. So its
    tokenisation is left out here, and the batches come from ``prefdata_trainer.tokens.PairCollator``.
    ``smoothing`` is that of ``prefdata_trainer.confidence``, for batches that hold a confidence.
    """

    def __init__(
        self, *arguments: Any, speed: Speed | None = None, smoothing: str | None = None, **keywords: Any
    ) -> None:
        self.speed = speed or Speed(fast=False)
        self.smoothing = smoothing
        self.probe: Probe | None = None
        super().__init__(*arguments, **keywords)
        self.speed.install(self)

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        self.speed.install(self)  # called by TRL's constructor, once the models stand
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:  # weights are in pieces: TRL puts them together
            return super()._precompute_ref_logps(dataset, name, batch_size)
        return self.speed.with_references(self, dataset, batch_size)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.speed.sampler(self) or super()._get_train_sampler(train_dataset)

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_keywords: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def create_model_card(self, *_arguments: Any, **_keywords: Any) -> None:
        """Write none into checkpoints: the finished folder gets its own."""

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        theirs: Any = super().compute_ref_log_probs
        return theirs(model, {name: inputs[name] for name in inputs if name != "confidence"})

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        """TRL's loss; with a confidence, its sigmoid term becomes that of each pair's own confidence."""
        confidence = inputs.get("confidence")
        with self._heard() as heard:
            given = {name: inputs[name] for name in inputs if name != "confidence"}
            theirs: Any = super()._compute_loss
            found = theirs(model, given, return_outputs)
        if self.ld_alpha is not None:
            return found
        ratios = self._log_ratios(heard, given)
        self._told(ratios.detach())
        if confidence is None:
            return found
        weight = self.loss_weights[self.loss_types.index("sigmoid")]
        margins = self.beta * (ratios[0] - ratios[1])
        moved = weight * (losses(margins, confidence, self.smoothing) + logsigmoid(margins)).mean()
        return (found[0] + moved, found[1]) if return_outputs else found + moved

    @contextmanager
    def _heard(self) -> Iterator[list[torch.Tensor]]:
        """Log-probabilities of the tokens as TRL gets them, of the policy and then of the reference."""
        heard: list[torch.Tensor] = []
        models: list[Any] = [self.model] if self.ref_model is None else [self.model, self.ref_model]
        hooks = [
            model.register_forward_hook(lambda _model, _arguments, outputs: heard.append(outputs.log_probs))
            for model in models
        ]
        try:
            yield heard
        finally:
            for hook in hooks:
                hook.remove()

    def _log_ratios(self, heard: list[torch.Tensor], inputs: Any) -> torch.Tensor:
        """log pi - log pi_ref of both sides, (2, pairs)."""
        policy = heard[0].sum(dim=1)
        if self.precompute_ref_logps:
            reference = torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])
        else:
            reference = heard[1].sum(dim=1)
        return (policy - reference.to(policy)).view(2, -1)

    def _told(self, ratios: torch.Tensor) -> None:
        """Log the log-ratios, and accuracies in which ties count half (by TRL's, a run starts at 0)."""
        policy: Any = self.model
        metrics = self._metrics["train" if policy.training else "eval"]
        chosen, rejected = self.accelerator.gather(ratios.T.contiguous()).T
        right = (chosen > rejected).double() + 0.5 * (chosen == rejected).double()
        metrics["rewards/accuracies"][-1] = right.mean().item()
        metrics["logratios/chosen"].append(chosen.mean().item())
        metrics["logratios/rejected"].append(rejected.mean().item())

    def watch(self, rows: Any) -> None:
        """Measure the divergence from the reference on some of ``rows``, unless some are watched already."""
        args: Any = self.args
        collator: Any = self.data_collator
        if self.probe is None and not args.sync_ref_model:
            with at_rest(self.model), as_reference(self):
                self.probe = Probe(self._of(reference=True), rows, collator, self.accelerator.device)

    def divergence(self) -> float | None:
        """KL to the reference as the model is now; None where the reference itself moves."""
        if self.probe is None:
            return None
        with at_rest(self.model):
            return self.probe.divergence(self._of(reference=False))

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        if self.probe is not None and "loss" in logs and self._due():
            logs["kl/reference"] = self.divergence()
        super().log(logs, start_time)

    def _due(self) -> bool:
        last = next((entry["step"] for entry in reversed(self.state.log_history) if "kl/reference" in entry), -1)
        step, steps = self.state.global_step, max(1, self.state.max_steps)
        return last < 0 or step >= steps or step * MEASURED // steps > last * MEASURED // steps

    def logps(self, rows: Any = None, *, reference: bool) -> Scores:
        """Summed log-probabilities of the tokens in the loss, (pairs, 2) for chosen and rejected, in dataset order.

        ``rows`` are those to train on unless others are given.
        """
        model, rows = self._of(reference=reference), self.train_dataset if rows is None else rows
        with as_reference(self) if reference else nullcontext():
            size = READING * self.args.per_device_train_batch_size
            return over(self, rows, self.data_collator, lambda batch: summed_logps(model, batch), size)

    def over(self, rows: Any, batch_size: int, compute: Callable[[Any], Any]) -> Scores:
        """``compute``'s two values for each pair, (pairs, 2), in the order of ``rows``."""
        return over(self, rows, self.data_collator, compute, batch_size)

    def _of(self, *, reference: bool) -> Any:
        return self.ref_model if reference and self.ref_model is not None else self.model
