"""The ledger: what was written is found again, whatever happened to the process that wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefdata.endpoint.ledger import Ledger
from prefdata.records.ids import content_id

URL = "http://h/v1"


def record(name: str, **outcome: Any) -> dict[str, Any]:
    return {"key": content_id(name), "endpoint": "m", "base_url": URL, "model": "m", **(outcome or {"response": name})}


FAILED = {"failure": {"reason": "timeout", "detail": "no"}}


def test_records_are_found_by_key_in_this_run_and_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        for name in ("a", "b", "é\u2028"):
            ledger.append(record(name))
            assert ledger.get(content_id(name)) == record(name)
    with Ledger(path) as ledger:
        assert len(ledger) == 3
        assert ledger.get(content_id("é\u2028")) == record("é\u2028")
        assert ledger.get(content_id("c")) is None
        assert ledger.standing(content_id("c")) is None
        assert ledger.answered == {(URL, "m")}


def test_an_answer_replaces_a_failure_and_never_the_other_way_round(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.append(record("a", **FAILED))
        assert ledger.standing(content_id("a")) == "failed"
        assert ledger.answered == set()
        ledger.append(record("a"))
        ledger.append(record("b"))
        ledger.append(record("b", **FAILED))
        assert [ledger.standing(content_id(name)) for name in "ab"] == ["answered", "answered"]
    with Ledger(path) as ledger:
        assert [ledger.standing(content_id(name)) for name in "ab"] == ["answered", "answered"]
        assert ledger.get(content_id("b")) == record("b")


def test_a_torn_line_is_cut_off_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = json.dumps(record("a")).encode() + b"\n"
    torn = json.dumps(record("b")).encode() + b"\n"
    for length in (1, 20, len(torn) - 1):
        path.write_bytes(whole + torn[:length])
        with Ledger(path) as ledger:
            assert len(ledger) == 1
            ledger.append(record("c"))
            assert ledger.get(content_id("c")) == record("c")
        with Ledger(path) as ledger:
            assert len(ledger) == 2
            assert ledger.damaged == 0


def test_a_damaged_line_costs_its_own_call_only(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = [json.dumps(record(name)) for name in "abc"]
    path.write_text("\n".join([lines[0], lines[1][:40], '{"no": "key"}', lines[2]]) + "\n")
    with Ledger(path) as ledger:
        assert ledger.damaged == 2
        assert [ledger.standing(content_id(name)) for name in "abc"] == ["answered", None, "answered"]
        assert ledger.get(content_id("c")) == record("c")
