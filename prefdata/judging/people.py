"""What people said of some of the response sets, on disk, and the report of how judges agree with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefdata.errors import InputError
from prefdata.pairing.agree import agree
from prefdata.pairing.agreement import Agreement
from prefdata.pairing.index import JudgmentIndex
from prefdata.records.codec import judgment_record, response_set_record
from prefdata.records.rows import line
from prefdata.records.sources import sources
from prefdata.types import Judgment, ResponseSet


class People:
    """People's judgments by response set, and what judges said of the same sets."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.name = str(path)
        self._index = JudgmentIndex(folder / "people.sqlite")
        bad = list(self._index.load(sources([self.name])))
        if bad:
            raise InputError(f"{path} line {bad[0].line}: {bad[0].problem}", "mend it: each line must be a judgment")
        self._ids = set(self._index.response_set_ids())
        self._judged, self._responses = folder / "judged.jsonl", folder / "responses.jsonl"

    def holds(self, response_set_id: str) -> bool:
        """Whether people judged this set."""
        return response_set_id in self._ids

    def of(self, response_set: ResponseSet) -> list[Judgment]:
        """People's judgments of it, of responses that it has."""
        known = {response.id for response in response_set.responses}
        found = [placed.judgment for placed in self._index.of(response_set.id)]
        return [judgment for judgment in found if known.issuperset(judgment.shown)]

    def keep(self, response_set: ResponseSet, judgments: Sequence[Judgment]) -> None:
        """What the judges said of a set, for ``agreement``."""
        with self._judged.open("ab") as judged, self._responses.open("ab") as responses:
            judged.writelines(line(judgment_record(judgment)) for judgment in judgments)
            responses.write(line(response_set_record(response_set)))

    def agreement(self, seed: int) -> Agreement:
        """The report of ``prefdata agree``, with people as gold."""
        return agree(self._judged, self.name, self._responses, seed=seed)

    def close(self) -> None:
        self._index.__exit__(None, None, None)


@contextmanager
def people(path: str | Path | None) -> Iterator[People | None]:
    """People's judgments, indexed in a folder of their own while they are needed; ``None`` for none."""
    if path is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="prefdata-") as folder:
        found = People(Path(path), Path(folder))
        try:
            yield found
        finally:
            found.close()
