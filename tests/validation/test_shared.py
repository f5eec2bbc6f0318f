"""Public data, with the figures that its README gives."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

import prefdata as library
from tests.conftest import Run
from tests.validation.rows import read, write

pytestmark = pytest.mark.shared
SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def hh_messages(transcript: str) -> list[dict[str, str]]:
    found = re.split(r"\n\n(Human|Assistant):", transcript)[1:]
    return [{"role": SPEAKERS[who], "content": said.strip()} for who, said in zip(found[::2], found[1::2], strict=True)]


def hh_pair(row: dict[str, str]) -> dict[str, Any]:
    """Chosen and rejected as whole conversations, the shared context as the prompt."""
    chosen, rejected = hh_messages(row["chosen"]), hh_messages(row["rejected"])
    shared = 0
    for one, two in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != two:
            break
        shared += 1
    while shared and chosen[shared - 1]["role"] == "assistant":
        shared -= 1
    return {"prompt": chosen[:shared], "chosen": chosen, "rejected": rejected}


@pytest.fixture(scope="module")
def hh(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with gzip.open(shared_data / "hh_rlhf_harmless_base.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [hh_pair(json.loads(line)) for line in file]
    return write(tmp_path_factory.mktemp("hh") / "hh.jsonl", *rows)


def test_hh_keeps_all_but_the_four_rows_with_an_empty_final_reply(hh: Path, prefdata: Run, tmp_path: Path) -> None:
    done = prefdata("validate", hh, "-o", tmp_path / "dataset", "--format", "json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["counts"] == {
        "lines": 1156,
        "kept": 1152,
        "quarantined": 4,
        "dropped": 0,
        "blank": 0,
        "quarantined_by_code": {"PRF002": 4},
        "dropped_by_code": {},
    }
    empty = [
        number
        for number, line in enumerate(hh.read_text(encoding="utf-8").split("\n")[:-1], start=1)
        if any(not json.loads(line)[side][-1]["content"] for side in ("chosen", "rejected"))
    ]
    quarantine = read(tmp_path / "dataset" / "quarantine.jsonl")
    assert [record["line"] for record in quarantine] == empty
    handle = library.open_dataset(tmp_path / "dataset")
    originals = hh.read_text(encoding="utf-8").split("\n")
    for row in handle.rows():
        whole = json.loads(originals[row["source_line"] - 1])
        assert row["prompt"] + row["chosen"] == whole["chosen"]
        assert row["prompt"] + row["rejected"] == whole["rejected"]


def test_hh_tells_of_the_four_sides_with_a_repeated_speaker_and_keeps_them(hh: Path) -> None:
    sides = 0
    for line in hh.read_text(encoding="utf-8").split("\n")[:-1]:
        row = json.loads(line)
        for side in ("chosen", "rejected"):
            roles = [message["role"] for message in row[side]]
            sides += any(one == two for one, two in itertools.pairwise(roles))
    assert sides == 4
    result = library.validate(hh, ignore=["PRF002"])
    repeated = next(total for total in result.totals if total.code == "CNV002")
    assert repeated.severity == "warning"
    assert 1 <= repeated.rows <= sides


def test_pandalms_empty_and_boolean_responses_are_refused_by_code(shared_data: Path, tmp_path: Path) -> None:
    items = json.loads((shared_data / "pandalm_testset_v1.json").read_text(encoding="utf-8"))
    rows = [
        {
            "prompt": f"{item['instruction']}\n{item['input']}",
            "chosen": item["response1"],
            "rejected": item["response2"],
        }
        for item in items
    ]
    boolean = {n for n, row in enumerate(rows, 1) if bool in (type(row["chosen"]), type(row["rejected"]))}
    result = library.validate(write(tmp_path / "in.jsonl", *rows), output=tmp_path / "out")
    refused = {
        record["line"]: {f["code"] for f in record["findings"]}
        for record in read(tmp_path / "out" / "quarantine.jsonl")
    }
    assert {line for line, codes in refused.items() if "SCH002" in codes} == boolean
    empty = {n for n, row in enumerate(rows, 1) if "" in (row["chosen"], row["rejected"])} - boolean
    assert empty <= {line for line, codes in refused.items() if "PRF002" in codes}
    assert result.counts.lines == len(items)
