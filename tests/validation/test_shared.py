"""Public data through the real converters, with the figures that its README gives."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import prefdata as library
from tests.conftest import Run
from tests.validation.rows import read, write

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def hh(shared_data: Path, prefdata: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = tmp_path_factory.mktemp("hh") / "hh.jsonl"
    done = prefdata("convert", shared_data / "hh_rlhf_harmless_base.jsonl.gz", "-o", pairs, "--from", "hh")
    assert done.returncode == 0, done.stderr
    return pairs


def test_hh_keeps_all_but_the_four_rows_with_an_empty_final_reply(hh: Path, prefdata: Run, tmp_path: Path) -> None:
    done = prefdata("validate", hh, "-o", tmp_path / "dataset", "--format", "json")
    assert done.returncode == 1
    counts = json.loads(done.stdout)["counts"]
    assert counts == {
        "lines": 1156,
        "kept": 1152,
        "quarantined": 4,
        "dropped": 0,
        "blank": 0,
        "quarantined_by_code": {"PRF002": 4},
        "dropped_by_code": {},
    }
    pairs = read(hh)
    empty = [
        n for n, row in enumerate(pairs, 1) if not all(row[side][-1]["content"] for side in ("chosen", "rejected"))
    ]
    quarantine = read(tmp_path / "dataset" / "quarantine.jsonl")
    assert [record["line"] for record in quarantine] == empty
    for row in library.open_dataset(tmp_path / "dataset").rows():
        given = pairs[row["source_line"] - 1]
        assert {key: row[key] for key in ("id", "prompt", "chosen", "rejected")} == {
            key: given[key] for key in ("id", "prompt", "chosen", "rejected")
        }


def test_hh_tells_of_the_four_sides_with_a_repeated_speaker_and_keeps_them(hh: Path) -> None:
    repeated = []
    for number, row in enumerate(read(hh), 1):
        for side in ("chosen", "rejected"):
            roles = [message["role"] for message in row["prompt"] + row[side]]
            repeated += [number] * any(one == two for one, two in itertools.pairwise(roles))
    assert len(repeated) == 4
    result = library.validate(hh)
    told = [finding for finding in result.findings if finding.code == "CNV002"]
    assert {finding.severity for finding in told} == {"warning"}
    assert {finding.line for finding in told} == set(repeated)


def test_pandalms_empty_and_boolean_responses_are_refused_by_code(shared_data: Path, tmp_path: Path) -> None:
    """As a loader without a converter would find them: 54 rows with an empty response, 6 with a boolean."""
    items = json.loads((shared_data / "pandalm_testset_v1.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = [
        {
            "prompt": f"{item['instruction']}\n{item['input']}",
            "chosen": item["response1"],
            "rejected": item["response2"],
        }
        for item in items
    ]
    library.validate(write(tmp_path / "in.jsonl", *rows), output=tmp_path / "out", ignore=["PRF003", "PRF004"])
    quarantine = read(tmp_path / "out" / "quarantine.jsonl")
    refused = {record["line"]: {finding["code"] for finding in record["findings"]} for record in quarantine}
    sides = [(row["chosen"], row["rejected"]) for row in rows]
    boolean = {number for number, pair in enumerate(sides, 1) if bool in set(map(type, pair))}
    empty = {number for number, pair in enumerate(sides, 1) if "" in pair}
    assert (len(boolean), len(empty)) == (6, 54)
    assert {line for line, codes in refused.items() if "SCH002" in codes} == boolean
    assert {line for line, codes in refused.items() if "PRF002" in codes} == empty
    assert all(codes <= {"SCH002", "PRF001", "PRF002"} for codes in refused.values())


@pytest.mark.parametrize(
    ("name", "refused"), [("pandalm_testset_v1.json", {"PRF002", "PRF012"}), ("oasst_en_100_trees.jsonl", set())]
)
def test_converted_data_is_refused_for_known_reasons_only(
    name: str, refused: set[str], shared_data: Path, prefdata: Run, tmp_path: Path
) -> None:
    prefdata("convert", shared_data / name, "-o", tmp_path / "pairs.jsonl")
    result = library.validate(tmp_path / "pairs.jsonl", output=tmp_path / "out")
    assert set(result.counts.quarantined_by_code) == refused
    assert result.counts.kept > 200
