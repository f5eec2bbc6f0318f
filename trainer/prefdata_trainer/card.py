"""The model card: what the adapter was trained on, how, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from prefdata_trainer.outcome import Outcome
from prefdata_trainer.slices import by_length, by_source

MOST_SOURCES = 12


def card(outcome: Outcome, manifest: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> str:
    """README.md of an adapter folder: Markdown, with the front matter that the hub reads.

    ``rules`` are those that found something in validation, by code, as report.json of the dataset has them.
    """
    plan, told, report, method = outcome.plan, outcome.plan.settings, outcome.plan.report, outcome.method
    counts = manifest["counts"]
    inputs = "".join(
        f"- Input: `{item['path']}`, sha256 `{item['sha256']}`, {item['lines']:,} lines\n"
        for item in manifest["inputs"]
    )
    left_out = "".join(f"  - {line}\n" for line in report.summary())
    package, loader = _loader(outcome)
    reward = method.task_type == "SEQ_CLS"
    name, extra = outcome.output.name, ", num_labels=1" if reward else ""
    # A reward is read at the last token that is no padding.
    padding = "model.config.pad_token_id = tokenizer.pad_token_id\n" if reward else ""
    merged = f"\nMerged into the base model it stands in `{name}/merged`.\n" if told.merge else ""
    return f"""\
---
{_front(outcome)}
---

# {name}

{"Full fine-tuning" if told.full else "A LoRA adapter"} of `{told.model}`, trained with {method.title}
({method.paper}) by prefdata over TRL.

## Data

- Dataset: `{plan.dataset}`, {plan.form} form, manifest sha256 `{plan.dataset_sha256}`
{inputs}\
- Validation: {counts["lines"]:,} lines = {counts["kept"]:,} kept + {counts["quarantined"]:,} quarantined + \
{counts["dropped"]:,} dropped + {counts["blank"]:,} blank
{_findings(rules)}\
- Trained on {report.kept:,} pairs of {report.seen:,}{_held_out(outcome)}
{left_out}\
- Tokens: {report.trained_tokens:,} in the loss, {report.completion_tokens - report.trained_tokens:,} masked after the \
prompt, {report.prompt_tokens:,} of prompt
{_statistics(manifest["statistics"])}
## Results

{_results(outcome)}
![Loss, rewards, log-probabilities and margins](curves.png)

Every logged step is in `metrics.jsonl`, the margin of every pair by its id in `per_pair.parquet`;
`prefdata explain {name} ID` follows a pair back to its file, line and judgments.
{_warnings(outcome)}
{_slices(outcome)}
## Settings

{_settings(outcome)}
The exact configuration is in `prefdata_config.yaml`.

## Use

```python
from {package} import {loader}
from transformers import AutoTokenizer

model = {loader}.from_pretrained("{name}"{extra})
tokenizer = AutoTokenizer.from_pretrained("{name}")
{padding}```
{merged}
## Limits

- {_measured_on(outcome)} A margin that grows says that the model now ranks these pairs as the data does, not that it
  answers better: sample from it and judge what it says.
- {_relative(outcome)}
- Whatever is wrong or one-sided in the preferences is learned, too: see the slices above for length.

## Versions

