"""TXT: what text holds that nobody wrote there: marks of templates and transcripts, garbled and control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from prefdata.types import Edit, Fix
from prefdata.validation.batch import Batch
from prefdata.validation.registry import Hit, row_rule
from prefdata.validation.row import Row
from prefdata.validation.scan import table

GOOD = b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}'
BAR = "\uff5c"
"""The wide bar in the marks of DeepSeek's templates."""
LEAKED = re.compile(
    rf"<\|[A-Za-z_][A-Za-z0-9_ ]{{1,30}}\|>|<[{BAR}][^<>{BAR}\n]{{1,40}}[{BAR}]>"
    r"|<(?:start|end)_of_turn>|<</?SYS>>|\[/?INST\]|<(?:bos|eos|unk|pad)>|^\s*<s>|</s>\s*$"
)
AFTER_LESS = table(b"|sS/<ebup\xef")
"""What follows the < of such marks."""
CLOSING = table(b"]")
MARKER_ENDS = (b"Human", b"Assistant", b"User", b"Instruction", b"Response")
MARKER = re.compile(
    r"(?:^|\n)[ \t]*(?:(?:\n|\A)[ \t]*(Human|Assistant|User):|### ?(?:Instruction|Response|Human|Assistant):)"
)
LAST_LETTERS = table(b"ntre")
"""With which Human, Instruction, Assistant, User and Response end."""
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffd\ufffe\uffff]")
CUTTABLE = re.compile(CONTROLS.pattern.replace("\ufffd", ""))
"""U+FFFD stays: a letter is lost there, and nobody would see that any more."""
CONTROL_CODES = (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF)
BACKSPACES, C1, SPECIALS = table(b"bf"), table(bytes(range(0x80, 0xA0))), table(b"\xbf\xbb")
NAMES = {"\ufffd": "replacement character", "\ufeff": "byte-order mark", "\x1b": "escape character", "\x00": "NUL"}


def texts_of(row: Row, sides: tuple[str, ...] = ("prompt", "chosen", "rejected")) -> Iterator[tuple[str, str]]:
    """Every text of a row with the pointer to it."""
    for side in sides:
        content = getattr(row, side)
        if row.form == "text":
            yield f"/{side}", content
            continue
        for index, message in enumerate(content):
            if text := message.get("content"):
                yield row.pointer(side, index, "content"), text


def _without(pointer: str, text: str, signs: re.Pattern[str]) -> Fix | None:
    left = signs.sub("", text)
    if left == text or not left.strip():
        return None
    return Fix("cut them from the text", (Edit(pointer, left),), safe=False)


def _may_leak(batch: Batch) -> list[int]:
    scan = batch.scan
    found = [scan.after(0x3C, AFTER_LESS), scan.escaped((0x3C, 0x5B, 0x5D, 0xFF5C))]
    if scan.holds(b"T]"):  # the end of [INST] and [/INST]; brackets are too many, in JSON
        found.append(scan.after(0x54, CLOSING))
    return scan.rows(*found)


@row_rule(
    "TXT001",
    "template-token",
    severity="warning",
    message="a mark of a chat template stands in the text",
    hint="cut it from the text: the template writes its marks itself",
    why="""Marks like <|im_end|>, [INST] or </s> come from a prompt that was rendered before it was stored. Most
    tokenizers read them as the very tokens that end a turn, so that the model learns to stop, or to speak for the user,
    in the middle of an answer; others train on the mark's letters. Marks written as \\u003c|im_end|> are found too.""",
    bad=b'{"prompt": "2+2?", "chosen": "4<|im_end|>", "rejected": "5\\u003c|im_end|>"}',
    good=GOOD,
    screen=_may_leak,
)
def template_token(row: Row) -> Iterator[Hit]:
    for pointer, text in texts_of(row):
        if "<" in text or "[" in text:
            marks = list(dict.fromkeys(found.group().strip() for found in LEAKED.finditer(text)))
            if marks:
                more = f" and {len(marks) - 3} more" if len(marks) > 3 else ""
                yield Hit(
                    pointer,
                    f"the text holds {', '.join(marks[:3])}{more}",
                    sign=marks[0],
                    fix=_without(pointer, text, LEAKED),
                )


def _may_hold_markers(batch: Batch) -> list[int]:
    scan = batch.scan
    colons = scan.places(0x3A)
    if len(colons):  # JSON's own colons stand after a quotation mark
        ends_with = scan.data.endswith
        likely = colons[LAST_LETTERS[scan.letters[colons - 1]]].tolist()
        colons = np.array([at for at in likely if ends_with(MARKER_ENDS, 0, at)], np.int64)
    return scan.rows(colons, scan.escaped((0x3A,)))


