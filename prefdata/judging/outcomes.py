"""What the ledger's records of calls say: answers, failures, and what they used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefdata.endpoint.calls import Choice, choices_of
from prefdata.judging.judges import Record


def failure_of(records: Sequence[Record]) -> str | None:
    """Why the first of the calls that failed did so."""
    failures = (record["failure"] for record in records if "failure" in record)
    return next((f"{failure['reason']}: {failure['detail']}" for failure in failures), None)


def choice_of(record: Record) -> Choice | None:
    """The answer in a record; ``None`` where the call failed."""
    return choices_of(record["response"])[0] if "response" in record else None


def raw_of(records: Sequence[Record]) -> str | None:
    """The texts of all answers."""
    choices = [choice for record in records if (choice := choice_of(record)) is not None]
    return "\n\n---\n\n".join(choice.text or choice.refusal or "" for choice in choices) or None


def usage_of(records: Sequence[Record]) -> dict[str, Any]:
    """The usage of one call as the server gave it; of several the sum of their tokens."""
    usages: list[Mapping[str, Any]] = [use for record in records if isinstance(use := record.get("usage"), dict)]
    if len(usages) == 1:
        return dict(usages[0])
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    sums = {name: sum(use[name] for use in usages if isinstance(use.get(name), int)) for name in names}
    return {name: number for name, number in sums.items() if number}
