"""Log-probabilities under the reference, computed once for each model and each set of pairs, and kept on disk.

The folder may be deleted at any time, by anyone: what is missing is computed again. An entry holds ``BLOCK`` pairs of a
dataset in their order and is named by the hash of all that its digits depend on: the weights and configuration of the
reference, the tokens and masks of the pairs, and how they were computed. So a dataset that has grown finds its old
blocks again, a run that was killed finds those that it finished, and two runs at once write the same bytes.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
import xxhash

from prefdata.records.ids import content_id
from prefdata.records.output import atomic_file

BLOCK = 512
"""Pairs in an entry."""
MOST_ENTRIES = 20_000
"""10 million pairs, about 80 MB; beyond that, the entries that were not read for longest go."""
TOKENS = ("prompt_ids", "chosen_ids", "rejected_ids", "chosen_in_loss", "rejected_in_loss")
FORMAT = 1
Logps = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def default_folder() -> Path:
    """``prefdata/references`` in the user's cache folder (``~/.cache`` on Linux, or ``$XDG_CACHE_HOME``)."""
    return platformdirs.user_cache_path("prefdata") / "references"


def reference_cache(told: str | None, own: Path) -> ReferenceCache:
    """The cache that ``--reference-cache`` names; ``off`` keeps references in the run's ``own`` folder only."""
    return ReferenceCache(own if told == "off" else Path(told).expanduser() if told else default_folder())


class ReferenceCache:
    """Blocks of log-probabilities, float32 (pairs, 2) for chosen and rejected, by content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged = 0
        """Entries that were found altered, and removed."""

    def read(self, key: str, pairs: int) -> Logps | None:
        """The block of that name, or None where there is none or its checksum does not hold."""
        path = self.folder / key
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, values = content[:16], content[16:]
        if len(values) != 8 * pairs or xxhash.xxh3_128_digest(values) != checksum:
            self.damaged += 1
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read is still of use
            path.touch()
        return np.frombuffer(values, "<f4").reshape(pairs, 2)

    def write(self, key: str, logps: Logps) -> None:
        """Keep a block, unless it holds something that is no number. Raises OSError where the folder takes no file."""
        if not np.isfinite(logps).all():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        values = np.ascontiguousarray(logps, "<f4").tobytes()
        with atomic_file(self.folder / key) as file:
            file.write(xxhash.xxh3_128_digest(values) + values)

    def trim(self, most: int = MOST_ENTRIES) -> None:
        """Remove the entries that were not read for longest, beyond ``most``."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            try:
                found.append((path.stat().st_mtime_ns, path))
            except OSError:
                continue  # another run has trimmed it
        for _, path in sorted(found)[: max(0, len(found) - most)]:
            path.unlink(missing_ok=True)


def weights_hash(model: Any) -> str:
    """XXH3 of all tensors of a model with their names, types and shapes, and of its configuration."""
    hashed = xxhash.xxh3_128()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    unsaid = {"_name_or_path", "transformers_version"}
    config = {name: str(value) for name, value in model.config.to_dict().items() if name not in unsaid}
    return content_id({"tensors": hashed.hexdigest(), "config": config, "attention": model.config._attn_implementation})


def reference_hash(model: Any, init_lora_weights: Any = None) -> str:
    """The hash of the reference, from the model before PEFT wraps it; PiSSA and its like then change its weights."""
    return content_id([weights_hash(model), str(init_lora_weights) if isinstance(init_lora_weights, str) else ""])


def circumstances(trainer: Any, batch_size: int) -> dict[str, Any]:
    """All but weights and pairs that the last digits of a log-probability depend on."""
    args, device = trainer.args, trainer.accelerator.device
    return {
        "format": FORMAT,
        "batch_size": batch_size,
        "processes": trainer.accelerator.num_processes,
        "autocast": "bf16" if args.bf16 else "fp16" if args.fp16 else "",
        "ld_alpha": args.ld_alpha,
        "multiple": args.pad_to_multiple_of,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} {platform.machine()}",
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "prefdata")},
    }


def block_key(rows: Mapping[str, Any], reference: str, how: Mapping[str, Any]) -> str:
    """The name of a block: ``rows`` are its columns."""
    return content_id({"rows": content_id({name: rows[name] for name in TOKENS}), "reference": reference, **how})
