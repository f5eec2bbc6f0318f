"""The output on the Hugging Face hub, with a data set card that says where it came from and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prefdata.conversion.work import ConvertCounts
from prefdata.errors import MissingExtraError, ServiceError, UsageError
from prefdata.reading.tables import HUB
from prefdata.version import __version__

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
COLUMNS = {
    "pairs": "`prompt`, `chosen`, `rejected` (what follows the prompt), and what is known of each pair",
    "responses": "a prompt and its candidate responses; judgments are not uploaded",
    "kto": "`prompt`, `completion`, `label`: two rows a pair",
}


@dataclass(frozen=True, slots=True)
class Card:
    """What a data set card is made from."""

    repository: str
    file: str
    to: str
    format: str
    reason: str
    inputs: tuple[str, ...]
    counts: ConvertCounts

    def text(self) -> str:
        """The card: front matter as the hub reads it, then the receipt of the conversion."""
        size = next((name for limit, name in SIZES if self.counts.pairs < limit), "n>1M")
        front: dict[str, Any] = {
            "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": self.data_path}]}],
            "size_categories": [size],
            "tags": ["preference", "dpo", "prefdata"],
        }
        names = ", ".join(f"`{name if name.startswith(HUB) else Path(name).name}`" for name in self.inputs)
        lost = [f"| {reason} | {number} |" for reason, number in self.counts.dropped.most_common()]
        columns = COLUMNS.get(self.to, f"the columns of {self.to}")
        lines = [
            f"# {self.repository.rpartition('/')[2]}",
            "",
            f"Preference data: {self.counts.pairs} pairs, made by `prefdata convert` {__version__} from {names}.",
            "",
            f"- read as: {self.format} ({self.reason})",
            f"- written as: {self.to}; {columns}",
            f"- rows read: {self.counts.rows}; preferences found: {self.counts.preferences}, kept: {self.counts.kept}",
            "",
            "## What gave no pair",
            "",
            *(["| reason | preferences |", "| --- | --- |", *lost] if lost else ["Every preference gave a pair."]),
            "",
            "## Use",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            f'rows = load_dataset("{self.repository}", split="train")',
            "```",
            "",
        ]
        return "---\n" + yaml.safe_dump(front, sort_keys=False) + "---\n\n" + "\n".join(lines)

    @property
    def data_path(self) -> str:
        """Where the data stands in the repository."""
        return f"data/train{Path(self.file).suffix or '.jsonl'}"


def check_name(repository: str) -> None:
    """Raise UsageError where ``repository`` is not owner/name."""
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise UsageError(f"{repository!r} is no hub name", "write owner/name")


def push(card: Card, output: Path, *, private: bool) -> str:
    """Upload ``output`` and its card as one commit; returns its address. Raises ServiceError."""
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise MissingExtraError("the package huggingface_hub is not installed", "pip install huggingface_hub") from None
    api = HfApi()
    try:
        made = api.create_repo(card.repository, repo_type="dataset", private=private, exist_ok=True)
        files = [
            CommitOperationAdd(card.data_path, output),
            CommitOperationAdd("README.md", card.text().encode()),
        ]
        api.create_commit(card.repository, files, repo_type="dataset", commit_message="prefdata convert")
    except Exception as error:  # noqa: BLE001 - the client raises its own errors, and those of the libraries below
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ServiceError(
            f"{output} is written, but was not uploaded: {message}",
            "log in with `hf auth login` or set HF_TOKEN, check the name and the network, and upload it again",
        ) from None
    return str(made)
