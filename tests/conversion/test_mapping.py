"""Files in no known format, by a map of their columns; and the mistakes that one makes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

import prefdata as api
from prefdata.errors import PrefdataError
from tests.here import run_here

ROWS = [{"question": f"Q{n}?", "answer_a": f"good {n}", "answer_b": f"bad {n}", "topic": "sums"} for n in range(3)]
MAP = {"prompt": "question", "chosen": "answer_a", "rejected": "answer_b"}


def written(path: Path, rows: Any) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def test_map_makes_pairs_and_keeps_the_rest(tmp_path: Path) -> None:
    result = api.convert(written(tmp_path / "f.jsonl", ROWS), columns=MAP)
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in result.pairs][2] == ("Q2?", "good 2", "bad 2")
    assert result.pairs[0].metadata["fields"] == {"topic": "sums"}
    assert result.reason == "map: prompt=question, chosen=answer_a, rejected=answer_b"
    nested = [{"q": {"text": row["question"]}, "sides": {"x": row["answer_a"], "y": row["answer_b"]}} for row in ROWS]
    reached = api.convert(
        written(tmp_path / "n.jsonl", nested), columns={"prompt": "q.text", "chosen": "sides.x", "rejected": "sides.y"}
    )
    assert [pair.chosen for pair in reached.pairs] == ["good 0", "good 1", "good 2"]


def test_unpaired_files_are_mapped_too(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("ask,said,good\nSum?,WORSE,false\nSum?,BETTER,true\nAlone?,x,1\n")
    result = api.convert(path, columns={"prompt": "ask", "completion": "said", "label": "good"})
    assert [(pair.chosen, pair.rejected) for pair in result.pairs] == [("BETTER", "WORSE")]
    assert dict(result.counts.dropped) == {"unpaired": 1}


def test_scores_of_a_csv_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    path.write_text("q\tup\tdown\tgap\nSum?\tBETTER\tWORSE\t1.5\n")
    (pair,) = api.convert(path, columns={"prompt": "q", "chosen": "up", "rejected": "down", "margin": "gap"}).pairs
    assert (pair.chosen, pair.margin) == ("BETTER", 1.5)


def test_map_is_saved_and_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, kept = written(tmp_path / "f.jsonl", ROWS), tmp_path / "map.yaml"
    flags = [flag for ours, column in MAP.items() for flag in ("--map", f"{ours}={column}")]
    done = run_here(capfd, "convert", source, "-o", tmp_path / "one.jsonl", *flags, "--save-map", kept)
    assert done.code == 0, done.err
    assert kept.read_text() == "prompt: question\nchosen: answer_a\nrejected: answer_b\n"
    done = run_here(capfd, "convert", source, "-o", tmp_path / "two.jsonl", "--map-file", kept)
    assert done.code == 0, done.err
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    over = ["--map-file", kept, "--map", "rejected=topic"]
    done = run_here(capfd, "convert", source, "-o", tmp_path / "three.jsonl", *over)
    assert orjson.loads((tmp_path / "three.jsonl").read_bytes().splitlines()[0])["rejected"] == "sums"


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("none/map.yaml", "does not exist"),
        (".", "is a folder"),
        ("f.jsonl", "is the input too"),
        ("o.jsonl", "same path"),
    ],
)
def test_a_map_that_cannot_be_saved_is_told_before_anything_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kept: str, said: str
) -> None:
    source = written(tmp_path / "f.jsonl", ROWS)
    before = source.read_bytes()
    flags = [flag for ours, column in MAP.items() for flag in ("--map", f"{ours}={column}")]
    done = run_here(capfd, "convert", source, "-o", tmp_path / "o.jsonl", *flags, "--save-map", tmp_path / kept)
    assert (done.code, said in done.err) == (2, True), done.err
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        (["prompt=question", "chosen=answer_a", "rejected=answer_c"], "has no column 'answer_c' (mapped to rejected)"),
        (["question=prompt", "chosen=answer_a", "rejected=answer_b"], "--map question=prompt is the wrong way round"),
        (["prompt=question", "chosen=answer_a"], "the map has no rejected"),
        (["chosen=answer_a", "rejected=answer_a"], "uses the column 'answer_a' for chosen and rejected"),
        (["prompt=question", "best=answer_a"], "there is no 'best' in a pair"),
        (["prompt"], "is no OURS=COLUMN"),
        (["prompt=question", "prompt=topic"], "names 'prompt' twice"),
        (["prompt=question", "completion=answer_a"], "the map has no label"),
    ],
)
def test_mistakes_get_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], maps: list[str], said: str
) -> None:
    source = written(tmp_path / "f.jsonl", ROWS)
    flags = [flag for one in maps for flag in ("--map", one)]
    done = run_here(capfd, "convert", source, "-o", tmp_path / "out.jsonl", *flags)
    assert (done.code, said in done.err) == (2, True), done.err
    assert len(done.err.splitlines()) == 2
    assert not (tmp_path / "out.jsonl").exists()


def test_a_near_name_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(PrefdataError) as caught:
        api.convert(written(tmp_path / "f.jsonl", ROWS), columns={**MAP, "prompt": "questoin"})
    assert caught.value.hint == "did you mean 'question'?"


def test_swapped_sides_are_refused_unless_they_are_meant(tmp_path: Path) -> None:
    rows = [{"q": "Sum?", "preferred": "BETTER", "dispreferred": "WORSE", "s1": 9, "s2": 3}]
    source = written(tmp_path / "f.jsonl", rows)
    by_name = {"prompt": "q", "chosen": "dispreferred", "rejected": "preferred"}
    with pytest.raises(PrefdataError, match="look swapped: chosen is the column 'dispreferred'"):
        api.convert(source, columns=by_name)
    assert api.convert(source, columns=by_name, as_mapped=True).pairs[0].chosen == "WORSE"
    right = {"prompt": "q", "chosen": "preferred", "rejected": "dispreferred"}
    assert api.convert(source, columns=right).pairs[0].chosen == "BETTER"
    with pytest.raises(PrefdataError, match="the chosen score is the lower one in 1 of 1 rows"):
        api.convert(source, columns={**right, "score_chosen": "s2", "score_rejected": "s1"})


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is not YAML"), ("- 1", "must hold columns by name"), (None, "No such file")]
)
def test_broken_map_files(tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None, said: str) -> None:
    source, path = written(tmp_path / "f.jsonl", ROWS), tmp_path / "map.yaml"
    if text is not None:
        path.write_text(text)
    done = run_here(capfd, "convert", source, "-o", tmp_path / "out.jsonl", "--map-file", path)
    assert (done.code, said in done.err) == (2, True), done.err


def test_from_and_map_say_two_things(tmp_path: Path) -> None:
    with pytest.raises(PrefdataError, match="say two things"):
        api.convert(written(tmp_path / "f.jsonl", ROWS), columns=MAP, from_="trl")
