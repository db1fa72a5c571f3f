"""What keeping freed memory is worth: steps of two slide networks with the C library's defaults, and without.

    python benchmarks/kept_memory.py

Each measurement runs in a process of its own, since the setting cannot be taken back.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

BATCH, SIDE, CODE_SIZE, STEPS = 16, 100, 128, 8


def measure(aggregator: str, keep: bool) -> tuple[float, float]:
    """Seconds a step (forward, loss, backward), and peak memory in GiB."""
    import torch

    from histonic.aggregators.base import build_model
    from histonic.core.task import Task
    from histonic.stages.devices import keep_memory

    torch.set_num_threads(1)
    if keep:
        keep_memory()
    task = Task("score", "regression", ("score",))
    model = build_model(aggregator, code_size=CODE_SIZE, crop_cells=SIDE, tasks=(task,)).train()
    codes = torch.randn(BATCH, CODE_SIZE, SIDE, SIDE).half()
    mask = (torch.rand(BATCH, SIDE, SIDE) < 0.5).float()
    times = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        model.zero_grad()
        model(codes, mask)["score"].sum().backward()
        times.append(time.perf_counter() - begun)
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--one", nargs=2, metavar=("AGGREGATOR", "KEEP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(arguments.one[0], arguments.one[1] == "keep"))
        return
    maps = f"{BATCH} maps of {CODE_SIZE} x {SIDE} x {SIDE}"
    print(f"Batches of {maps}, half tissue; 1 of {os.cpu_count()} cores.\n")
    print("| aggregator | defaults, s a step | kept, s a step | ratio | peak memory, GiB: defaults, kept |")
    print("| --- | --- | --- | --- | --- |")
    for aggregator in ("convnet", "abmil"):
        found = []
        for how in ("default", "keep"):
            command = [sys.executable, __file__, "--one", aggregator, how]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append([float(number) for number in text.split()])
        (slow, before), (fast, after) = found
        print(f"| {aggregator} | {slow:.3f} | {fast:.3f} | {slow / fast:.2f} | {before:.2f}, {after:.2f} |")


if __name__ == "__main__":
    main()
