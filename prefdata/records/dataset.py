"""A validated dataset on disk: its manifest, and the check that nothing changed since it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from prefdata.errors import DatasetError
from prefdata.records.arrow import Form, decoded_rows
from prefdata.records.ids import canonical, file_sha256
from prefdata.records.output import write_json
from prefdata.schema import violations

MANIFEST = "manifest.json"
SCHEMA_ID = "urn:prefdata:schema:manifest:1"


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the manifest's canonical JSON without its own ``sha256`` field: the hash of the dataset."""
    import hashlib

    return hashlib.sha256(canonical({key: value for key, value in manifest.items() if key != "sha256"})).hexdigest()


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``manifest`` with its own hash, atomically; it is the last file of a dataset. Returns what was written."""
    sealed = {**manifest, "schema": SCHEMA_ID}
    sealed["sha256"] = manifest_sha256(sealed)
    write_json(folder / MANIFEST, sealed)
    return sealed


@dataclass(frozen=True, slots=True)
class DatasetHandle:
    """A dataset folder whose manifest and hashes hold."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """The hash by which a model card names this dataset."""
        return str(self.manifest["sha256"])

    @property
    def form(self) -> Form:
        """Whether prompt, chosen and rejected are strings ("text") or message lists ("chat")."""
        form: Form = self.manifest["form"]
        return form

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the dataset has: train, and eval where one was asked for."""
        return tuple(self.manifest["splits"])

    def rows_in(self, split: str) -> int:
        """Rows of one split; 0 where it is absent."""
        return int(self.manifest["splits"].get(split, {}).get("rows", 0))

    def table(self, split: str = "train") -> pa.Table:
        """One split as a memory-mapped table."""
        tables = []
        for shard in self.manifest["splits"][split]["shards"]:
            with pa.memory_map(str(self.path / shard["path"])) as source:
                tables.append(pa.ipc.open_stream(source).read_all())
        return pa.concat_tables(tables)

    def rows(self, split: str = "train") -> Iterator[dict[str, Any]]:
        """Rows of one split as dictionaries, decoded as ``prefdata.records.arrow.decoded_rows`` says."""
        return decoded_rows(self.table(split))


def open_dataset(path: str | Path) -> DatasetHandle:
    """Open a dataset after checking its manifest and every hash in it.

    Raises DatasetError with the command that mends it when the folder is no dataset or was altered since validation.
    """
    folder = Path(path)
    again = f"make it again: prefdata validate PAIRS.jsonl -o {folder} --overwrite"
    if not folder.exists():
        raise DatasetError(f"{folder}: no such dataset", f"make it: prefdata validate PAIRS.jsonl -o {folder}")
    if folder.is_file():
        raise DatasetError(
            f"{folder} is a file, not a dataset", f"validate it first: prefdata validate {folder} -o DATASET"
        )
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise DatasetError(
            f"{folder} has no {MANIFEST}: it was not written by prefdata validate, or not finished", again
        ) from None
    except orjson.JSONDecodeError:
        raise DatasetError(f"{folder / MANIFEST} is not JSON: it was altered", again) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA_ID:
        raise DatasetError(f"{folder / MANIFEST} is not a manifest that this version of prefdata reads", again)
    if manifest.get("sha256") != manifest_sha256(manifest):
        raise DatasetError(f"{folder / MANIFEST} was altered after validation (its hash does not hold)", again)
    violation = next(violations("manifest", manifest), None)
    if violation is not None:
        raise DatasetError(f"{folder / MANIFEST} is no manifest: {violation.pointer}: {violation.message}", again)
    inputs = " ".join(item["path"] for item in manifest["inputs"] if item["path"] != "-")
    again = f"make it again: prefdata validate {inputs or 'PAIRS.jsonl'} -o {folder} --overwrite"
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            _check_hash(folder / shard["path"], shard["sha256"], again)
    return DatasetHandle(folder, manifest)


def _check_hash(path: Path, expected: str, hint: str) -> None:
    if not path.is_file():
        raise DatasetError(f"{path} is missing: the dataset was altered after validation", hint)
    if file_sha256(path) != expected:
        raise DatasetError(f"{path} was altered after validation (its hash does not hold)", hint)
