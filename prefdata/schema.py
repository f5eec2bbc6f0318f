"""The JSON Schemas: the single source of truth for every record, and the only reader of their folder.

The wheel ships them as ``prefdata/schemas``; an editable install has no such copy, so the folder at the root of the
checkout is read instead.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import orjson

from prefdata.errors import PrefdataError

SchemaName = Literal["prompt", "response_set", "judgment", "preference_pair", "judge_template", "manifest"]
NAMES: tuple[SchemaName, ...] = (
    "prompt",
    "response_set",
    "judgment",
    "preference_pair",
    "judge_template",
    "manifest",
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a document breaks its schema; ``pointer`` is a JSON pointer (RFC 6901), missing key included."""

    pointer: str
    message: str
    keyword: str


def folder() -> Path:
    """The folder of schema files, shipped or in the checkout."""
    shipped = Path(__file__).parent / "schemas"
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "schemas"


@functools.cache
def load(name: str) -> dict[str, Any]:
    """The schema called ``name`` as a document; raises PrefdataError where the installation lacks it."""
    path = folder() / f"{name}.schema.json"
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise PrefdataError(
            f"this installation of prefdata has no schema {path.name}", "install prefdata again"
        ) from None
    assert isinstance(document, dict)
    return document


@functools.cache
def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """The fast validator for one record kind; references to sibling schemas are resolved from the same folder."""
    message = load("message")
    registry = jsonschema_rs.Registry([(message["$id"], message), (load("prompt")["$id"], load("prompt"))])
    return jsonschema_rs.Draft202012Validator(load(name), registry=registry)


def violations(name: str, document: Any) -> Iterator[Violation]:
    """Every violation in ``document``, in the order of the schema."""
    for error in validator(name).iter_errors(document):
        kind = error.kind
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
            pointer += "/" + kind.property.replace("~", "~0").replace("/", "~1")
        yield Violation(pointer, _message(error), kind.name)


def _message(error: jsonschema_rs.ValidationError) -> str:
    """The validator's words with a long instance cut short, so that a message stays one line."""
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f'"{kind.property}" is missing'
    message = error.message
    if len(message) > 240:
        message = message[:120] + " … " + message[-110:]
    return message.replace("\n", "\\n")
