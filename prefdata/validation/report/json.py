"""The report as one JSON document: exact totals, and the first findings of each rule."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from prefdata.validation.result import ValidationResult
from prefdata.version import __version__


def document(result: ValidationResult) -> dict[str, Any]:
    """The report; it does not say where the dataset was written, so that it is the same everywhere."""
    return {
        "prefdata": __version__,
        "ok": result.ok,
        "why": result.why,
        "form": result.form,
        "counts": asdict(result.counts),
        "inputs": [asdict(receipt) for receipt in result.inputs],
        "rules": {total.code: {k: v for k, v in asdict(total).items() if k != "code"} for total in result.totals},
        "findings": [{**asdict(example.finding), "excerpt": example.excerpt} for example in result.examples],
        "audit": None if result.audit is None else result.audit.document(),
        "fixable": {kind: result.fixable.get(kind, 0) for kind in ("safe", "unsafe")},
        "statistics": dict(result.statistics),
    }


def render(result: ValidationResult) -> str:
    """The report as indented JSON."""
    return orjson.dumps(document(result), option=orjson.OPT_INDENT_2).decode()
