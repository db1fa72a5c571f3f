"""What keeping freed memory is worth: an encoder and steps of two slide networks, with and without.

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
from collections.abc import Callable

BATCH, SIDE, CODE_SIZE, STEPS, TILES = 16, 100, 128, 8, 64
ENCODER = "histonic-mtl"


def measure(name: str, keep: bool) -> tuple[float, float]:
    """Seconds a step (network: forward, loss, backward; encoder: 64 tiles), and peak memory in GiB."""
    import torch

    from histonic.core.processes.memory import keep_memory

    torch.set_num_threads(1)
    if keep:
        keep_memory()
    step = encoder_step() if name == ENCODER else network_step(name)
    times = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def encoder_step() -> Callable[[], object]:
    import numpy as np

    from histonic.encoders.base import load_encoder

    encoder = load_encoder(ENCODER)
    tiles = np.random.default_rng(0).integers(0, 256, (TILES, 128, 128, 3), dtype=np.uint8)
    return lambda: encoder.encode(tiles)


def network_step(aggregator: str) -> Callable[[], object]:
    import torch

    from histonic.aggregators.base import build_model
    from histonic.core.task import Task

    task = Task("score", "regression", ("score",))
    model = build_model(aggregator, code_size=CODE_SIZE, crop_cells=SIDE, tasks=(task,)).train()
    codes = torch.randn(BATCH, CODE_SIZE, SIDE, SIDE).half()
    mask = (torch.rand(BATCH, SIDE, SIDE) < 0.5).float()

    def step() -> None:
        model.zero_grad()
        model(codes, mask)["score"].sum().backward()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--one", nargs=2, metavar=("NAME", "KEEP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(arguments.one[0], arguments.one[1] == "keep"))
        return
    maps = f"{BATCH} maps of {CODE_SIZE} x {SIDE} x {SIDE}"
    print(f"Networks: batches of {maps}, half tissue. Encoder: {TILES} tiles. 1 of {os.cpu_count()} cores.\n")
    print("| what | defaults, s a step | kept, s a step | ratio | peak memory, GiB: defaults, kept |")
    print("| --- | --- | --- | --- | --- |")
    for name in (ENCODER, "convnet", "abmil"):
        found = []
        for how in ("default", "keep"):
            command = [sys.executable, __file__, "--one", name, how]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append([float(number) for number in text.split()])
        (slow, before), (fast, after) = found
        print(f"| {name} | {slow:.3f} | {fast:.3f} | {slow / fast:.2f} | {before:.2f}, {after:.2f} |")


if __name__ == "__main__":
    main()
