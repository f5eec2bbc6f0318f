"""Rows of Parquet and Arrow files, of folders that ``datasets`` or ``prefdata validate`` wrote, and of the hub."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import orjson

from prefdata.errors import InputError, MissingExtraError, PrefdataError, ServiceError, UsageError
from prefdata.reading.rawrow import Part, RawRow
from prefdata.records.sources import Source

HUB = "hf:"
PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
TABLES = (PARQUET, ARROW_FILE, ARROW_STREAM)
"""What such files begin with."""
BATCH = 256
HUB_TIMEOUT = 30.0
"""Seconds that the hub has for its first answer."""


def table_rows(source: Source, name: str) -> Iterator[RawRow]:
    """Rows of a Parquet file or of an Arrow file (or stream), batch by batch; raises InputError."""
    import pyarrow as pa

    with source.open() as file:
        try:
            yield from _numbered(name, _batches(file))
        except (pa.ArrowException, OSError) as error:
            message = str(error).splitlines()[0]
            kind = "Parquet or Arrow file"
            raise InputError(f"{name}: the {kind} is damaged ({message})", "copy it again") from None


def folder_rows(folder: Path, part: Part) -> Iterator[RawRow]:
    """Rows of a data set folder; raises InputError for any other folder and DatasetError for an altered data set."""
    if (folder / "manifest.json").exists():
        return _validated(folder, part)
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        return _saved(folder, part)
    raise InputError(
        f"{folder} is a directory, and no data set",
        f"name a file, a glob ('{folder}/*.jsonl'), or a folder that datasets' save_to_disk or prefdata validate wrote",
    )


def hub_rows(name: str, part: Part) -> Iterator[RawRow]:
    """Rows of ``hf:owner/name`` (or ``hf:owner/name#config``), streamed; the split is "train" unless ``part`` says."""
    path, _, config = name.removeprefix(HUB).partition("#")
    if not path:
        raise UsageError(f"{name!r} names no data set", "write hf:owner/name, or hf:owner/name#config")
    datasets = _datasets()
    if not Path(path).exists():
        _ask_hub(name, path, part)
    try:
        found = datasets.load_dataset(
            path, config or None, split=part.split or "train", revision=part.revision, streaming=True
        )
        yield from _numbered(name, ([row] for row in found))
    except PrefdataError:
        raise
    except (ValueError, FileNotFoundError) as error:  # a missing data set, split or configuration
        raise InputError(f"{name}: {_first_line(error)}", "check owner/name, #config, --split and --revision") from None
    except Exception as error:  # noqa: BLE001 - the hub's client raises its own errors, and those of three libraries below
        raise ServiceError(f"{name} cannot be read: {_first_line(error)}", "check the network, or HF_TOKEN") from None


def _ask_hub(name: str, path: str, part: Part) -> None:
    """Ask once whether the data set is there: ``datasets`` asks for half a minute, and tells every attempt.

    Raises InputError for what the hub does not have, ServiceError where it cannot be reached or refuses.
    """
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE:
        return
    try:
        HfApi().dataset_info(path, revision=part.revision, timeout=HUB_TIMEOUT)
    except errors.GatedRepoError:
        raise ServiceError(f"{name} is gated", "ask for access on its page, and log in with `hf auth login`") from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        at = f" at revision {part.revision}" if isinstance(error, errors.RevisionNotFoundError) else ""
        raise InputError(
            f"the hub has no data set {path!r}{at}", "check owner/name and --revision; a private one needs HF_TOKEN"
        ) from None
    except Exception as error:  # noqa: BLE001 - the client raises its own errors, and those of the library below
        raise ServiceError(
            f"{constants.ENDPOINT} cannot be reached for {name}: {_first_line(error)}",
            "check the network (HF_ENDPOINT names a mirror), or download the data set and name its files",
        ) from None


def _validated(folder: Path, part: Part) -> Iterator[RawRow]:
    from prefdata.records.dataset import open_dataset  # with Arrow, which most inputs do not need

    handle = open_dataset(folder)
    split = part.split or "train"
    if split not in handle.splits:
        raise UsageError(f"{folder} has no split {split!r}", f"choose --split from {', '.join(handle.splits)}")
    for row, value in enumerate(handle.rows(split), start=1):
        kept = {key: one for key, one in value.items() if one not in (None, [], {})}
        yield RawRow(str(folder), None, row, orjson.dumps(kept), kept)


def _saved(folder: Path, part: Part) -> Iterator[RawRow]:
    datasets = _datasets()
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the files, it is the folder that is at fault
        raise InputError(f"{folder}: no data set can be loaded ({_first_line(error)})", "save it again") from None
    if isinstance(found, dict):
        splits = ", ".join(found)
        if part.split is None and len(found) > 1:
            raise UsageError(f"{folder} has several splits", f"choose --split from {splits}")
        split = part.split or next(iter(found))
        if split not in found:
            raise UsageError(f"{folder} has no split {split!r}", f"choose --split from {splits}")
        found = found[split]
    elif part.split is not None:
        raise UsageError(f"{folder} is one split by itself", "leave out --split")
    batches = found.with_format("arrow").iter(batch_size=BATCH)
    yield from _numbered(str(folder), (batch.to_pylist() for batch in batches))


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("the package datasets is not installed", "pip install datasets") from None
    return datasets


def _batches(file: IO[bytes]) -> Iterator[list[dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = file.read(len(ARROW_FILE))
    file.seek(0)
    if start.startswith(PARQUET):
        yield from (batch.to_pylist() for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH))
    elif start.startswith(ARROW_FILE):
        reader = pa.ipc.open_file(file)
        yield from (reader.get_batch(number).to_pylist() for number in range(reader.num_record_batches))
    else:
        yield from (batch.to_pylist() for batch in pa.ipc.open_stream(file))


def _numbered(name: str, batches: Iterable[list[dict[str, Any]]]) -> Iterator[RawRow]:
    row = 0
    for batch in batches:
        for value in batch:
            row += 1
            try:
                raw = orjson.dumps(value, default=_as_json)
            except TypeError as error:
                yield RawRow(name, None, row, repr(value).encode(), None, f"not JSON: {error}")
            else:
                yield RawRow(name, None, row, raw, orjson.loads(raw))


def _as_json(value: Any) -> Any:
    """What a cell of a type that JSON lacks says: decimals in digits, bytes as the text that they are.

    Some writers do not mark their text as such. Bytes that are none (an image) become an object, which no column of
    text takes for its own.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Decimal | timedelta):
        return str(value)
    raise TypeError(f"a cell holds a {type(value).__name__}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
