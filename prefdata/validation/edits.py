"""Edits carried out on the bytes of a line, so that all of it that no edit names stays as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from prefdata.types import Edit, Fix
from prefdata.validation.lines import BOM
from prefdata.validation.locate import Token, escaped, line_tokens


class ImpossibleEditError(ValueError):
    """An edit does not fit the row."""


def fixed(raw: bytes, fix: Fix) -> bytes:
    """``raw`` after all edits of ``fix``.

    Each edit is made in the bytes and in the parsed row; where the two do not come to the same row (keys that stand
    twice, for one), or an edit names a place that is not there, ImpossibleEditError is raised.
    """
    for edit in fix.edits:
        raw = _spliced(raw, edit) if edit.span is not None else _edited(raw, edit)
    return raw


def independent(fix: Fix, others: Sequence[Fix], document: Any) -> bool:
    """Whether ``fix`` can be made after ``others`` though its pointers were found before them."""
    touched = [place for other in others for place in _places(other, document)]
    mine = list(_places(fix, document))
    return not any(a is None or b is None or _within(a, b) or _within(b, a) for a in mine for b in touched)


def _places(fix: Fix, document: Any) -> Iterator[str | None]:
    """What the edits of a fix touch: a value, or the whole array whose items they shift; ``None`` for bytes."""
    for edit in fix.edits:
        if edit.span is not None:
            yield None
            continue
        above = edit.pointer.rpartition("/")[0]
        try:
            shifts = edit.remove and isinstance(_at(document, above), list)
        except ImpossibleEditError:
            shifts = True
        yield above if shifts else edit.pointer


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer + "/")


def _spliced(raw: bytes, edit: Edit) -> bytes:
    assert edit.span is not None
    start, end = edit.span
    return raw[:start] + str(edit.value).encode() + raw[end:]


def _edited(raw: bytes, edit: Edit) -> bytes:
    text = raw.removeprefix(BOM)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ImpossibleEditError(str(error)) from None
    _apply(document, edit)
    made = _in_bytes(text, edit)
    if made is None or orjson.loads(made) != document:
        raise ImpossibleEditError(edit.pointer)
    return raw[: len(raw) - len(text)] + made


def _apply(document: Any, edit: Edit) -> None:
    above, _, name = edit.pointer.rpartition("/")
    within = _at(document, above)
    key: str | int = _unescaped(name)
    if isinstance(within, list) and str(key).isdigit():
        key = int(key)
        if key >= len(within):
            raise ImpossibleEditError(edit.pointer)
    elif not isinstance(within, dict) or (edit.remove and key not in within):
        raise ImpossibleEditError(edit.pointer)
    if edit.remove:
        del within[key]
    else:
        within[key] = edit.value


def _in_bytes(raw: bytes, edit: Edit) -> bytes | None:
    tokens = list(line_tokens(raw))
    above, _, name = edit.pointer.rpartition("/")
    siblings = sorted(_inside(tokens, above), key=lambda token: token.start)
    index = next((i for i, token in enumerate(siblings) if token.pointer == edit.pointer), None)
    new = b"" if edit.remove else _dumped(edit.value, raw)
    if index is not None and not edit.remove:
        return raw[: siblings[index].start] + new + raw[siblings[index].end :]
    if index is not None:
        first = _start(siblings[index])
        if index + 1 < len(siblings):
            return raw[:first] + raw[_start(siblings[index + 1]) :]
        before = siblings[index - 1].end if index else first
        return raw[:before] + raw[siblings[index].end :]
    around = next((token for token in tokens if token.pointer == above), None)
    if around is None or around.kind != "object":
        return None
    key = _dumped(_unescaped(name), raw)
    colon, comma = (b": ", b", ") if _is_loose(raw) else (b":", b",")
    at = siblings[-1].end if siblings else around.end - 1
    return raw[:at] + (comma if siblings else b"") + key + colon + new + raw[at:]


def _inside(tokens: Sequence[Token], above: str) -> Iterator[Token]:
    """The values right inside the container at ``above``."""
    return (token for token in tokens if token.pointer and token.pointer.rpartition("/")[0] == above)


def _start(token: Token) -> int:
    return token.start if token.key is None else token.key[0]


def _dumped(value: Any, raw: bytes) -> bytes:
    """A value as the writer of the line would have written it: spaces and escapes as in the rest of it."""
    separators = (", ", ": ") if _is_loose(raw) else (",", ":")
    return json.dumps(value, ensure_ascii=raw.isascii(), separators=separators).encode()


def _is_loose(raw: bytes) -> bool:
    """Whether a space follows the first colon of the row."""
    found = next((token for token in line_tokens(raw) if token.key is not None), None)
    return found is not None and raw[found.key[1] : found.start].endswith(b" ") if found and found.key else True


def _at(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = _unescaped(part)
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            raise ImpossibleEditError(pointer)
    return document


def _unescaped(part: str) -> str:
    name = part.replace("~1", "/").replace("~0", "~")
    assert escaped(name) == part, f"{part!r} is no part of a JSON pointer"
    return name
