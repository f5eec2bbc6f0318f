"""``prefdata convert`` against ``datasets`` (load, map, to_json) on the same job, in one run on a generated file.

    python benchmarks/convert.py --mb 50           # prints ratios; CPU seconds of each process, best of --repeat

The job: HH-RLHF transcripts to pairs of messages, each side told into turns and the shared turns made the prompt, as
JSONL. ``datasets`` does nothing else; ``convert`` also finds the format, checks every pair by its schema, hashes it,
keeps the place that it came from and counts what gave no pair. Each way runs in a process of its own on one core; the
peak memory is given for the file and for one of a quarter of its size, which shows whether memory grows with the input.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def generate(path: Path, megabytes: float, seed: int = 7) -> None:
    """Write transcripts of two to eight turns whose last replies differ."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(4000)]

    def said(count: int) -> str:
        return " ".join(rng.choices(words, k=count))

    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes * 1e6:
            turns = "".join(f"\n\nHuman: {said(30)}\n\nAssistant: {said(60)}" for _ in range(rng.randint(0, 3)))
            start = f"{turns}\n\nHuman: {said(30)}\n\nAssistant: "
            written += file.write(json.dumps({"chosen": start + said(60), "rejected": start + said(50)}) + "\n")


def converted(path: Path, folder: Path) -> None:
    """The command's function."""
    from prefdata.conversion.convert import convert

    result = convert(path, output=folder / "pairs.jsonl")
    assert result.counts.pairs == result.counts.rows


def mapped(path: Path, folder: Path) -> None:
    """The way without prefdata: one mapping function over an Arrow file, then JSONL."""
    from datasets import load_dataset

    rows = load_dataset("json", data_files=str(path), cache_dir=str(folder / "cache"), split="train")
    rows.map(told).to_json(str(folder / "pairs.jsonl"))


def told(row: dict[str, Any]) -> dict[str, Any]:
    """One row as ``datasets`` maps it."""
    sides = []
    for name in ("chosen", "rejected"):
        parts = TURN.split(row[name])
        turns = zip(parts[1::2], parts[2::2], strict=True)
        sides.append([{"role": ROLES[who], "content": text.removeprefix(" ")} for who, text in turns])
    chosen, rejected = sides
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    return {"prompt": chosen[:same], "chosen": chosen[same:], "rejected": rejected[same:]}


WAYS = {"convert": converted, "datasets": mapped}


def run(way: str, path: Path) -> None:
    """One measurement, in this process."""
    import datasets

    import prefdata.conversion.convert  # noqa: F401

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        WAYS[way](path, Path(folder))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu, "wall": wall, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def measure(way: str, path: Path, repeat: int) -> dict[str, float]:
    """CPU and wall seconds and peak memory in MB: the least of ``repeat`` fresh processes."""
    best: dict[str, float] = {}
    for _ in range(repeat):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, __file__, "--run", way, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        figures = json.loads(done.stdout.splitlines()[-1])
        best = {name: min(best.get(name, value), value) for name, value in figures.items()}
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run[0], Path(options.run[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder) / "whole.jsonl", Path(folder) / "part.jsonl"
        generate(whole, options.mb)
        generate(part, options.mb / 4)
        found = {way: measure(way, whole, options.repeat) for way in WAYS}
        small = {way: measure(way, part, 1) for way in WAYS}
        print(f"{whole.stat().st_size / 1e6:.0f} MB, {whole.read_bytes().count(10):,} rows")
    print(f"{'':10} {'CPU s':>8} {'wall s':>8} {'× datasets':>11} {'peak MB':>8} {'of a quarter':>13}")
    for way, figures in found.items():
        ratio = found["datasets"]["cpu"] / figures["cpu"]
        print(
            f"{way:10} {figures['cpu']:8.2f} {figures['wall']:8.2f} {ratio:11.2f} {figures['mb']:8.0f} "
            f"{small[way]['mb']:13.0f}"
        )


if __name__ == "__main__":
    main()
