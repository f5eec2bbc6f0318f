"""Validation against a bare ``orjson.loads`` loop and ``datasets.load_dataset("json")``, in one run on generated files.

    python benchmarks/validate.py --mb 300            # prints ratios; least CPU and clock seconds of --repeat
    python benchmarks/validate.py --mb 100 --uniform --no-datasets
    python benchmarks/validate.py --mb 900 --kinds both --ways orjson,validate --repeat 1    # memory

Found so far (both kinds, 300 MB, two quiet cores, Python 3.11, one run; CPU seconds, by the clock in brackets): against
bare orjson all rules with the dataset come to 0.11 (0.14), and 0.13 (0.16) where bad rows have the types of good ones
and none stands twice (else each shard that loses a row is written twice); rules alone to 0.17 (0.19); two processes to
0.10 (0.18) and 0.11 (0.21); with near duplicates to 0.05. ``datasets`` 5.2, which checks nothing, loads at 0.43 of
orjson where all rows have the same types, and at 0.09 where one message in a hundred lacks a key: all rules take 1.2
(1.5), two processes 1.1 (2.0) times its speed there, and 0.3 (0.4) and 0.3 (0.5) on the uniform file. Short rows with
ids, scores and metadata are validated at 0.07 of orjson, 79,000 rows a CPU second, as fast as ``datasets`` loads them.
Peak memory is 300 MB, and 307 MB for 900 MB, 147 MB of it what this script imports.

The aims (0.25 of orjson; 5 and 8 times ``datasets``) are not met. By stage, in orjson loops over the same file: parsing
0.7, reading and cutting lines 0.6, the schema 0.3, columns of texts in UTF-8 0.5, ids and keys 0.5, Arrow 0.7, screens
of all rules 1.5, the rest 0.6; SHA-256 of input and shards 0.65 each and writing about 0.9 in threads beside them. Most
of it is handling Python's objects, some ten for each message; several times this speed would take native code that
parses, looks through texts, writes Arrow and hashes in one pass.

Ratios travel between machines, absolute figures do not. Three files: pairs of strings, conversations of three to nine
turns, and both kinds half and half (as messages). One row in a hundred is bad. Each figure is taken in a process of
its own, whose CPU time includes its start (given apart) and that of its children.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

WORDS = 4000
BAD = 100
"""One row in so many is bad."""


def generate(path: Path, megabytes: float, kind: str, *, uniform: bool = False, seed: int = 7) -> int:
    """Write pairs of mean length 1.9 kB (text), 3.9 kB (chat), 2.9 kB (both) or 0.5 kB (short); gives their number."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(WORDS)]
    vocabulary += ["the"] * 200 + ["and", "of", "to"] * 100  # about as often as in English
    vocabulary += ["don't", '"so"', "naïve", "1,000", "end.\n\n", "f(x):", "日本"] * 8

    def words(count: int) -> str:
        return " ".join(rng.choices(vocabulary, k=count)) + "."

    written, number = 0, 0
    row: dict[str, Any] = {}
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes * 1e6:
            number += 1
            before, chosen, rejected = row, words(130), words(110)
            if kind == "short":
                row = {"id": f"row-{number}", "prompt": words(12), "chosen": words(14), "rejected": words(12)}
                row |= {"source": f"set-{number % 7}", "score_chosen": 3 + number % 3, "score_rejected": number % 3}
                row["metadata"] = {"annotator": f"a{number % 40}", "chosen_shown_first": bool(number % 2)}
            elif kind == "text":
                row = {"prompt": words(60), "chosen": chosen, "rejected": rejected}
            else:
                prompt = []
                for _ in range(0 if kind == "both" and number % 2 else rng.randint(1, 4)):
                    prompt += [{"role": "user", "content": words(45)}, {"role": "assistant", "content": words(75)}]
                prompt.append({"role": "user", "content": words(50)})
                row = {
                    "prompt": prompt,
                    "chosen": [{"role": "assistant", "content": chosen}],
                    "rejected": [{"role": "assistant", "content": rejected}],
                }
            if number % BAD == 0:
                row = spoilt(row, before, number // BAD % (2 if uniform else 6))
            written += file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return number


def spoilt(row: dict[str, Any], before: dict[str, Any], how: int) -> dict[str, Any]:
    """A bad row, though one that any JSON reader takes; 0 and 1 leave the types of all values as they are."""
    if how == 0:
        return {**row, "rejected": row["chosen"]}
    if how == 1:
        return {**row, "rejected": "" if isinstance(row["rejected"], str) else [{"role": "assistant", "content": ""}]}
    if how == 2:
        return {name: value for name, value in row.items() if name != "rejected"}
    if how == 3:
        return {**row, "chosen": None if isinstance(row["chosen"], str) else [{"role": "assistant"}]}
    if how == 4:
        return {**row, "rejected": 5 if isinstance(row["rejected"], str) else [{"role": "bot", "content": "5"}]}
    return before


def bare(path: Path, _out: Path) -> None:
    """The yardstick: parse every line and keep nothing."""
    import orjson

    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)


