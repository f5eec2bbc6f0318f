"""SCH: a row that breaks the schema of a pair. The schema decides; these rules only say it in words that help."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from prefdata.schema import Violation
from prefdata.types import Edit, Fix
from prefdata.validation.locate import escaped, value_at
from prefdata.validation.registry import Hit, row_rule, schema_rule
from prefdata.validation.row import FIELDS, MESSAGE_FIELDS, Row

GOOD = b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}'
ROLES = ("system", "developer", "user", "assistant", "tool")
OTHER_ROLES = {"human": "user", "prompter": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
CONVERT_TRL = "prefdata convert IN --from trl -o PAIRS.jsonl"
CONVERT = "if the file is in another format: prefdata convert IN -o PAIRS.jsonl"


def about_missing(violation: Violation, document: Any) -> bool:
    """Whether a violation is only what follows from ``prompt`` being absent: nothing then tells strings from lists."""
    return (
        violation.keyword == "type"
        and violation.pointer in ("/chosen", "/rejected")
        and isinstance(document, Mapping)
        and "prompt" not in document
        and isinstance(value_at(document, violation.pointer), list)
    )


@schema_rule(
    "SCH001",
    "missing-key",
    message="a key is missing",
    hint="a pair needs prompt, chosen and rejected",
    why="""Without prompt, chosen and rejected there is no preference. Loaders that fill the gap with null train on
    the word "None" or fail hours later.""",
    bad=b'{"prompt": "2+2?", "chosen": "4"}',
    good=GOOD,
    guard=True,
)
def missing_key(violation: Violation, document: Any) -> Iterator[Hit]:
    if violation.keyword != "required":
        return
    where, _, key = violation.pointer.rpartition("/")
    within = value_at(document, where)
    present = [str(name) for name in within] if isinstance(within, Mapping) else []
    known = FIELDS if not where else MESSAGE_FIELDS
    near = difflib.get_close_matches(key, [name for name in present if name not in known], n=1, cutoff=0.7)
    hint = None
    if near:
        hint = f"is it the key {near[0]!r}? Rename it to {key!r}"
    elif key == "prompt" and isinstance(document, Mapping) and {"chosen", "rejected"} <= document.keys():
        hint = "whole conversations without a prompt are TRL's implicit form; give them one: " + CONVERT_TRL
    elif not where:
        hint = f"a pair needs prompt, chosen and rejected; {CONVERT}"
    elif key == "role" and "from" in present:
        hint = f"the message has 'from' and 'value', as ShareGPT writes them; {CONVERT}"
    yield Hit(violation.pointer, f'"{key}" is missing', hint)


@schema_rule(
    "SCH002",
    "wrong-type",
    message="a value is of the wrong type",
    hint="prompt, chosen and rejected are all strings, or all lists of messages",
    why="""Loaders turn a number, boolean or null that stands where an answer should be into text ("True", "None"),
    and a list among strings into its printed form: the model then learns to answer that.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": false}',
    good=GOOD,
    guard=True,
)
def wrong_type(violation: Violation, document: Any) -> Iterator[Hit]:
    if violation.keyword != "type" or about_missing(violation, document):
        return
    value = value_at(document, violation.pointer)
    hint = None
    key = violation.pointer.rpartition("/")[2]
    if key == "content" and isinstance(value, list):
        hint = "content in typed parts is not taken; join the text parts into one string"
    elif key == "content" and value is None:
        hint = 'content may be null only where tool_calls say what the turn did; write "" for an empty turn'
    elif violation.pointer in ("/chosen", "/rejected") and isinstance(document, Mapping):
        kind = "a string" if isinstance(document.get("prompt"), str) else "a list of messages"
        hint = f"prompt is {kind}, so chosen and rejected must be too"
    elif violation.pointer == "/prompt" and isinstance(value, Mapping):
        hint = CONVERT
    yield Hit(violation.pointer, violation.message, hint)


