"""Between records (JSON objects that hold to a schema) and nouns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefdata.records.ids import canonical, content_id, pair_hash, side_hash
from prefdata.types import (
    Content,
    Conversation,
    Judge,
    Judgment,
    Message,
    PreferencePair,
    Prompt,
    Response,
    ResponseSet,
)

Record = Mapping[str, Any]


def message_from(record: Record) -> Message:
    """A message from its record; keys with null are absent."""
    return Message(
        role=record["role"],
        content=record.get("content"),
        tool_calls=tuple(record.get("tool_calls") or ()),
        tool_call_id=record.get("tool_call_id"),
        name=record.get("name"),
    )


def message_record(message: Message) -> dict[str, Any]:
    """A message as a record, without absent keys."""
    record: dict[str, Any] = {"role": message.role}
    if message.content is not None or not message.tool_calls:
        record["content"] = message.content
    if message.tool_calls:
        record["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        record["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        record["name"] = message.name
    return record


def content_from(value: str | list[Record]) -> Content:
    """Text stays text; a list of messages becomes a conversation."""
    return value if isinstance(value, str) else tuple(message_from(message) for message in value)


def content_record(content: Content) -> str | list[dict[str, Any]]:
    """Content as it stands in a record."""
    return content if isinstance(content, str) else [message_record(message) for message in content]


def conversation(content: Content, role: str) -> Conversation:
    """Content as messages: text becomes one message of ``role``."""
    return (Message(role, content),) if isinstance(content, str) else content


def prompt_from(record: Record) -> Prompt:
    """A prompt from a record of schema ``prompt``; without an id it gets a content hash of prompt and tools."""
    reference = record.get("reference") or ()
    tools = tuple(record.get("tools") or ())
    identity: dict[str, Any] = {"prompt": record["prompt"], **({"tools": tools} if tools else {})}
    return Prompt(
        id=record.get("id") or content_id(identity),
        content=content_from(record["prompt"]),
        reference=(reference,) if isinstance(reference, str) else tuple(reference),
        tools=tools,
        metadata=record.get("metadata") or {},
    )


def prompt_record(prompt: Prompt) -> dict[str, Any]:
    """A prompt as a record of schema ``prompt``."""
    record: dict[str, Any] = {"id": prompt.id, "prompt": content_record(prompt.content)}
    if prompt.reference:
        record["reference"] = list(prompt.reference)
    if prompt.tools:
        record["tools"] = [dict(tool) for tool in prompt.tools]
    if prompt.metadata:
        record["metadata"] = dict(prompt.metadata)
    return record


def response_set_from(record: Record) -> ResponseSet:
    """A response set from a record of schema ``response_set``.

    Responses without an id get a content hash; of identical ones the second gets ``-2`` and so on, so that each sample
    can be told apart.
    """
    prompt = prompt_from(record["prompt"])
    responses: list[Response] = []
    taken: dict[str, int] = {}
    for item in record["responses"]:
        id = item.get("id") or content_id({"response": item["response"], "model": item.get("model")})
        if "id" not in item:
            taken[id] = taken.get(id, 0) + 1
            id = id if taken[id] == 1 else f"{id}-{taken[id]}"
        responses.append(
            Response(
                id=id,
                content=content_from(item["response"]),
                model=item.get("model"),
                parameters=item.get("parameters") or {},
                usage=item.get("usage") or {},
                finish_reason=item.get("finish_reason"),
                metadata=item.get("metadata") or {},
            )
        )
    identity = {"prompt": prompt.id, "responses": [response.id for response in responses]}
    return ResponseSet(
        record.get("id") or content_id(identity), prompt, tuple(responses), tuple(record.get("failures") or ())
    )


def response_set_record(response_set: ResponseSet) -> dict[str, Any]:
    """A response set as a record of schema ``response_set``."""
    responses = []
    for response in response_set.responses:
        item: dict[str, Any] = {"id": response.id, "response": content_record(response.content)}
        for name in ("model", "finish_reason"):
            if (value := getattr(response, name)) is not None:
                item[name] = value
        for name in ("parameters", "usage", "metadata"):
            if value := getattr(response, name):
                item[name] = dict(value)
        responses.append(item)
    record = {"id": response_set.id, "prompt": prompt_record(response_set.prompt), "responses": responses}
    if response_set.failures:
        record["failures"] = [dict(failure) for failure in response_set.failures]
    return record


def judgment_from(record: Record) -> Judgment:
    """A judgment from a record of schema ``judgment``; raises ValueError where the ranking misses a shown response."""
    judge = record["judge"]
    ranking = record["ranking"]
    return Judgment(
        id=record["id"],
        response_set_id=record["response_set_id"],
        shown=tuple(record["shown"]),
        ranking=None if ranking is None else tuple(tuple(tier) for tier in ranking),
        judge=Judge(judge["kind"], judge["name"], judge.get("version"), judge.get("template_sha256")),
        flags=tuple(record.get("flags") or ()),
        strength=record.get("strength"),
        probability=record.get("probability"),
        scores=record.get("scores") or {},
        criterion=record.get("criterion"),
        ratings=record.get("ratings") or {},
        rationale=record.get("rationale"),
        usage=record.get("usage") or {},
        raw=record.get("raw"),
        order=record.get("order"),
        created_at=record.get("created_at"),
        metadata=record.get("metadata") or {},
    )


def judgment_record(judgment: Judgment) -> dict[str, Any]:
    """A judgment as a record of schema ``judgment``, without absent keys."""
    judge = {"kind": judgment.judge.kind, "name": judgment.judge.name}
    if judgment.judge.version is not None:
        judge["version"] = judgment.judge.version
    if judgment.judge.template_sha256 is not None:
        judge["template_sha256"] = judgment.judge.template_sha256
    record: dict[str, Any] = {
        "id": judgment.id,
        "response_set_id": judgment.response_set_id,
        "shown": list(judgment.shown),
        "ranking": None if judgment.ranking is None else [list(tier) for tier in judgment.ranking],
        "judge": judge,
    }
    if judgment.flags:
        record["flags"] = list(judgment.flags)
    for name in ("strength", "probability", "criterion", "rationale", "raw", "order", "created_at"):
        if (value := getattr(judgment, name)) is not None:
            record[name] = value
    for name in ("scores", "usage", "metadata"):
        if value := getattr(judgment, name):
            record[name] = dict(value)
    if judgment.ratings:
        record["ratings"] = {id: dict(by_criterion) for id, by_criterion in judgment.ratings.items()}
    return record


def pair_from(record: Record) -> PreferencePair:
    """A pair from a canonical record of schema ``preference_pair``; raises ValueError where both sides are the same."""
    return PreferencePair(
        id=record.get("id") or pair_id(record),
        prompt=content_from(record["prompt"]),
        chosen=content_from(record["chosen"]),
        rejected=content_from(record["rejected"]),
        tools=tuple(record.get("tools") or ()),
        margin=record.get("margin"),
        probability=record.get("probability"),
        judgment_ids=tuple(record.get("judgment_ids") or ()),
        source=record.get("source"),
        metadata=record.get("metadata") or {},
    )


def pair_id(record: Record) -> str:
    """Content hash of what trains: prompt, chosen, rejected and tools (``prefdata.records.ids.pair_hash``)."""
    prompt, chosen, rejected = (side_hash(record[name]) for name in ("prompt", "chosen", "rejected"))
    return pair_hash(prompt, chosen, rejected, canonical(record["tools"]) if record.get("tools") else b"")


def pair_record(pair: PreferencePair) -> dict[str, Any]:
    """A pair as a record of schema ``preference_pair``, without absent keys."""
    record: dict[str, Any] = {"id": pair.id}
    for name in ("prompt", "chosen", "rejected"):
        record[name] = content_record(getattr(pair, name))
    if pair.tools:
        record["tools"] = [dict(tool) for tool in pair.tools]
    for name in ("margin", "probability"):
        if (value := getattr(pair, name)) is not None:
            record[name] = value
    if pair.judgment_ids:
        record["judgment_ids"] = list(pair.judgment_ids)
    if pair.source is not None:
        record["source"] = pair.source
    if pair.metadata:
        record["metadata"] = dict(pair.metadata)
    return record