def validated(path: Path, out: Path, jobs: int = 1, near_duplicates: float | None = None) -> None:
    """All default rules, the Arrow output, hashes, statistics and report."""
    from prefdata.validation.memory import keep_freed_memory
    from prefdata.validation.validate import validate

    keep_freed_memory()  # as the command does
    result = validate(path, output=out, fail_on="never", jobs=jobs, near_duplicates=near_duplicates)
    assert result.ok
    assert result.counts.quarantined


def checked(path: Path, _out: Path) -> None:
    """All default rules without an output."""
    from prefdata.validation.memory import keep_freed_memory
    from prefdata.validation.validate import validate

    keep_freed_memory()
    validate(path, fail_on="never")


def loaded(path: Path, out: Path) -> None:
    """What a trainer does without prefdata: load, with no validation at all."""
    from datasets import load_dataset

    load_dataset("json", data_files=str(path), cache_dir=str(out), split="train")


WAYS = {
    "orjson": bare,
    "check": checked,
    "validate": validated,
    "validate-2": lambda path, out: validated(path, out, jobs=2),
    "near": lambda path, out: validated(path, out, near_duplicates=0.8),
    "datasets": loaded,
}


def measure(way: str, path: Path, repeat: int) -> dict[str, float]:
    """CPU and wall seconds (least of ``repeat``), and peak memory in MB, in fresh processes."""
    best: dict[str, float] = {}
    for _ in range(repeat):
        done = subprocess.run(
            [sys.executable, __file__, "--run", way, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
        )
        figures = json.loads(done.stdout.splitlines()[-1])
        best = {name: min(best.get(name, value), value) for name, value in figures.items()}
    return best


def run(way: str, path: Path) -> None:
    """One measurement, in this process."""
    import datasets
    import orjson  # noqa: F401

    import prefdata.validation.validate  # noqa: F401

    del datasets
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        cpu, wall = used(), time.perf_counter()
        WAYS[way](path, Path(folder) / "out")
        wall = time.perf_counter() - wall
        # The workers are children of the server that forks them: their time counts once it has been waited for.
        getattr(forkserver, "_forkserver")._stop()  # noqa: B009
        figures = {"cpu": used() - cpu, "wall": wall, "mb": peak()}
    print(json.dumps(figures))


def against(found: dict[str, dict[str, float]], what: str, way: str) -> list[float]:
    """How many times as fast a way is as orjson and as ``datasets``, in CPU seconds or by the clock."""
    return [
        found[other][what] / found[way][what] if other in found else float("nan") for other in ("orjson", "datasets")
    ]


def used() -> float:
    """CPU seconds of this process and of those that it waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak() -> float:
    """Greatest resident memory of this process or of one that it waited for, in MB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", default="text,chat,both,short")
    parser.add_argument("--uniform", action="store_true", help="bad rows have the types that good rows have")
    parser.add_argument("--no-datasets", action="store_true")
    parser.add_argument("--ways", default=",".join(WAYS), help="which of them, separated by commas")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run[0], Path(options.run[1]))
        return
    ways = [way for way in options.ways.split(",") if not (options.no_datasets and way == "datasets")]
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds.split(","):
            path = Path(folder) / f"{kind}.jsonl"
            rows = generate(path, options.mb, kind, uniform=options.uniform)
            size = path.stat().st_size / 1e6
            found = {way: measure(way, path, options.repeat) for way in ways}
            print(f"\n{kind}: {size:.0f} MB, {rows:,} rows")
            heads = ("CPU s", "MB/CPU-s", "× orjson", "× datasets", "wall s", "× orjson", "× datasets", "peak MB")
            print(f"{'':12} " + " ".join(f"{head:>10}" for head in heads))
            for way, figures in found.items():
                told = [figures["cpu"], size / figures["cpu"], *against(found, "cpu", way)]
                told += [figures["wall"], *against(found, "wall", way), figures["mb"]]
                print(f"{way:12} " + " ".join(f"{figure:10.2f}" for figure in told))
            path.unlink()


if __name__ == "__main__":
    main()
