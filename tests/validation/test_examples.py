"""The example files of every schema, through the command that reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import prefdata
from prefdata.records.dataset import manifest_sha256
from tests.here import Finished, run_here
from tests.servers import Server, completion
from tests.validation.rows import read

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
Capture = pytest.CaptureFixture[str]


def examples(schema: str, kind: str) -> list[Path]:
    return sorted((EXAMPLES / schema / kind).iterdir())


def each(schema: str, kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", examples(schema, kind), ids=lambda path: path.stem)


def assert_clear(done: Finished) -> None:
    """An expected failure: one line that says what is wrong and at most one that helps."""
    assert done.err.startswith("error: ")
    assert len(done.err.strip().split("\n")) <= 2
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "schema", ["prompt", "response_set", "judgment", "preference_pair", "judge_template", "manifest"]
)
def test_every_schema_has_examples_of_both_kinds(schema: str) -> None:
    assert len(examples(schema, "valid")) >= 2
    assert len(examples(schema, "invalid")) >= 6


@each("preference_pair", "valid")
def test_valid_pairs(path: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_here(capfd, "validate", path, "-o", tmp_path / "out", "--fail-on", "warning")
    assert (done.code, done.err) == (0, "")
    assert prefdata.open_dataset(tmp_path / "out").rows_in("train") == len(path.read_text().strip().split("\n"))


@each("preference_pair", "invalid")
def test_invalid_pairs_are_refused_under_the_code_in_the_files_name(path: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_here(capfd, "validate", path, "-o", tmp_path / "out")
    assert done.code == 1
    code = path.name[:6].upper()
    assert f": {code} " in done.out
    refused = read(tmp_path / "out" / "quarantine.jsonl")
    found = {finding["code"] for record in refused for finding in record["findings"] if finding["severity"] == "error"}
    assert found == {code}


def test_the_pair_examples_reach_most_rules_that_refuse_rows() -> None:
    from prefdata.validation.registry import all_rules

    reached = {path.name[:6].upper() for path in examples("preference_pair", "invalid")}
    refusing = {rule.code for rule in all_rules() if rule.action == "quarantine" and rule.flag is None}
    assert refusing - reached == {"SYN002", "SYN009"}, "not UTF-8 and overlong lines are no text files"


@each("prompt", "valid")
def test_valid_prompts(path: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Server(completion("Paris.")) as server:
        out = tmp_path / "responses.jsonl"
        done = run_here(capfd, "collect", path, "-o", out, "--model", f"m@{server.url}", "-n", "1")
    assert done.code == 0, done.err
    assert len(read(out)) == server.count == len(path.read_text().strip().split("\n"))


@each("prompt", "invalid")
def test_invalid_prompts(path: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Server(completion("Paris.")) as server:
        out = tmp_path / "responses.jsonl"
        done = run_here(capfd, "collect", path, "-o", out, "--model", f"m@{server.url}", "-n", "1")
    assert done.code == 2
    assert_clear(done)
    assert server.count == 0, "a call was paid for a line that is no prompt"


@each("response_set", "valid")
def test_valid_response_sets(path: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_here(capfd, "judge", path, "-o", tmp_path / "pairs.jsonl", "--judge", "rule:length:0-10")
    assert done.code == 0, done.err
    assert all(record["reason"] != "invalid-line" for record in read(tmp_path / "pairs.dropped.jsonl"))


@each("response_set", "invalid")
def test_invalid_response_sets(path: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_here(capfd, "judge", path, "-o", tmp_path / "pairs.jsonl", "--judge", "rule:length:0-10")
    assert done.code == 2
    assert_clear(done)


@each("judgment", "valid")
def test_valid_judgments(path: Path, tmp_path: Path, capfd: Capture) -> None:
    responses = EXAMPLES / "response_set" / "valid" / "text.jsonl"
    done = run_here(capfd, "pair", responses, path, "-o", tmp_path / "pairs.jsonl")
    assert done.code == 0, done.err
    assert len(read(tmp_path / "pairs.jsonl")) + len(read(tmp_path / "pairs.dropped.jsonl")) == 1


@each("judgment", "invalid")
def test_invalid_judgments(path: Path, tmp_path: Path, capfd: Capture) -> None:
    responses = EXAMPLES / "response_set" / "valid" / "text.jsonl"
    done = run_here(capfd, "pair", responses, path, "-o", tmp_path / "pairs.jsonl")
    assert done.code == 2
    assert_clear(done)
    assert path.name in done.err
    assert not (tmp_path / "pairs.jsonl").exists()


def judged_by(server: Server, template: Path, folder: Path, capfd: Capture) -> Finished:
    responses = EXAMPLES / "response_set" / "valid" / "text.jsonl"
    judge = ("--judge", f"llm:m@{server.url}", "--template", template)
    return run_here(capfd, "judge", responses, "-o", folder / "pairs.jsonl", *judge)


ANSWERS = {"regex": "[[A]]", "json": '{"better": "A"}', "logprobs": "A"}


@each("judge_template", "valid")
def test_valid_templates(path: Path, tmp_path: Path, capfd: Capture) -> None:
    with Server(completion(ANSWERS[path.stem])) as server:
        done = judged_by(server, path, tmp_path, capfd)
    assert done.code == 0, done.err
    assert server.count == 2
    assert "The capital of France is Paris." in str(server.requests[0]["messages"])


@each("judge_template", "invalid")
def test_invalid_templates(path: Path, tmp_path: Path, capfd: Capture) -> None:
    with Server(completion("[[A]]")) as server:
        done = judged_by(server, path, tmp_path, capfd)
    assert done.code == 2
    assert_clear(done)
    assert server.count == 0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    shutil.copy(EXAMPLES / "preference_pair" / "valid" / "strings.jsonl", folder)
    prefdata.validate(folder / "strings.jsonl", output=folder / "dataset")
    return folder / "dataset"


def with_manifest(dataset: Path, example: Path, folder: Path) -> Path:
    """The dataset under the example's manifest, sealed; its shards' hashes are put in where the example has any."""
    copy = folder / "dataset"
    shutil.copytree(dataset, copy)
    real = json.loads((dataset / "manifest.json").read_text())
    manifest = json.loads(example.read_text())
    for shard, ours in zip(manifest["splits"]["train"]["shards"], real["splits"]["train"]["shards"], strict=True):
        shard |= {key: value for key, value in ours.items() if key in shard}
    manifest["sha256"] = manifest_sha256(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


@each("manifest", "valid")
def test_valid_manifests(path: Path, dataset: Path, tmp_path: Path, capfd: Capture) -> None:
    copy = with_manifest(dataset, path, tmp_path)
    id = next(prefdata.open_dataset(copy).rows())["id"]
    done = run_here(capfd, "explain", copy, id)
    assert (done.code, done.err) == (0, "")
    assert "capital of France" in done.out


@each("manifest", "invalid")
def test_invalid_manifests(path: Path, dataset: Path, tmp_path: Path, capfd: Capture) -> None:
    copy = with_manifest(dataset, path, tmp_path)
    for command in (["explain", copy, "id"], ["train", "dpo", copy, "--model", tmp_path, "-o", tmp_path / "adapter"]):
        done = run_here(capfd, *command)
        assert done.code == 3
        assert_clear(done)
        assert "manifest" in done.err
        assert "prefdata validate" in done.err