{", ".join(f"{package} {version}" for package, version in outcome.versions.items())}
"""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _results(outcome: Outcome) -> str:
    found, score = outcome.results(), outcome.method.score
    rows: list[tuple[str, ...]] = [
        ("loss (first step, last step)", f"{found['first_loss']:.4f}", f"{found['last_loss']:.4f}"),
        (f"mean {score} margin", f"{found['margin_before']:.4f}", f"{found['margin_after']:.4f}"),
        (
            "pairs ranked as in the data (ties half)",
            f"{found['accuracy_before']:.1%}",
            f"{found['accuracy_after']:.1%}",
        ),
        (f"mean {score} of chosen", "", f"{found['chosen_reward_after']:.4f}"),
        (f"mean {score} of rejected", "", f"{found['rejected_reward_after']:.4f}"),
    ]
    if "eval_loss" in found:
        rows += [
            ("**held out**: loss", "", f"{found['eval_loss']:.4f}"),
            (
                f"**held out**: mean {score} margin",
                f"{found['eval_margin_before']:.4f}",
                f"{found['eval_margin_after']:.4f}",
            ),
            (
                "**held out**: pairs ranked as in the data",
                f"{found['eval_accuracy_before']:.1%}",
                f"{found['eval_accuracy_after']:.1%}",
            ),
        ]
    if "kl_to_reference" in found:
        rows.append(("KL to the reference, nats a token", "", f"{found['kl_to_reference']:.4f}"))
    return table(("", "before", "after"), rows)


def _slices(outcome: Outcome) -> str:
    held_out = "eval" in outcome.pairs["split"]
    split = "eval" if held_out else "train"
    about = "the held-out pairs" if held_out else "the pairs trained on: the dataset has no split eval"
    head = ("pairs", "margin after", "ranked as in the data before", "after")

    def cells(rows: list[Any]) -> list[tuple[str, ...]]:
        return [
            (row.name, f"{row.pairs:,}", f"{row.margin_after:.4f}", f"{row.before:.1%}", f"{row.after:.1%}")
            for row in rows
        ]

    sources = by_source(outcome.pairs, split)
    left_out = f"\n{len(sources) - MOST_SOURCES} smaller sources are left out.\n" if len(sources) > MOST_SOURCES else ""
    return (
        f"### By length and source\n\nOver {about}.\n\n"
        f"{table(('by length', *head), cells(by_length(outcome.pairs, split)))}\n"
        f"{table(('by source', *head), cells(sources[:MOST_SOURCES]))}{left_out}"
    )


def _settings(outcome: Outcome) -> str:
    told, plan = outcome.plan.settings, outcome.plan
    losses = getattr(told, "loss_type", (outcome.method.name,))
    parts = [f"Loss `{' + '.join(losses)}`"]
    if hasattr(told, "beta"):
        parts.append(f"beta {told.beta:g}")
    parts += [
        f"learning rate {told.rate:g}",
        f"{told.epochs:g} epoch(s)",
        f"{told.batch_size} x {told.gradient_accumulation} x {plan.processes} pairs a step",
        f"{outcome.losses[-1][0]:,} of {plan.steps:,} steps",
        f"seed {told.seed}",
    ]
    if hasattr(told, "model_ref"):
        parts.append(f"reference: {told.model_ref or 'the model before training'}")
    for name in ("weight_by", "smoothing", "disagreement", "margin_offset", "use_margin"):
        if getattr(told, name, None):
            parts.append(f"{name.replace('_', ' ')} {getattr(told, name)}")
    parts.append(f"loss on {told.loss_on} tokens")
    if outcome.best_step is not None:
        parts.append(f"the checkpoint of step {outcome.best_step:,}, the best on the split eval")
    parts.append(f"{outcome.trained_parameters:,} of {outcome.all_parameters:,} parameters trained")
    if speed := outcome.speed:
        parts.append(f"batches {'of similar length' if speed['group_by_length'] else 'at random'}")
        shared = speed["prefix_sharing"] != "off"
        parts.append(f"common beginnings of a pair {'read once' if shared else 'read for each side'}")
    return "; ".join(parts) + "."


def _findings(rules: Mapping[str, Mapping[str, Any]]) -> str:
    if not rules:
        return "  - no rule found anything\n"
    return "".join(
        f"  - {code} {found['name']} ({found['severity']}): {found['rows']:,} rows, {found['action']}\n"
        for code, found in sorted(rules.items())
    )


def _statistics(statistics: Mapping[str, Any]) -> str:
    if "chosen_is_longer" not in statistics:
        return ""
    return f"- The chosen side is the longer one in {statistics['chosen_is_longer']:.0%} of the pairs\n"


def _held_out(outcome: Outcome) -> str:
    return f"; {outcome.plan.evaluated:,} held out in the split eval" if outcome.plan.evaluated else ""


def _measured_on(outcome: Outcome) -> str:
    if outcome.plan.evaluated:
        return "Held-out pairs come from the same sources as those trained on."
    return "The figures above are measured on the pairs that were trained on."


def _relative(outcome: Outcome) -> str:
    if outcome.method.name == "reward":
        return "A reward has no zero and no unit: only differences within one prompt mean anything."
    if outcome.method.name == "orpo":
        return "Scores are mean log-probabilities of a token, without a reference: they rise with fluency, too."
    return (
        "Rewards are relative to the reference. The log-probability of chosen answers can fall while margins rise: see "
        "the curves."
    )


def _warnings(outcome: Outcome) -> str:
    return "".join(f"\n**Warning:** {message}.\n" for message in outcome.warnings)


def _loader(outcome: Outcome) -> tuple[str, str]:
    kind = "SequenceClassification" if outcome.method.task_type == "SEQ_CLS" else "CausalLM"
    return (
        ("transformers", f"AutoModelFor{kind}") if outcome.plan.settings.full else ("peft", f"AutoPeftModelFor{kind}")
    )


def _front(outcome: Outcome) -> str:
    settings, reward = outcome.plan.settings, outcome.method.task_type == "SEQ_CLS"
    front: dict[str, Any] = {
        "library_name": "transformers" if settings.full else "peft",
        "pipeline_tag": "text-classification" if reward else "text-generation",
        "tags": [outcome.method.name, "trl", "prefdata", *([] if settings.full else ["lora"])],
    }
    if not Path(settings.model).expanduser().exists():
        front["base_model"] = settings.model
    return yaml.safe_dump(front, sort_keys=True, allow_unicode=True).strip()
