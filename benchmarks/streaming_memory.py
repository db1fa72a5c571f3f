"""Memory and time of a training step on one image, whole and streamed, against the side of the image.

    python benchmarks/streaming_memory.py --sides 1024 2048 4096 8192 --out benchmarks/streaming_memory.md

A network of the shape of ResNet-34 (He et al., CVPR 2016: 3x3 convolutions in residual blocks, 21 million
weights; batch normalisation with fixed statistics) takes one step on an image of N x N pixels: forward,
backward, Adam, on one core. Each measurement is a process of its own: its peak of resident memory as the
kernel has it, with torch, weights, Adam's state and the image; seconds of the core. Whole images that would
not fit into the memory that is free are left out and said so.

The floor is what no way with a checkpointed boundary can go below: the local layers forward twice and
backward once. It is measured on images of 1024 x 1024, forward and backward on their own without streaming,
as 2 x forward + backward, and grows with the number of pixels. ``--one SIDE WAY`` makes a single measurement.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from histonic.core.processes.memory import free_bytes, keep_memory
from histonic.nn.streaming.streamed import Streamed

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Channels and blocks."""
FLOOR_SIDE = 1024
BYTES_PER_PIXEL = 900
"""What a whole image keeps for its gradients, roughly: whether it is worth trying."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.short = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.act = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, R, K)`` to half of it or as much."""
        found = self.body(maps)
        found += self.short(maps)
        return self.act(found)


def local_layers() -> nn.Sequential:
    """All up to the global pooling."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for number, (channels, count) in enumerate(STAGES):
        for place in range(count):
            layers.append(Block(inputs, channels, 2 if number and not place else 1))
            inputs = channels
    return nn.Sequential(*layers).eval()


def measure(side: int, way: str, memory_bytes: int | None) -> dict[str, Any]:
    """One step in this process; of ``floor`` the seconds of the floor."""
    keep_memory()
    torch.manual_seed(0)
    layers = local_layers()
    image = torch.randint(256, (1, 3, side, side), dtype=torch.uint8)
    if way != "streamed":
        image = image.float()
    if way == "floor":
        return {"seconds": floor(layers, image)}
    local = layers if way == "whole" else Streamed(layers, memory_bytes=memory_bytes)
    network = nn.Sequential(local, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(512, 1))
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)
    began = time.process_time()
    network(image).square().sum().backward()
    optimiser.step()
    seconds = time.process_time() - began
    # The kernel's own peak of this process since it began, in kilobytes on Linux.
    return {"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def floor(layers: nn.Module, image: Tensor) -> float:
    """Forward twice and backward once: the faster of two runs of each."""
    best = [float("inf"), float("inf")]
    for _ in range(2):
        with torch.no_grad():
            began = time.process_time()
            layers(image)
            best[0] = min(best[0], time.process_time() - began)
        found = layers(image)
        began = time.process_time()
        found.backward(torch.ones_like(found))
        best[1] = min(best[1], time.process_time() - began)
        del found
    return 2 * best[0] + best[1]


def run(side: int, way: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One measurement in a fresh process, kept so that an interrupted table goes on."""
    kept = arguments.scratch / f"{way}-{side}.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    free = free_bytes()
    if way == "whole" and free is not None and side**2 * BYTES_PER_PIXEL > free:
        return {}
    command = [sys.executable, __file__, "--one", str(side), way]
    if arguments.memory_bytes:
        command += ["--memory-bytes", str(arguments.memory_bytes)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(told)
    found = json.loads(told)
    return found


def table(arguments: argparse.Namespace) -> str:
    per_pixel = run(FLOOR_SIDE, "floor", arguments)["seconds"] / FLOOR_SIDE**2
    lines = [
        "| image | whole: memory | time | streamed: memory | time | floor | streamed / floor |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for side in arguments.sides:
        whole, streamed = (run(side, way, arguments) for way in ("whole", "streamed"))
        floor_s = per_pixel * side**2
        lines.append(
            f"| {side} x {side} | {gigabytes(whole)} | {seconds(whole)} | {gigabytes(streamed)} | "
            f"{seconds(streamed)} | {floor_s:.1f} s | {streamed['seconds'] / floor_s:.2f} |"
        )
    return "\n".join(lines)


def gigabytes(found: dict[str, Any]) -> str:
    return f"{found['bytes'] / 1e9:.2f} GB" if found else "does not fit"


def seconds(found: dict[str, Any]) -> str:
    return f"{found['seconds']:.1f} s" if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument(
        "--memory-bytes", type=int, help="for what is kept for gradients; default of stream()"
    )
    parser.add_argument("--scratch", type=Path, default=Path("streaming-memory"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "WAY"))
    arguments = parser.parse_args()
    if arguments.one:
        torch.set_num_threads(1)
        print(json.dumps(measure(int(arguments.one[0]), arguments.one[1], arguments.memory_bytes)))
        return
    found = table(arguments)
    print(found)
    if arguments.out:
        arguments.out.write_text(HEAD + found + "\n")


HEAD = """# Memory and time of streaming

    python benchmarks/streaming_memory.py --out benchmarks/streaming_memory.md

One training step of a network of the shape of ResNet-34 (21 million weights, single precision, one core of a
server CPU). Memory is the peak of the process with everything in it. The floor is twice forward and once
backward of the local layers without streaming, measured at 1024 x 1024 and scaled by the number of pixels.

"""

if __name__ == "__main__":
    main()
