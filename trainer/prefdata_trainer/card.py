"""The model card: what the adapter was trained on, how, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from prefdata_trainer.outcome import Outcome


def card(outcome: Outcome, manifest: Mapping[str, Any]) -> str:
    """README.md of an adapter folder: Markdown, with the front matter that the hub reads."""
    plan, told, report, found = outcome.plan, outcome.plan.settings, outcome.plan.report, outcome.results()
    counts = manifest["counts"]
    inputs = "".join(
        f"- Input: `{item['path']}`, sha256 `{item['sha256']}`, {item['lines']:,} lines\n"
        for item in manifest["inputs"]
    )
    left_out = "".join(f"  - {line}\n" for line in report.summary())
    loader = "AutoModelForCausalLM" if told.full else "AutoPeftModelForCausalLM"
    package = "transformers" if told.full else "peft"
    name = outcome.output.name
    return f"""\
---
{_front(outcome)}
---

# {name}

{"Full fine-tuning" if told.full else "A LoRA adapter"} of `{told.model}`, trained with Direct Preference Optimization
([Rafailov et al. 2023](https://arxiv.org/abs/2305.18290)) by prefdata over TRL.

## Data

- Dataset: `{plan.dataset}`, {plan.form} form, manifest sha256 `{plan.dataset_sha256}`
{inputs}\
- Validation: {counts["lines"]:,} lines = {counts["kept"]:,} kept + {counts["quarantined"]:,} quarantined + \
{counts["dropped"]:,} dropped + {counts["blank"]:,} blank
- Trained on {report.kept:,} pairs of {report.seen:,}
{left_out}\
- Tokens: {report.trained_tokens:,} in the loss, {report.completion_tokens - report.trained_tokens:,} masked after the \
prompt, {report.prompt_tokens:,} of prompt

## Results

| | before | after |
| --- | ---: | ---: |
| loss (first step, last step) | {found["first_loss"]:.4f} | {found["last_loss"]:.4f} |
| mean reward margin | {found["margin_before"]:.4f} | {found["margin_after"]:.4f} |
| pairs ranked as in the data (ties half) | {found["accuracy_before"]:.1%} | {found["accuracy_after"]:.1%} |
| mean reward of chosen | | {found["chosen_reward_after"]:.4f} |
| mean reward of rejected | | {found["rejected_reward_after"]:.4f} |

![Loss, rewards, log-probabilities and margins](curves.png)

Every logged step is in `metrics.jsonl`, the margin of every pair by its id in `per_pair.parquet`.

## Settings

Loss `{" + ".join(told.loss_type)}`, beta {told.beta:g}, learning rate {told.rate:g}, {told.epochs:g} epoch(s), \
{told.batch_size} x {told.gradient_accumulation} x {plan.processes} pairs a step, {plan.steps:,} steps, \
seed {told.seed};
reference: {told.model_ref or "the model before training"}; loss on {told.loss_on} tokens;
{outcome.trained_parameters:,} of {outcome.all_parameters:,} parameters trained.
The exact configuration is in `prefdata_config.yaml`.

## Use

```python
from {package} import {loader}
from transformers import AutoTokenizer

model = {loader}.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```

## Limits

- The figures above are measured on the pairs that were trained on. A margin that grows says that the model now ranks
  these pairs as the data does, not that it answers better: sample from it and judge what it says.
- Rewards are relative to the reference. The log-probability of chosen answers can fall while margins rise: see the
  curves.
- Whatever is wrong or one-sided in the preferences is learned, too.

## Versions

{", ".join(f"{package} {version}" for package, version in outcome.versions.items())}
"""


def _front(outcome: Outcome) -> str:
    settings = outcome.plan.settings
    front: dict[str, Any] = {
        "library_name": "transformers" if settings.full else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["dpo", "trl", "prefdata", *([] if settings.full else ["lora"])],
    }
    if not Path(settings.model).expanduser().exists():
        front["base_model"] = settings.model
    return yaml.safe_dump(front, sort_keys=True, allow_unicode=True).strip()
