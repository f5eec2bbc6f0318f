"""The JSON Schemas: the single source of truth for every record, and the only reader of their folder.

The wheel ships them as ``prefdata/schemas``; an editable install has no such copy, so the folder at the root of the
checkout is read instead.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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


MOST_SORTED = 1000
"""Violations of one document that are put into their order."""


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
    """Every violation in ``document``, in the order in which its values stand there, what is missing last.

    Of more than ``MOST_SORTED`` the others follow in the order of the schema.
    """
    errors = validator(name).iter_errors(document)
    first = [(_path(error), error) for error in islice(errors, MOST_SORTED)]
    first.sort(key=lambda item: _place(document, item[0]))
    for path, error in chain(first, ((_path(error), error) for error in errors)):
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
        yield Violation(pointer, _message(error), error.kind.name)


def _path(error: jsonschema_rs.ValidationError) -> list[str | int]:
    """Keys and indices that lead to a violation, a missing key included."""
    kind = error.kind
    missing = [kind.property] if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required) else []
    return [*error.instance_path, *missing]


def _place(document: Any, path: Sequence[str | int]) -> list[int]:
    """For each step of a path the place of its value among its neighbours in the document."""
    places = []
    for part in path:
        if isinstance(document, dict):
            places.append(list(document).index(part) if part in document else len(document))
            document = document.get(part)
        else:
            assert isinstance(part, int)
            places.append(part)
            document = document[part]
    return places


def _message(error: jsonschema_rs.ValidationError) -> str:
    """The validator's words with a long instance cut short, so that a message stays one line."""
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f'"{kind.property}" is missing'
    message = error.message
    if len(message) > 240:
        message = message[:120] + " … " + message[-110:]
    return message.replace("\n", "\\n")