@row_rule(
    "TXT002",
    "transcript-marker",
    severity="warning",
    message="a speaker's mark stands inside one turn",
    hint="split the transcript into messages (prefdata convert), or cut the answer before the mark",
    why="""An answer that goes on with "Human:" or "### Response:" holds the next turn of a transcript, mostly because
    a base model spoke for the user or because turns were joined. Training on it teaches the model to speak for both
    sides. Prompts of strings may be transcripts, so only the answers of strings are looked at.""",
    bad=b'{"prompt": "2+2?", "chosen": "4\\n\\nHuman: Thanks!\\n\\nAssistant: Welcome.", "rejected": "5"}',
    good=GOOD,
    screen=_may_hold_markers,
)
def transcript_marker(row: Row) -> Iterator[Hit]:
    for pointer, text in texts_of(
        row, ("chosen", "rejected") if row.form == "text" else ("prompt", "chosen", "rejected")
    ):
        if (found := MARKER.search(text)) is not None:
            mark = found.group().strip()
            where = "starts with" if not text[: found.start()].strip() else "goes on with"
            yield Hit(pointer, f"the turn {where} {mark!r}", sign=mark)


def _cp1252(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


WRONG = {_cp1252(byte): byte for byte in range(0x80, 0x100)} | {chr(byte): byte for byte in range(0x80, 0xA0)}
"""Characters as which Windows-1252 or Latin-1 shows single bytes."""
_TAIL = re.escape("".join(sorted(c for c, byte in WRONG.items() if byte < 0xC0)))
MOJIBAKE = re.compile(rf"(?:[ÂÃ][{_TAIL}]|â[{_TAIL}]{{2}}|ð[{_TAIL}]{{3}}|(?:[ÐÑ][{_TAIL}]){{3,}})+")
LEADS = table(b"\x82\x83\xa2\xb0\x90\x91")
"""After 0xC3 in UTF-8: the letters Â, Ã, â, ð, Ð and Ñ."""


def unbroken(text: str) -> str | None:
    """What a run of wrongly decoded letters meant; ``None`` where it is no UTF-8 that was read as Windows-1252.

    >>> unbroken("â€™"), unbroken("Ã©"), unbroken("Ã‡a")
    ('’', 'é', None)
    """
    try:
        return bytes(WRONG[character] for character in text).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


def _mended(pointer: str, text: str) -> Fix:
    left = MOJIBAKE.sub(lambda run: unbroken(run.group()) or run.group(), text)
    return Fix("read the garbled letters as UTF-8", (Edit(pointer, left),), safe=False)


def _may_be_mojibake(batch: Batch) -> list[int]:
    scan = batch.scan
    escaped = scan.escaped((0xC2, 0xC3, 0xE2, 0xF0, 0xD0, 0xD1))
    return scan.rows(escaped) if scan.ascii else scan.rows(scan.after(0xC3, LEADS), escaped)


@row_rule(
    "TXT003",
    "mojibake",
    severity="warning",
    message="letters are garbled: UTF-8 was read as Windows-1252 or Latin-1",
    hint="decode the source as UTF-8; what is stored already is mended by text.encode('cp1252').decode('utf-8')",
    why=""""don’t" that was read in the wrong encoding becomes "donâ€™t". The model learns to write it so, and where
    only one side is garbled it learns which side by that alone. Only runs that are whole UTF-8 are told, so that real
    Â and Ã pass.""",
    bad='{"prompt": "2+2?", "chosen": "Itâ€™s 4", "rejected": "5"}'.encode(),
    good='{"prompt": "2+2?", "chosen": "It’s 4", "rejected": "5"}'.encode(),
    screen=_may_be_mojibake,
)
def mojibake(row: Row) -> Iterator[Hit]:
    for pointer, text in texts_of(row):
        if text.isascii():
            continue
        found = [(run.group(), meant) for run in MOJIBAKE.finditer(text) if (meant := unbroken(run.group()))]
        if found:
            run, meant = found[0]
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            yield Hit(
                pointer,
                f"{run!r} was {meant!r} before it was read in the wrong encoding{more}",
                sign=run,
                fix=_mended(pointer, text),
            )


def _may_hold_controls(batch: Batch) -> list[int]:
    scan = batch.scan
    found = [scan.escaped(CONTROL_CODES), scan.after(0x5C, BACKSPACES), scan.places(0x7F)]
    if not scan.ascii:
        found += [scan.after(0xC2, C1), scan.after(0xEF, SPECIALS)]
    return scan.rows(*found)


@row_rule(
    "TXT004",
    "control-character",
    severity="warning",
    message="the text holds control or replacement characters",
    hint="U+FFFD marks letters lost in decoding: read the source again; other control characters can be cut",
    why="""A replacement character stands where a letter was lost for good; NUL, escape sequences of a terminal and
    their like come from logs and binary data. Tokenizers spend whole tokens on them and the model learns to write them.
    Tab, line feed and carriage return are no fault.""",
    bad='{"prompt": "2+2?", "chosen": "It\ufffds 4", "rejected": "\\u001b[1m5"}'.encode(),
    good=GOOD,
    screen=_may_hold_controls,
)
def control_character(row: Row) -> Iterator[Hit]:
    for pointer, text in texts_of(row):
        found = CONTROLS.findall(text)
        if found:
            named = [f"{NAMES.get(sign, 'control character')} U+{ord(sign):04X}" for sign in dict.fromkeys(found)]
            more = f" and {len(named) - 2} other kinds" if len(named) > 2 else ""
            yield Hit(
                pointer,
                f"the text holds {len(found)} × {', '.join(named[:2])}{more}",
                sign=found[0],
                fix=_without(pointer, text, CUTTABLE),
            )
