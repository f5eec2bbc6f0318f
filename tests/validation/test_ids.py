"""A row's id is the hash of its content, whichever way it is reached, and tells apart what differs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata import schema
from prefdata.records.arrow import MESSAGES, decoded_message, messages_array, text_array
from prefdata.records.codec import pair_from, pair_id, pair_record
from prefdata.records.ids import message_hash, side_hash
from prefdata.validation.batch import ChatBatch, TextBatch
from prefdata.validation.columns import columns_of
from tests.validation.rows import chat, chat_pairs, conversations, text, text_pairs, turns

is_valid = schema.validator("preference_pair").is_valid


@settings(deadline=None)
@given(st.lists(text_pairs, min_size=1, max_size=4) | st.lists(chat_pairs(), min_size=1, max_size=4))
def test_columns_and_single_records_give_one_id(rows: list[dict[str, Any]]) -> None:
    rows = [{name: row[name] for name in row if name != "id"} for row in rows if is_valid(row)]
    texts = [row for row in rows if isinstance(row["prompt"], str)]
    for some, kind in ((texts, TextBatch), ([row for row in rows if row not in texts], ChatBatch)):
        if not some:
            continue
        batch = kind(some)
        for index, id in enumerate(columns_of(batch, None)[0]["id"]):
            row = batch.row(index)
            record = {**row.document, "prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
            assert id == pair_id(record)
            if row.chosen != row.rejected:
                assert id == pair_id(pair_record(pair_from(record)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (text("a", "bc", "d"), text("ab", "c", "d")),
        (text("a", "b", "c"), text("a", "c", "b")),
        (text("a"), chat(turns("a"))),
        (chat(turns("a", "b")), chat(turns("ab"))),
        (chat([{"role": "user", "content": "a"}]), chat([{"role": "system", "content": "a"}])),
        (chat(turns("a", "b", "c")), chat(turns("a"), turns("b", "c", first="assistant"))),
        (text("a"), text("a", tools=[{"name": "f"}])),
        (chat([{"role": "user", "content": "a", "name": "n"}]), chat([{"role": "user", "content": "a"}])),
    ],
)
def test_what_differs_has_another_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert pair_id(one) != pair_id(other)


def test_metadata_and_scores_do_not_change_an_id() -> None:
    assert pair_id(text("a")) == pair_id(text("a", metadata={"x": 1}, score_chosen=2, source="s"))


@given(conversations)
def test_a_conversation_is_hashed_message_by_message(messages: list[dict[str, Any]]) -> None:
    assert len(side_hash(messages)) == 16
    assert all(len(message_hash(message)) == 17 for message in messages)


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=5), max_size=20))
def test_texts_are_stored_as_arrow_would_store_them(texts: list[str | None]) -> None:
    for given_as in (texts, [None if one is None else one.encode() for one in texts]):
        array = text_array(given_as)
        array.validate(full=True)
        assert array.equals(pa.array(texts, pa.string()))


@settings(deadline=None)
@given(st.lists(conversations, max_size=5))
def test_conversations_are_stored_as_arrow_would_store_them(given_: list[list[dict[str, Any]]]) -> None:
    array = messages_array(given_)
    array.validate(full=True)
    assert array.type == MESSAGES
    assert [len(messages) for messages in array.to_pylist()] == [len(messages) for messages in given_]
    for stored, messages in zip(array.to_pylist(), given_, strict=True):
        for one, message in zip(stored, messages, strict=True):
            assert decoded_message(one).get("content") == message.get("content")
            assert (one["role"], one["name"]) == (message["role"], message.get("name"))
