"""Where in the bytes of a row a value stands: JSON read token by token, for the few rows that are shown or doubted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

Kind = Literal["object", "array", "scalar"]
_TOKEN = re.compile(rb'[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+)', re.DOTALL)


@dataclass(slots=True)
class Token:
    """One value: its JSON pointer, its bytes ``start`` to ``end``, and inside an object its key's."""

    pointer: str
    kind: Kind
    start: int
    end: int = -1
    key: tuple[int, int] | None = None
    name: str | None = None
    items: int = 0


def line_tokens(raw: bytes) -> Iterator[Token]:
    """Every value of a JSON text, containers after what they hold; ends quietly where the text is no JSON."""
    open_: list[Token] = []
    key: tuple[int, int] | None = None
    name: str | None = None
    for found in _TOKEN.finditer(raw):
        text = found.group(1)
        within = open_[-1] if open_ else None
        if text in b",:":
            continue
        if text in b"}]":
            if within is None:
                return
            open_.pop().end = found.end()
            yield within
            continue
        if within is not None and within.kind == "object" and key is None:
            try:
                name = orjson.loads(text)
            except orjson.JSONDecodeError:
                return
            if not isinstance(name, str):
                return
            key = found.span(1)
            continue
        if within is None:
            pointer = ""
        elif within.kind == "object":
            pointer = f"{within.pointer}/{escaped(name or '')}"
        else:
            pointer = f"{within.pointer}/{within.items}"
            within.items += 1
        kind: Kind = "object" if text == b"{" else "array" if text == b"[" else "scalar"
        token = Token(pointer, kind, found.start(1), found.end(), key, name if key else None)
        key = name = None
        if kind == "scalar":
            yield token
        else:
            open_.append(token)


def span_of(raw: bytes, pointer: str) -> tuple[int, int] | None:
    """The bytes of the value at ``pointer``, or the end of the nearest thing around it where it is missing.

    >>> raw = b'{"a": [1, {"b": true}]}'
    >>> start, end = span_of(raw, "/a/1/b")
    >>> raw[start:end]
    b'true'
    >>> span_of(raw, "/a/1/c")
    (20, 21)
    """
    found: dict[str, Token] = {}
    for token in line_tokens(raw):
        if token.pointer == pointer:
            return token.start, token.end
        found[token.pointer] = token
    while pointer:
        pointer = pointer.rpartition("/")[0]
        if pointer in found:
            near = found[pointer]
            return (near.start, near.end) if near.kind == "scalar" else (near.end - 1, near.end)
    return None


def escaped(key: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def value_at(document: object, pointer: str) -> object:
    """The value at ``pointer``; ``None`` where there is none."""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document
