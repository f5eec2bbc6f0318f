"""prefdata: from prompts to preference pairs that can be trusted, and to an adapter trained on exactly them.

One function per step, each of the same name as its command, and the nouns that they exchange. Functions are loaded when
they are first used, so that ``import prefdata`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prefdata.errors import PrefdataError
from prefdata.types import (
    Conversation,
    Finding,
    Judge,
    Judgment,
    Message,
    PreferencePair,
    Prompt,
    Response,
    ResponseSet,
)
from prefdata.version import __version__

if TYPE_CHECKING:
    from prefdata.annotation.annotate import annotate
    from prefdata.annotation.export import export_annotations
    from prefdata.collection.collect import collect
    from prefdata.conversion.convert import convert
    from prefdata.judging.judge import judge
    from prefdata.pairing.agree import agree
    from prefdata.pairing.pair import pair
    from prefdata.records.dataset import open_dataset
    from prefdata.validation.validate import validate

_FUNCTIONS = {
    "agree": "prefdata.pairing.agree",
    "annotate": "prefdata.annotation.annotate",
    "collect": "prefdata.collection.collect",
    "convert": "prefdata.conversion.convert",
    "export_annotations": "prefdata.annotation.export",
    "judge": "prefdata.judging.judge",
    "open_dataset": "prefdata.records.dataset",
    "pair": "prefdata.pairing.pair",
    "validate": "prefdata.validation.validate",
}

__all__ = [
    "Conversation",
    "Finding",
    "Judge",
    "Judgment",
    "Message",
    "PrefdataError",
    "PreferencePair",
    "Prompt",
    "Response",
    "ResponseSet",
    "__version__",
    "agree",
    "annotate",
    "collect",
    "convert",
    "export_annotations",
    "judge",
    "open_dataset",
    "pair",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'prefdata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
