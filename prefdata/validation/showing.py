"""Rows as a person reads them: conversations, with what differs between the two answers marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from prefdata import schema
from prefdata.errors import InputError, UsageError
from prefdata.records.codec import pair_id
from prefdata.records.dataset import MANIFEST, open_dataset
from prefdata.records.sources import sources
from prefdata.validation.explain import LEAST_PREFIX
from prefdata.validation.findings import parting_of, visible
from prefdata.validation.lines import BOM
from prefdata.validation.quarantine import is_record, unwrapped
from prefdata.validation.row import Messages, Row, row_of

OPEN, CLOSE = "⟦", "⟧"
"""What stands around differing text where there are no colours."""
DIM, BOLD, GREEN, RED, RESET = "\x1b[2m", "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[0m"
LEGEND = {
    True: "green and red: what differs between chosen and rejected",
    False: f"{OPEN}what differs between chosen and rejected{CLOSE}",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One row: where it stands, what is told about it, and the row itself (or why it is none)."""

    place: str
    about: Mapping[str, Any]
    row: Row | None
    id: str | None = None
    fault: str | None = None

    def document(self) -> dict[str, Any]:
        """The row as a JSON document, with the character at which the last texts of its sides part."""
        if self.row is None:
            return {"place": self.place, "fault": self.fault, **self.about}
        sides = {side: getattr(self.row, side) for side in ("prompt", "chosen", "rejected")}
        return {"place": self.place, "id": self.id, **self.about, **sides, "parts_at": list(parting(self.row))}


def rows_shown(source: str | Path, *, ids: Sequence[str] = (), limit: int | None = None) -> Iterator[Shown]:
    """The rows of a dataset folder, or of files of pairs (or of a quarantine), in their order.

    With ``ids`` only the rows whose ids are among them, or begin with one of at least four characters. Raises
    UsageError where one of them is not there, InputError or DatasetError where ``source`` cannot be read.
    """
    left = limit
    wanted = dict.fromkeys(ids, False)
    rows = _of_dataset(Path(source)) if Path(source).is_dir() else _of_files(str(source))
    for shown in rows:
        if left == 0:
            return
        if wanted:
            means = [id for id in wanted if shown.id is not None and _means(id, shown.id)]
            wanted.update(dict.fromkeys(means, True))
            if not means:
                continue
        yield shown
        left = None if left is None else left - 1
    missing = [id for id, seen in wanted.items() if not seen]
    if missing:
        raise UsageError(f"{source} holds no row with the id {missing[0]!r}", "without --id the first rows are shown")


def _means(id: str, full: str) -> bool:
    return id == full or (len(id) >= LEAST_PREFIX and full.startswith(id))


def _of_dataset(folder: Path) -> Iterator[Shown]:
    if not (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} is a folder without a {MANIFEST}, so no dataset of prefdata", "make one with prefdata validate"
        )
    handle = open_dataset(folder)
    for split in handle.splits:
        for number, row in enumerate(handle.rows(split), start=1):
            about = {"from": f"{row['source_file']}:{row['source_line']}"}
            about |= {key: row[key] for key in ("margin", "probability") if row.get(key) is not None}
            yield Shown(f"{folder} {split} {number}", about, row_of(row), row["id"])


def _of_files(name: str) -> Iterator[Shown]:
    is_valid = schema.validator("preference_pair").is_valid
    for source in sources([name]):
        for line in source.lines():
            raw, place, about = line.raw.removeprefix(BOM), f"{source.name}:{line.number}", {}
            if not raw.strip():
                continue
            try:
                document = orjson.loads(raw)
                if isinstance(document, dict) and is_record(document):
                    about = {
                        "refused": ", ".join(dict.fromkeys(str(item.get("code")) for item in document["findings"])),
                        "from": f"{document['file']}:{document['line']}",
                    }
                    document = orjson.loads(unwrapped(document)[0].removeprefix(BOM))
            except orjson.JSONDecodeError as error:
                yield Shown(place, about, None, fault=f"the line is not JSON: {error.msg}")
                continue
            if not is_valid(document):
                first = next(iter(schema.violations("preference_pair", document)))
                yield Shown(place, about, None, fault=f"no pair: {first.pointer or 'the row'}: {first.message}")
                continue
            row = row_of(document)
            about |= {
                key: document[key] for key in ("margin", "probability", "source") if document.get(key) is not None
            }
            yield Shown(place, about, row, document.get("id") or _content_id(row))


