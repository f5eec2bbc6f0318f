"""Sampling in batches: jobs from many clients are gathered, generated together, and answered one by one.

A choice draws from a random stream of its own, made from its job's seed and its number, so that what it says does not
depend on what it was batched with, up to the rounding of matrix products of different shapes.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

MAX_ROWS = 256
QUIET_SECONDS = 0.01
"""A batch starts once no job has come for this long: clients that were answered together ask again together."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. ``top_logprobs`` is how many alternatives to report a token, ``None`` for no log-probabilities."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A sampled token, its natural log-probability at temperature 1, and the likeliest alternatives, best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Row:
    """One choice while it is being generated, and once it is done."""

    prompt: tuple[int, ...]
    sampling: Sampling
    random: np.random.Generator
    tokens: list[int] = field(default_factory=list)
    """What was sampled, the end-of-sequence token included."""
    scored: list[Scored] = field(default_factory=list)
    """One for each token of ``text``; empty where no log-probabilities were asked for."""
    text: str = ""
    finish_reason: Literal["stop", "length"] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The rows of one request, and where its client waits for them."""

    rows: list[Row]
    answer: Future[list[Row]] = field(default_factory=Future)


class Engine:
    """One model and the thread that samples from it. ``lock`` is shared by engines that share the processor."""

    def __init__(self, model: Any, tokenizer: Any, lock: threading.Lock) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.context = int(model.config.max_position_embeddings)
        self._ends = _end_tokens(model, tokenizer)
        self._lock = lock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, prompts: list[list[int]], n: int, sampling: Sampling) -> Future[list[Row]]:
        """Ask for ``n`` choices for each prompt; the rows come in the order of the prompts."""
        rows = []
        for number in range(len(prompts) * n):
            key = None if sampling.seed is None else [sampling.seed % 2**64, number]
            rows.append(Row(tuple(prompts[number // n]), sampling, np.random.default_rng(key)))
        job = Job(rows)
        self._jobs.put(job)
        return job.answer

    def close(self) -> None:
        """Answer what is waiting, and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._gather():
            waiting = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            rows = [row for job in waiting for row in job.rows]
            try:
                with self._lock:
                    for start in range(0, len(rows), MAX_ROWS):
                        self._generate(rows[start : start + MAX_ROWS])
            except Exception as error:  # noqa: BLE001 (the clients are told, and the next batch may fare better)
                for job in waiting:
                    job.answer.set_exception(error)
            else:
                for job in waiting:
                    job.answer.set_result(job.rows)

    def _gather(self) -> list[Job]:
        """The next batch of jobs; none once the engine is closed."""
        job = self._jobs.get()
        jobs: list[Job] = []
        while job is not None:
            jobs.append(job)
            if sum(len(job.rows) for job in jobs) >= MAX_ROWS:
                return jobs
            try:
                job = self._jobs.get(timeout=QUIET_SECONDS)
            except queue.Empty:
                return jobs
        if jobs:
            self._jobs.put(None)
        return jobs

    @torch.inference_mode()
    def _generate(self, rows: list[Row]) -> None:
        """Sample every row to its end. Prompts that several rows share are read once."""
        numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(row.prompt for row in rows))}
        length = max(map(len, numbers))
        ids = torch.tensor([[0] * (length - len(prompt)) + list(prompt) for prompt in numbers])
        mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in numbers])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        out = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        of_row = torch.tensor([numbers[row.prompt] for row in rows])
        cache.batch_select_indices(of_row)
        logits, mask, positions = out.logits[of_row, -1], mask[of_row], positions[of_row, -1:]
        while True:
            tokens = self._sample(logits, rows)
            going = [number for number, row in enumerate(rows) if row.finish_reason is None]
            if not going:
                return
            if len(going) < len(rows):
                kept = torch.tensor(going)
                cache.batch_select_indices(kept)
                rows, tokens, mask, positions = [rows[i] for i in going], tokens[kept], mask[kept], positions[kept]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            positions = positions + 1
            logits = self.model(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]

    def _sample(self, logits: torch.Tensor, rows: list[Row]) -> torch.Tensor:
        """Draw one token for each row from ``logits`` [rows, vocabulary], note it, and return the tokens [rows]."""
        logits = logits.double()
        heat = torch.tensor([row.sampling.temperature for row in rows], dtype=torch.float64)[:, None]
        nucleus = torch.tensor([row.sampling.top_p for row in rows], dtype=torch.float64)[:, None]
        uniform = torch.tensor([row.random.random() for row in rows], dtype=torch.float64)[:, None]
        odds = torch.softmax(logits / heat.clamp(min=1e-6), dim=-1)
        if bool((nucleus < 1).any()):
            ranked, order = odds.sort(dim=-1, descending=True)
            outside = ranked.cumsum(-1) - ranked >= nucleus
            odds = odds.masked_fill(outside.scatter(1, order, outside), 0.0)
        # The inverse of the cumulative distribution takes one random number a token, whatever the vocabulary. Scaling
        # by the very sum that was accumulated keeps rounding from pointing past the last token.
        cumulative = odds.cumsum(-1)
        drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        tokens = torch.where(heat > 0, drawn.clamp(max=logits.shape[1] - 1), logits.argmax(-1, keepdim=True))[:, 0]
        wanted = max((row.sampling.top_logprobs or 0 for row in rows), default=0)
        scores = None
        if any(row.sampling.top_logprobs is not None for row in rows):
            scores = torch.log_softmax(logits, dim=-1)
        for number, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            row.tokens.append(token)
            if scores is not None and row.sampling.top_logprobs is not None:
                best = scores[number].topk(min(wanted, row.sampling.top_logprobs))
                top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
                row.scored.append(Scored(token, float(scores[number, token]), top))
            self._finish(row, token)
        return tokens

    def _finish(self, row: Row, token: int) -> None:
        """Note in ``row`` whether, why and with which text it ends after ``token``."""
        if token in self._ends:
            row.finish_reason = "stop"
            row.text = self.decode(row.tokens[:-1])
            row.scored = row.scored[: len(row.tokens) - 1]
            return
        full = len(row.tokens) >= row.sampling.max_tokens
        if not (row.sampling.stop or full):
            return
        text = self.decode(row.tokens)
        cuts = [at for at in (text.find(stop) for stop in row.sampling.stop) if at >= 0]
        if cuts:
            row.finish_reason, row.text = "stop", text[: min(cuts)]
            kept = len(row.tokens)
            while kept and len(self.decode(row.tokens[:kept])) > len(row.text):
                kept -= 1
            row.scored = row.scored[:kept]
        elif full:
            row.finish_reason, row.text = "length", text

    def decode(self, tokens: list[int], *, special: bool = False) -> str:
        """The text of ``tokens``, with or without the special ones."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=not special, clean_up_tokenization_spaces=False)
        return str(text)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply: those of the generation configuration and the tokenizer's own."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in [*ends, tokenizer.eos_token_id] if end is not None)