@schema_rule(
    "SCH003",
    "wrong-value",
    message="a value is not one of those allowed",
    hint="see the schema: schemas/preference_pair.schema.json",
    why="""A role that no chat template knows, or a call without a name, fails when the conversation is rendered for
    training, or is rendered as something else.""",
    bad=b'{"prompt": [{"role": "usr", "content": "2+2?"}], "chosen": [{"role": "assistant", "content": "4"}], '
    b'"rejected": [{"role": "assistant", "content": "5"}]}',
    good=b'{"prompt": [{"role": "user", "content": "2+2?"}], "chosen": [{"role": "assistant", "content": "4"}], '
    b'"rejected": [{"role": "assistant", "content": "5"}]}',
    guard=True,
)
def wrong_value(violation: Violation, document: Any) -> Iterator[Hit]:
    if violation.keyword in ("required", "type"):
        return
    value, hint = value_at(document, violation.pointer), None
    if violation.pointer.endswith("/role"):
        if violation.keyword == "const":
            yield Hit(violation.pointer, "only the assistant makes tool calls", 'the role must be "assistant"')
            return
        known = OTHER_ROLES.get(str(value))
        near = known or next(iter(difflib.get_close_matches(str(value), ROLES, n=1)), None)
        hint = f"did you mean {near!r}?" if near else f"roles are {', '.join(ROLES)}"
        if near:
            fix = Fix(f"call the role {near!r}", (Edit(violation.pointer, near),), safe=known is not None)
            yield Hit(violation.pointer, violation.message, hint, fix=fix)
            return
    yield Hit(violation.pointer, violation.message, hint)


def _has_unknown_fields(batch: Any) -> list[int]:
    return sorted({*batch.unknown_fields(), *(batch.unplain if batch.form == "chat" else ())})


@row_rule(
    "SCH004",
    "unknown-field",
    severity="warning",
    message="a key is not part of a pair",
    hint="put it under metadata to carry it into the dataset; here it is left out",
    why="""A misspelt key is silently no key: "margn" sets no margin. Keys that a pair does not have are left out of the
    dataset, so that all rows have the same columns; metadata is carried along as it is.""",
    bad=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margn": 0.5}',
    good=b'{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": 0.5}',
    screen=_has_unknown_fields,
)
def unknown_field(row: Row) -> Iterator[Hit]:
    metadata = row.document.get("metadata")
    for hit in _unknown(row.document, FIELDS, "", "a pair"):
        yield replace(hit, fix=_kept_as_metadata(hit.pointer, row.document, metadata)) if hit.fix is None else hit
    for side in ("prompt", "chosen", "rejected"):
        messages = row.document[side]
        if isinstance(messages, list):
            for index, message in enumerate(messages):
                yield from _unknown(message, MESSAGE_FIELDS, f"/{side}/{index}", "a message")


def _unknown(record: Mapping[str, Any], known: tuple[str, ...], where: str, what: str) -> Iterator[Hit]:
    for key in record:
        if key not in known:
            near = difflib.get_close_matches(key, [name for name in known if name not in record], n=1, cutoff=0.75)
            pointer, fix = f"{where}/{escaped(key)}", None
            if near:
                renamed = Edit(f"{where}/{escaped(near[0])}", record[key])
                fix = Fix(f"rename {key!r} to {near[0]!r}", (Edit(pointer, remove=True), renamed), safe=False)
            elif where:
                fix = Fix(f"remove {key!r}", (Edit(pointer, remove=True),), safe=False)
            yield Hit(
                pointer,
                f"{key!r} is not a key of {what}",
                f"did you mean {near[0]!r}?" if near else None if not where else "it is left out of the dataset",
                fix=fix,
            )


def _kept_as_metadata(pointer: str, document: Mapping[str, Any], metadata: Any) -> Fix | None:
    """Move a key under ``metadata``, where that loses nothing."""
    (key,) = (name for name in document if pointer == f"/{escaped(name)}")
    if metadata is not None and key in metadata:
        return None
    moved = Edit("/metadata", {key: document[key]}) if metadata is None else Edit("/metadata" + pointer, document[key])
    return Fix(f"move {key!r} under metadata", (Edit(pointer, remove=True), moved))