def _content_id(row: Row) -> str:
    sides = {"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
    return pair_id({**sides, "tools": row.document.get("tools")})


def parting(row: Row) -> tuple[int, int]:
    """Where the sides part: the message after the prompt (0 for strings), and the character in it."""
    if row.form == "text":
        return 0, parting_of(row.chosen, row.rejected)
    shared = _shared(row)
    if shared >= min(len(row.chosen), len(row.rejected)):
        return shared, 0
    return shared, parting_of(_said(row.chosen[shared]), _said(row.rejected[shared]))


def _shared(row: Row) -> int:
    count = 0
    while count < min(len(row.chosen), len(row.rejected)) and row.chosen[count] == row.rejected[count]:
        count += 1
    return count


def lines(shown: Shown, *, colour: bool) -> list[str]:
    """The row for a terminal or, without ``colour``, for a text file; control characters are made visible."""

    def style(text: str, code: str) -> str:
        return f"{code}{text}{RESET}" if colour and text else text

    told = [f"id {shown.id}"] if shown.id else []
    told += [f"{key} {visible(str(value))}" for key, value in shown.about.items()]
    found = [f"{style(shown.place, BOLD)}  {'  '.join(told)}".rstrip()]
    row = shown.row
    if row is None:
        return [*found, f"  {visible(shown.fault or '')}"]
    found += _told("prompt", row.prompt) if row.form == "text" else _turns(row.prompt)
    shared = 0
    if row.form == "chat" and (shared := _shared(row)):
        found += [style("  ── both go on", DIM), *_turns(row.chosen[:shared])]
    sides = ((row.chosen, row.rejected, GREEN), (row.rejected, row.chosen, RED))
    for name, (mine, other, code) in zip(("chosen", "rejected"), sides, strict=True):
        found.append(style(f"  ── {name}", BOLD))
        if row.form == "text":
            found += _block(_marked(mine, other, code, colour))
        else:
            found += _side(mine[shared:], other[shared:], code, colour)
    return found


def _side(mine: Messages, other: Messages, code: str, colour: bool) -> list[str]:
    """The messages of one side from where the sides part; only the first can be compared."""
    found = []
    for index, message in enumerate(mine):
        alike = index == 0 and other and other[0]["role"] == message["role"]
        text = _marked(_said(message), _said(other[0]) if alike else "", code, colour)
        found += [f"  {message['role']}", *_block(text)]
    return found or [f"    {OPEN}{CLOSE} nothing"]


def _turns(messages: Messages) -> list[str]:
    return [line for message in messages for line in _told(message["role"], _said(message))]


def _told(who: str, text: str) -> list[str]:
    return [f"  {who}", *_block([(line, "") for line in [text]])]


def _said(message: Mapping[str, Any]) -> str:
    """What a message says, its calls of tools among it."""
    calls = [
        f"→ {call['function']['name']}({_arguments(call['function']['arguments'])})"
        for call in message.get("tool_calls") or ()
    ]
    return "\n".join(filter(None, [message.get("content") or "", *calls]))


def _arguments(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def _marked(mine: str, other: str, code: str, colour: bool) -> list[tuple[str, str]]:
    """A text in pieces, each with its style: what it begins with as the other does, what differs, and how both end."""
    first = parting_of(mine, other)
    last, least = 0, min(len(mine), len(other)) - first
    while last < least and mine[-1 - last] == other[-1 - last]:
        last += 1
    middle = mine[first : len(mine) - last]
    if not colour:
        middle = f"{OPEN}{middle}{CLOSE}"
    grey = DIM if colour else ""
    return [(mine[:first], grey), (middle, code if colour else ""), (mine[len(mine) - last :], grey)]


def _block(pieces: list[tuple[str, str]]) -> list[str]:
    """Pieces of text as indented lines; a style is closed at the end of each line."""
    text = ""
    for piece, code in pieces:
        parts = [visible(part) for part in piece.split("\n")]
        text += "\n".join(f"{code}{part}{RESET}" if code and part else part for part in parts)
    return [f"    {line}" for line in text.split("\n")]
