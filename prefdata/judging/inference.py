"""Transformers' models as engines: log-probabilities of labels, generated text, and scores of a reward model.

The one file of prefdata that imports torch and transformers (pyproject.toml says so to import-linter); it is imported
when the first call is to be answered.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

import torch
import transformers

from prefdata.endpoint.failures import CallError
from prefdata.errors import InputError, UsageError
from prefdata.records.ids import canonical

BUCKETS = sorted({size * 2**power for size in (64, 96) for power in range(15)})
"""Lengths in tokens to which sequences are filled up, so that those of like length share a batch."""
DIGITS = 6
"""Of log-probabilities and scores: the last digits of a float depend on the processor."""
ANSWER_TOKENS = 512
"""The most tokens of a generated answer where the template sets no limit."""

Prepared = tuple[list[int], Mapping[str, Any]]


class _Loaded:
    """A tokenizer and a model, on the GPU where there is one."""

    def __init__(self, auto: Any, what: str, path: str, batch: int) -> None:
        self.batch = batch
        quiet: Any = transformers.logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
            self.model: Any
            self.model, known = auto.from_pretrained(path, dtype="auto", output_loading_info=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(f"{path} cannot be loaded: {why}", "name a folder that transformers can load") from None
        if missing := sorted(known["missing_keys"]):  # transformers makes up what is not there
            raise InputError(f"{path} lacks the weights {', '.join(missing[:3])}", f"it is no {what}: name one that is")
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model.to(self.device).eval()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.convert_ids_to_tokens(0)
        config = self.model.config.get_text_config()
        self.most = int(min(getattr(config, "max_position_embeddings", None) or 1e9, self.tokenizer.model_max_length))

    def checked(self, ids: list[int], more: int = 0) -> list[int]:
        """``ids``; raises CallError where the model cannot read so many and write ``more``."""
        if not ids:
            raise CallError("bad-request", "the prompt has no token")
        if len(ids) + more > self.most:
            raise CallError("bad-request", f"{len(ids)} tokens and {more} of answer: the model takes {self.most}")
        return ids

    def bucket(self, length: int) -> int:
        """The length up to which a sequence of ``length`` tokens is filled."""
        return int(min(next(size for size in BUCKETS if size >= length), max(self.most, length)))

    def padded(self, rows: Sequence[list[int]], length: int, side: str) -> dict[str, torch.Tensor]:
        """``batch`` rows of ``length`` tokens; the first row stands for those that are missing."""
        full = [*rows, *[rows[0]] * (self.batch - len(rows))]
        ids = torch.full((len(full), length), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(full):
            where = slice(length - len(row), None) if side == "left" else slice(len(row))
            ids[place, where] = torch.tensor(row)
            mask[place, where] = 1
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}


class CausalEngine:
    """A causal language model: the log-probabilities of labels at the first token, or a generated answer."""

    def __init__(self, path: str, batch: int) -> None:
        self._loaded = _Loaded(transformers.AutoModelForCausalLM, "language model", path, batch)
        self.batch = batch
        self._spelt: dict[str, list[int]] | None = None

    def prepared(self, body: Mapping[str, Any]) -> tuple[tuple[str, int, int], Prepared]:
        """Token ids of the prompt; calls of one kind and about one length share a batch."""
        loaded = self._loaded
        # One token is read off the prompt itself: nothing is written.
        more = 0 if "labels" in body else int(body.get("max_tokens") or ANSWER_TOKENS)
        more = max(min(more, loaded.most // 2), 0)
        ids = loaded.checked(
            loaded.tokenizer(self._text(body["messages"]), add_special_tokens=False)["input_ids"], more
        )
        return ("labels" if "labels" in body else "text", loaded.bucket(len(ids)), more), (ids, body)

    def answers(self, group: tuple[str, int, int], calls: Sequence[Prepared]) -> list[dict[str, Any]]:
        """Chat completions in OpenAI's shape."""
        kind, length, more = group
        # From the left: the last token of every row then stands at the end, where the answer begins.
        inputs = self._loaded.padded([ids for ids, _ in calls], length, "left")
        with torch.inference_mode():
            return self._labelled(inputs, calls) if kind == "labels" else self._written(inputs, calls, more)

    def _text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt by the model's chat template; plain text where it has none."""
        tokenizer = self._loaded.tokenizer
        if not tokenizer.chat_template:
            text = "\n\n".join(str(message["content"]) for message in messages) + "\n\nAnswer:"
            return (tokenizer.bos_token or "") + text
        known = [dict(message) for message in messages]
        joined = [{"role": "user", "content": "\n\n".join(str(message["content"]) for message in messages)}]
        for each in (known, joined):  # some templates know no system turn
            with suppress(Exception):  # whatever a template raises
                # A template that knows thinking is told to answer at once.
                return str(
                    tokenizer.apply_chat_template(
                        each, tokenize=False, add_generation_prompt=True, enable_thinking=False
                    )
                )
        raise UsageError("the model's chat template cannot render a user's turn", "choose a chat model")

    def _labelled(self, inputs: Mapping[str, torch.Tensor], calls: Sequence[Prepared]) -> list[dict[str, Any]]:
        """P(label) over all tokens that are the label, or begin it and no other, spaces around them aside."""
        known = signature(self._loaded.model.forward).parameters
        # Not every architecture counts positions, or can be told that the last logits are enough.
        options = {"position_ids": (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0), "logits_to_keep": 1}
        taken = {name: value for name, value in options.items() if name in known}
        made = self._loaded.model(**inputs, **taken, use_cache=False)
        logprobs = torch.log_softmax(made.logits[: len(calls), -1].float(), dim=-1).cpu()
        answers = []
        for (ids, body), row in zip(calls, logprobs, strict=True):
            top: list[tuple[float, str]] = []
            for label in body["labels"]:
                for spelling in self._spellings(label, body["labels"]):
                    logprob = float(torch.logsumexp(row[self._tokens()[spelling]], dim=0))
                    if math.isfinite(logprob):
                        top.append((-round(logprob, DIGITS), spelling))
            entries = [{"token": spelling, "logprob": -cost} for cost, spelling in sorted(top)]
            logged = [{**entries[0], "top_logprobs": entries}] if entries else []
            text = str(entries[0]["token"]) if entries else ""
            answers.append(_completion(text, "length", len(ids), 1, logged))
        return answers

    def _written(
        self, inputs: Mapping[str, torch.Tensor], calls: Sequence[Prepared], more: int
    ) -> list[dict[str, Any]]:
        loaded, length = self._loaded, inputs["input_ids"].shape[1]
        bodies = [body for _, body in calls]
        noise = _Noise([*bodies, *[bodies[0]] * (loaded.batch - len(bodies))])
        made = loaded.model.generate(
            **inputs,
            max_new_tokens=more,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=loaded.tokenizer.pad_token_id,
            logits_processor=transformers.LogitsProcessorList([noise]),
        )
        ends = loaded.model.generation_config.eos_token_id
        stops = {loaded.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        answers = []
        for (ids, _), row in zip(calls, made[: len(calls), length:].tolist(), strict=True):
            stop = next((place for place, token in enumerate(row) if token in stops), None)
            text = loaded.tokenizer.decode(row[:stop], skip_special_tokens=True)
            used = len(row) if stop is None else stop + 1
            answers.append(_completion(text, "length" if stop is None else "stop", len(ids), used, []))
        return answers

    def _tokens(self) -> dict[str, list[int]]:
        """Every token by what it spells, spaces around it aside."""
        if self._spelt is None:
            self._spelt = {}
            size = self._loaded.model.get_output_embeddings().weight.shape[0]
            known = min(size, len(self._loaded.tokenizer))
            special = set(self._loaded.tokenizer.all_special_ids)
            spelt = self._loaded.tokenizer.batch_decode([[id] for id in range(known)])
            for id, text in enumerate(spelt):
                if id not in special and text.strip():
                    self._spelt.setdefault(text.strip(), []).append(id)
        return self._spelt

    def _spellings(self, label: str, labels: Sequence[str]) -> list[str]:
        """The whole label, and those of its beginnings that are the beginning of no other."""
        tokens = self._tokens()
        parts = [label[:end] for end in range(1, len(label) + 1)]
        alone = [part for part in parts if sum(other.startswith(part) for other in labels) == 1 or part == label]
        return [part for part in alone if part in tokens]


class RewardEngine:
    """A sequence classifier with one output, as TRL's RewardTrainer makes it: the score of a conversation."""

    def __init__(self, path: str, batch: int) -> None:
        self._loaded = _Loaded(transformers.AutoModelForSequenceClassification, "reward model", path, batch)
        self.batch = batch
        model = self._loaded.model
        if model.config.num_labels != 1:
            raise UsageError(
                f"{path} has {model.config.num_labels} outputs; a reward model has one",
                "name a reward model, as prefdata's or TRL's reward trainer makes it",
            )
        if model.config.get_text_config().pad_token_id is None:
            model.config.get_text_config().pad_token_id = self._loaded.tokenizer.pad_token_id

    def prepared(self, body: Mapping[str, Any]) -> tuple[int, list[int]]:
        """Token ids of prompt and completion; conversations of about one length share a batch."""
        loaded = self._loaded
        ids = loaded.checked(self._ids(body))
        return loaded.bucket(len(ids)), ids

    def answers(self, group: int, calls: Sequence[list[int]]) -> list[dict[str, Any]]:
        """``{"score": …}`` for each."""
        inputs = self._loaded.padded(calls, group, "right")
        with torch.inference_mode():
            scores = self._loaded.model(**inputs).logits[: len(calls), 0].float().tolist()
        return [
            {"score": round(score, DIGITS), "usage": {"prompt_tokens": len(ids), "completion_tokens": 0}}
            for score, ids in zip(scores, calls, strict=True)
        ]

    def _ids(self, body: Mapping[str, Any]) -> list[int]:
        tokenizer = self._loaded.tokenizer
        if not tokenizer.chat_template:
            made: list[int] = tokenizer(body["texts"][0], body["texts"][1])["input_ids"]
            return made
        try:
            text = tokenizer.apply_chat_template(body["messages"], tools=body.get("tools"), tokenize=False)
        except Exception as error:  # noqa: BLE001 - whatever a template raises
            raise CallError("bad-request", f"the chat template refuses it: {str(error).splitlines()[0]}") from None
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


class _Noise:
    """Gumbel noise on logits: the greatest is then a draw from the softmax (Gumbel 1954), by each row's own seed."""

    def __init__(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        self._temperatures = [float(body.get("temperature") or 0.0) for body in bodies]
        self._generators = [torch.Generator().manual_seed(_seed(body)) for body in bodies]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = []
        for row, temperature, generator in zip(scores, self._temperatures, self._generators, strict=True):
            if temperature:
                uniform = torch.rand(row.shape, generator=generator).clamp(min=1e-20)
                row = row.float() / temperature - torch.log(-torch.log(uniform)).to(row.device)
            rows.append(row.float())
        return torch.stack(rows)


def _seed(body: Mapping[str, Any]) -> int:
    return int.from_bytes(hashlib.sha256(canonical(body)).digest()[:8]) >> 1


def _completion(
    text: str, finish: str, asked: int, answered: int, logprobs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    if logprobs:
        choice["logprobs"] = {"content": list(logprobs)}
    return {"choices": [choice], "usage": {"prompt_tokens": asked, "completion_tokens": answered}}
