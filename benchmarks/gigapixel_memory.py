"""Time per tile and peak memory of ``histonic compress`` on slides of 0.1, 0.3, 1 and 3 gigapixels.

    python benchmarks/gigapixel_memory.py --folder SCRATCH [--sizes 0.1,0.3,1,3]
    python benchmarks/gigapixel_memory.py --folder SCRATCH --slides 50

Writes a table (.md) and a figure (.png), into ``--out`` or beside this file. Each slide is compressed by a
fresh process; resident memory of it and of all processes that it starts is sampled every 50 ms and summed,
those that only compile code apart. The peak is the highest sum, or the kernel's own of the first process
(VmHWM) if that is higher. The encoder is the NIC architecture with random weights: cost and memory do not
depend on their values.

With ``--slides`` one process compresses so many slides of 9 megapixels, no two alike, and the table has the
peak within each tenth of the run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from histonic.core.processes.footprint import children, resident_bytes
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from slides import gigapixel_wh, write_gigapixel_slide, write_tissue_slides

SIZES = "0.1,0.3,1,3"
LIMIT_MB = 1000
MANY_PX = 3072
COMPILERS = ("cc1plus", "g++", "c++", "ld", "as", "compile_worker")
"""In the command lines of processes that only compile."""


def write_encoder(path: Path) -> None:
    torch.manual_seed(0)
    spec = EncoderSpec("random-nic", "nic", 128, 0.5, 128, provenance="random weights, for benchmarks")
    NicEncoder(spec, NicNetwork()).save(path)


def peak_mb(pid: int) -> float:
    """The kernel's own peak of one process; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory now of a process with all that it started, and of those of them that only compile."""
    compiling = sum(resident_bytes(each) for each in children(pid) if is_compiler(each))
    return (resident_bytes(pid) - compiling) / 1e6, compiling / 1e6


def is_compiler(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any(Path(word).name.startswith(COMPILERS) or "compile_worker" in word for word in words[:4])


@dataclass
class Measured:
    """Times (s) and memory (MB) of a run, its peaks, and what it printed."""

    times: list[float]
    memory: list[float]
    peak: float
    compiling: float
    printed: str

    @property
    def tiles(self) -> int:
        """Tiles that were encoded."""
        return int(re.search(r"([\d,]+) tiles", self.printed)[1].replace(",", ""))

    @property
    def seconds(self) -> float:
        """Wall time that the command says they took, its start left out."""
        return float(re.search(r"tiles in ([\d.,]+) s", self.printed)[1].replace(",", ""))

    @property
    def ms_a_tile(self) -> float:
        """Milliseconds a tile."""
        return 1000 * self.seconds / self.tiles


def measure(slides: Sequence[Path], encoder: Path, out: Path) -> Measured:
    """Compress slides in a process of its own."""
    words = [sys.executable, "-m", "histonic", "compress", *map(str, slides)]
    words += ["--encoder", str(encoder), "--out", str(out)]
    began = time.monotonic()
    found = Measured([], [], 0.0, 0.0, "")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            own, compiling = memory_mb(process.pid)
            found.times.append(time.monotonic() - began)
            found.memory.append(own)
            found.compiling = max(found.compiling, compiling)
            found.peak = max(found.peak, own, peak_mb(process.pid))
            time.sleep(0.05)
        found.printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"compress failed: {found.printed}")
    return found


def by_size(options: argparse.Namespace, encoder: Path, axes: Any) -> list[str]:
    lines = ["| slide | pixels | tiles | ms a tile | peak memory (MB) | compilers (MB) |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for size in map(float, options.sizes.split(",")):
        slide = options.folder / f"slide-{size:g}gp.tif"
        write_gigapixel_slide(slide, size)
        store = options.folder / f"store-{size:g}gp-{os.getpid()}"
        found = measure([slide], encoder, store)
        width, height = gigapixel_wh(size)
        lines.append(
            f"| {size:g} gigapixel | {width} x {height} | {found.tiles:,} | {found.ms_a_tile:.2f} | "
            f"{found.peak:.0f} | {found.compiling:.0f} |"
        )
        print(lines[-1], flush=True)
        ended = found.times[-1]
        axes.plot([100 * at / ended for at in found.times], found.memory, label=f"{size:g} gigapixel")
    return lines


def by_number(options: argparse.Namespace, encoder: Path, axes: Any) -> list[str]:
    folder = options.folder / f"many-{options.slides}"
    if not folder.is_dir():
        folder.mkdir()
        write_tissue_slides(folder, options.slides, MANY_PX)
    found = measure(sorted(folder.iterdir()), encoder, options.folder / f"store-many-{os.getpid()}")
    times, memory = np.array(found.times), np.array(found.memory)
    lines = [f"{found.tiles:,} tiles of {options.slides} slides, {found.ms_a_tile:.2f} ms a tile.", ""]
    lines += ["| part of the run | peak memory (MB) |", "| --- | --- |"]
    for tenth in range(10):
        inside = (times >= times[-1] * tenth / 10) & (times <= times[-1] * (tenth + 1) / 10)
        lines.append(f"| {10 * tenth} to {10 * tenth + 10} % | {memory[inside].max():.0f} |")
    print("\n".join(lines))
    axes.plot(100 * times / times[-1], memory, label=f"{options.slides} slides")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="scratch folder for slides and maps")
    parser.add_argument("--sizes", default=SIZES, help="gigapixels, with commas")
    parser.add_argument("--slides", type=int, help="so many small slides in one process instead")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    encoder = options.folder / "random-nic.safetensors"
    write_encoder(encoder)
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    many = options.slides is not None
    lines = (by_number if many else by_size)(options, encoder, axes)
    axes.axhline(LIMIT_MB, color="0.5", linestyle="--", linewidth=1)
    axes.set(xlabel="share of the run (%)", ylabel="resident memory (MB)", ylim=(0, LIMIT_MB * 1.1))
    grows = "with the number of slides" if many else "with slide area"
    axes.set_title(f"Memory of histonic compress does not grow {grows}", fontsize=10)
    axes.legend(frameon=False)
    name = "many_slides_memory" if many else "gigapixel_memory"
    out = options.out or Path(__file__).with_name(name)
    figure.savefig(out.with_suffix(".png"), dpi=120)
    more = f" --slides {options.slides}" if many else ""
    command = f"Command: `python benchmarks/{Path(__file__).name} --folder SCRATCH{more}`"
    title = "# Memory by number of slides" if many else "# Time per tile and memory by slide area"
    out.with_suffix(".md").write_text("\n".join([title, "", command, "", *lines, ""]))


if __name__ == "__main__":
    main()
