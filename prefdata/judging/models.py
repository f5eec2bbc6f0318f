"""Models that are loaded into this process: which one is meant, and by which hash of its files it is known.

No torch here: a dry run, and a run whose calls are all in the ledger, need none.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import xxhash

from prefdata.endpoint.endpoint import Endpoint
from prefdata.errors import InputError, MissingExtraError, UsageError

FILES = (".safetensors", ".bin", ".json", ".model", ".jinja", ".txt")
"""What a model folder's hash is of: weights, configuration, tokenizer, chat template."""
WEIGHTS = (".safetensors", ".bin")
IN_PROCESS = "local://localhost"
"""The base URL of models in this process: it costs nothing, and no key is sent there."""


def local_endpoint(kind: str, spec: str) -> Endpoint:
    """The model that ``FOLDER``, ``ORG/NAME`` or ``NAME=`` either of them means, at the address of this process.

    Its model is the path and a fingerprint: changed weights are another model, whose calls are made anew. Raises
    InputError where there is no such model, UsageError for a spec that cannot be meant.
    """
    name, equals, path = spec.partition("=")
    if not equals:
        path = name
    if not name or not path:
        raise UsageError(f"{kind}:{spec} names no model", f"write {kind}:FOLDER or {kind}:NAME=FOLDER")
    folder = Path(path).expanduser()
    if folder.is_dir():
        own = _checked(folder)
        return Endpoint(name if equals else folder.resolve().name, f"{own}@{fingerprint(own)}", IN_PROCESS, "")
    if folder.exists() or path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise InputError(f"{path} is no model folder", "name the folder that holds config.json, or a model ORG/NAME")
    return Endpoint(name, f"{path}@{_revision(path)}", IN_PROCESS, "")


def fingerprint(folder: Path) -> str:
    """XXH3 over names and contents of the files that make up a model, as 32 hexadecimal digits."""
    digest = xxhash.xxh3_128()
    for path in sorted(folder.iterdir()):
        if path.suffix in FILES and path.is_file():
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while chunk := file.read(1 << 24):
                    digest.update(chunk)
    return digest.hexdigest()


def folder_of(endpoint: Endpoint) -> Path:
    """The folder to load; a model of the hub is downloaded unless its weights are in the cache.

    Raises InputError where it cannot be had.
    """
    path, _, revision = endpoint.model.rpartition("@")
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = [f"*{suffix}" for suffix in FILES]
    with suppress(LocalEntryNotFoundError):
        folder = Path(snapshot_download(path, revision=revision, local_files_only=True))
        if any(each.suffix in WEIGHTS for each in folder.iterdir()):
            return folder
    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=wanted))
    except Exception as error:  # noqa: BLE001 - no network, no right to it, no room: one and the same to the user
        raise _not_had(path, error) from None


def require_packages(kind: str) -> None:
    """Raise MissingExtraError where the packages that load models are not installed."""
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise MissingExtraError(
            f"{kind}: judges need {' and '.join(missing)}, which {verb} not installed", "pip install 'prefdata[local]'"
        )


def _checked(folder: Path) -> Path:
    if (folder / "config.json").exists():
        return folder
    if (folder / "adapter_config.json").exists():
        raise InputError(f"{folder} is an adapter, not a model", "merge it into its base model first")
    raise InputError(f"{folder} holds no config.json, so it is no model folder", "name the folder that holds it")


def _revision(name: str) -> str:
    """The commit of a model on the hub; raises InputError where it cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:  # what was downloaded once stays the judge, whatever is uploaded under its name later
            return Path(hf_hub_download(name, "config.json", local_files_only=True)).parent.name
        except LocalEntryNotFoundError:
            return Path(hf_hub_download(name, "config.json")).parent.name
    except Exception as error:  # noqa: BLE001 - a bad name, no network, no right to it: one and the same to the user
        raise _not_had(name, error) from None


def _not_had(name: str, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:200]
    return InputError(f"there is no folder {name}, and the hub does not give it: {why}", "name a folder")
