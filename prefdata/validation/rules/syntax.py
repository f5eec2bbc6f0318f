"""SYN: a line that is not one JSON object, or that does not mean what its bytes say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from prefdata.types import Edit, Fix
from prefdata.validation.lines import MAX_LINE_BYTES, RawLine
from prefdata.validation.locate import line_tokens
from prefdata.validation.registry import Hit, line_rule

GOOD = b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}'
SURROGATE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)")
"""Escaped backslashes and whole pairs are passed over; the group is a half that stands alone."""
CONSTANT = re.compile(rb"-?Infinity|NaN")


@line_rule(
    "SYN001",
    "invalid-json",
    message="the line is not JSON",
    hint="write one JSON object a line, as json.dumps does; the mark shows where reading stopped",
    why="""A line that cannot be read holds no pair. Most often a writer was stopped in the middle of a row, a text
    was pasted in by hand with its quotation marks or line breaks unescaped, or two writers appended to one file at
    once.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5}',
    good=GOOD,
    guard=True,
    fallback=True,
)
def invalid_json(line: RawLine) -> Iterator[Hit]:
    if line.error is None:
        return
    rest = line.raw[line.at :].strip()
    if not line.ended and not rest:
        yield Hit(
            message="the file ends in the middle of this row",
            hint="the writer was stopped, or the copy is not complete: write or copy the file again",
            span=_end_of(line),
        )
    elif not line.raw.strip(b"\x00 \t\r"):
        yield Hit(
            message=f"the line holds {len(line.raw)} NUL bytes and no row",
            hint="the disk was full or the machine stopped while the file was written: write it again",
            span=(0, 1),
        )
    elif rest.startswith(b"{") and line.raw[: line.at].rstrip().endswith(b"}"):
        yield Hit(
            message="a second row follows on the same line", hint="put each row on a line of its own", span=_here(line)
        )
    elif rest.startswith(b"'") or line.raw.startswith(b"{'"):
        yield Hit(
            message="the row is quoted with ' as Python prints it, not with \" as JSON wants",
            hint="write rows with json.dumps(row), not with str(row)",
            span=_here(line),
        )
    else:
        yield Hit(message=f"the line is not JSON: {line.error}", span=_here(line))


@line_rule(
    "SYN002",
    "not-utf-8",
    message="the line is not UTF-8",
    hint="convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 IN > OUT",
    why="""JSON is UTF-8. Bytes of another encoding cannot be read with certainty, and a guess would put wrong letters
    into what the model learns.""",
    bad=b'{"prompt": "Caf\xe9?", "chosen": "Oui", "rejected": "Non"}',
    good='{"prompt": "Café?", "chosen": "Oui", "rejected": "Non"}'.encode(),
    guard=True,
)
def not_utf8(line: RawLine) -> Iterator[Hit]:
    if line.error is None:
        return
    try:
        line.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = line.raw[error.start]
        yield Hit(message=f"byte {error.start} of the line (0x{bad:02x}) is not UTF-8", span=(error.start, error.end))


@line_rule(
    "SYN003",
    "byte-order-mark",
    severity="warning",
    message="the line starts with a byte-order mark; it is taken off",
    hint="write UTF-8 without a byte-order mark (in Python encoding='utf-8', not 'utf-8-sig')",
    why="""Some editors put three invisible bytes at the start of a file. Strict JSON readers refuse the first row
    because of them; in the middle of a file they show where two files were joined.""",
    bad=b"\xef\xbb\xbf" + GOOD,
    good=GOOD,
)
def byte_order_mark(line: RawLine) -> Iterator[Hit]:
    if line.bom:
        yield Hit(span=(0, 3), fix=Fix("remove the byte-order mark", (Edit(value="", span=(0, 3)),)))


@line_rule(
    "SYN004",
    "duplicate-key",
    message="a key stands twice in one object",
    hint="keep the one that is meant: JSON readers keep the last one without a word",
    why="""Every reader silently keeps one of the values, most the last and some the first, so that what trains
    depends on who reads. In a preference pair the lost value may be the answer that was meant.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "chosen": "6"}',
    good=GOOD,
    guard=True,
)
def duplicate_key(line: RawLine) -> Iterator[Hit]:
    if line.error is not None:
        return
    seen: set[str] = set()
    twice: dict[str, Hit] = {}
    for token in line_tokens(line.raw):
        if token.pointer in seen and token.key is not None:
            name = json.dumps(token.name, ensure_ascii=False)
            twice.setdefault(token.pointer, Hit(token.pointer, f"the key {name} stands twice", span=token.key))
        seen.add(token.pointer)
    for pointer, hit in twice.items():
        if not any(pointer.startswith(outer + "/") for outer in twice):
            yield hit


@line_rule(
    "SYN005",
    "not-a-number",
    message="NaN and Infinity are not JSON",
    hint="leave the key out, or write null, where a number is unknown",
    why="""Python writes NaN and Infinity though JSON has no such values, and other readers refuse the row. A margin
    or score that is not a number would also poison every mean it enters.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": NaN}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": null}',
    guard=True,
)
def not_a_number(line: RawLine) -> Iterator[Hit]:
    if line.error is None:
        return
    constants: list[str] = []
    try:
        json.loads(line.raw, parse_constant=constants.append)
    except (ValueError, RecursionError):
        return
    if constants:
        found = CONSTANT.search(line.raw, max(0, line.at - 1))
        yield Hit(message=f"{constants[0]} is not a JSON number", span=found.span() if found else _here(line))


