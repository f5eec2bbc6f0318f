"""Rows of a dataset to rendered pairs: the one way from a pair to tokens, for checks and for training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from prefdata.errors import RenderingError
from prefdata.rendering.chat import render_chat
from prefdata.rendering.limits import Limits
from prefdata.rendering.report import RenderReport
from prefdata.rendering.text import render_text
from prefdata.rendering.tokens import Record, RenderedPair, Tokenizer, special_marks

LossOn = Literal["assistant", "completion"]


class Renderer:
    """Renders pairs for one tokenizer.

    ``loss_on="assistant"`` puts the text and end-of-turn of assistant turns after the shared prompt in the loss,
    ``"completion"`` everything after the shared prompt. ``template_variables`` are handed to the chat template.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        loss_on: LossOn = "assistant",
        limits: Limits | None = None,
        template_variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.loss_on: LossOn = loss_on
        self.limits = limits or Limits()
        self.template_variables = dict(template_variables or {})
        self.special = frozenset(special_marks(tokenizer))

    def pair(self, row: Record) -> RenderedPair:
        """One pair (record of schema ``preference_pair``, canonical form) as tokens, before any limit.

        Raises RenderingError naming what the template or the tokenizer did.
        """
        if isinstance(row["prompt"], str):
            return render_text(self.tokenizer, row["id"], row["prompt"], row["chosen"], row["rejected"])
        return render_chat(
            self.tokenizer, row, loss_on=self.loss_on, special=self.special, variables=self.template_variables
        )

    def pairs(self, rows: Iterable[Record], report: RenderReport) -> Iterator[RenderedPair]:
        """Every pair that can be trained on, within the limits; ``report`` counts what became of each."""
        for row in rows:
            try:
                rendered = self.pair(row)
            except RenderingError as error:
                report.drop(row["id"], "unrenderable")
                if len(report.errors) < 3:
                    report.errors.append((row["id"], error.message, error.hint))
                continue
            fitted, reason = self.limits.apply(rendered, self.tokenizer.bos_token_id)
            if fitted is None:
                assert reason is not None
                report.drop(row["id"], reason)
            else:
                report.keep(fitted, reason)
                yield fitted
