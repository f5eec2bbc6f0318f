"""Open-Assistant's trees before a person of ours: imported, ranked through HTTP, exported as they were ranked there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import prefdata as library
from tests.annotation.conftest import Serve
from tests.annotation.projects import read
from tests.annotation.test_server import submit
from tests.conftest import Run


@pytest.mark.shared
def test_open_assistants_ranked_groups(serve: Serve, shared_data: Path, tmp_path: Path, prefdata: Run) -> None:
    source = shared_data / "oasst_en_100_trees.jsonl"
    done = prefdata("convert", source, "--to", "responses", "-o", tmp_path / "theirs.jsonl")
    assert done.returncode in (0, 1), done.stderr
    sets = read(tmp_path / "theirs.jsonl")
    ranked = {
        judgment["response_set_id"]: judgment["ranking"]
        for judgment in read(tmp_path / "theirs.judgments.jsonl")
        if judgment["ranking"] is not None
    }
    whole = [one for one in sets if len(one["responses"]) == sum(map(len, ranked.get(one["id"], [])))]
    assert len(whole) == 211
    with serve(whole, "--annotator", "ann") as served:
        ann = served.client()
        page = ann.page
        count = 0
        while 'id="answer"' in page:
            item = whole[int(re.search(r'data-item="(\d+)"', page)[1]) - 1]  # type: ignore[index]
            raw = json.loads(re.search(r'id="raw">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
            texts = {response["id"]: response["response"] for response in item["responses"]}
            left = list(range(len(raw["responses"])))
            tiers = []
            for tier in ranked[item["id"]]:
                tiers.append([])
                for id in tier:
                    content = texts[id] if isinstance(texts[id], str) else texts[id][-1]["content"]
                    place = next(place for place in left if raw["responses"][place][-1] == content)
                    left.remove(place)
                    tiers[-1].append(place)
            reply = submit(ann, page, verdict="ranked", tiers=tiers)
            assert reply.status_code == 200, reply.text
            page = reply.json()["next"]
            count += 1
        assert count == 211
    exported = prefdata("annotate", "export", served.folder / "s.db", "-o", tmp_path / "ours.jsonl")
    assert exported.returncode == 0, exported.stderr
    ours = {judgment["response_set_id"]: judgment["ranking"] for judgment in read(tmp_path / "ours.jsonl")}
    assert ours == {one["id"]: ranked[one["id"]] for one in whole}
    theirs = library.pair(served.folder / "responses.jsonl", tmp_path / "theirs.judgments.jsonl", strategy="all")
    mine = library.pair(served.folder / "responses.jsonl", tmp_path / "ours.jsonl", strategy="all")
    assert [(pair.chosen, pair.rejected) for pair in mine.pairs] == [(p.chosen, p.rejected) for p in theirs.pairs]