@line_rule(
    "SYN006",
    "number-out-of-range",
    message="a number is too large to be kept exactly",
    hint="write ids as strings; a number must be an integer of 64 bits or a double",
    why="""An integer beyond 64 bits becomes a rounded float in most readers, without a word: an id then names another
    row. A number beyond 1.8e308 cannot be read at all.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "metadata": {"row": 123456789012345678901234567890}}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "metadata": {"row": "123456789012345678901234567890"}}',
    guard=True,
)
def number_out_of_range(line: RawLine) -> Iterator[Hit]:
    if line.error is not None and "infinity" not in line.error:
        return
    for token in line_tokens(line.raw):
        text = line.raw[token.start : token.end]
        if token.kind != "scalar" or text[:1] not in b"-0123456789":
            continue
        whole = text.lstrip(b"-").isdigit()
        if whole and (len(text) > 21 or not -(2**63) <= int(text) < 2**64):
            yield Hit(token.pointer, f"an integer of {len(text.lstrip(b'-'))} digits does not fit into 64 bits")
        elif not whole and float(text) in (float("inf"), float("-inf")):
            yield Hit(token.pointer, "the number is larger than any double")


@line_rule(
    "SYN007",
    "lone-surrogate",
    message="half of a surrogate pair stands alone",
    hint="the text was cut inside an emoji or a rare letter: cut by characters, not by UTF-16 units",
    why="""JSON escapes characters beyond U+FFFF as two halves. One half alone is no character: it cannot be written
    as UTF-8, and tokenizers fail on it.""",
    bad=b'{"prompt": "smile", "chosen": "\\ud83d", "rejected": "no"}',
    good=b'{"prompt": "smile", "chosen": "\\ud83d\\ude00", "rejected": "no"}',
    guard=True,
)
def lone_surrogate(line: RawLine) -> Iterator[Hit]:
    if line.error is None:
        return
    try:
        document = json.loads(line.raw)
    except (ValueError, RecursionError):
        return
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        halves = (found.span(1) for found in SURROGATE.finditer(line.raw) if found.group(1))
        yield Hit(span=next(halves, _here(line)))


@line_rule(
    "SYN008",
    "not-an-object",
    message="the row is not a JSON object",
    hint='write each row as {"prompt": …, "chosen": …, "rejected": …}',
    why="A pair is known by its keys; a list, string or number has none.",
    bad=b'["2+2?", "4", "5"]',
    good=GOOD,
    guard=True,
)
def not_an_object(line: RawLine) -> Iterator[Hit]:
    if line.error is None and not isinstance(line.document, dict):
        kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
            type(line.document), "a number"
        )
        yield Hit(message=f"the row is {kind}, not a JSON object")


@line_rule(
    "SYN009",
    "overlong-line",
    message="the line is too long",
    hint="is it one JSON document on a single line? Write one row a line: prefdata convert IN -o PAIRS.jsonl",
    why=f"""No pair that a model can train on is longer than {MAX_LINE_BYTES >> 20} MiB. Such a line is nearly always
    a whole file without line ends, and holding it would take memory without bound. Quarantine keeps its first bytes
    only.""",
    bad='{"prompt": "… 17 MB without a line end …"}'.encode(),
    good=GOOD,
    guard=True,
)
def overlong_line(line: RawLine) -> Iterator[Hit]:
    if line.length > MAX_LINE_BYTES:
        yield Hit(message=f"the line has {line.length:,} bytes; at most {MAX_LINE_BYTES:,} are taken", span=(0, 1))


def _here(line: RawLine) -> tuple[int, int]:
    return line.at, min(line.at + 1, len(line.raw))


def _end_of(line: RawLine) -> tuple[int, int]:
    return max(0, len(line.raw) - 1), len(line.raw)
