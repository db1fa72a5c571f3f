"""Peak memory and speed of ``histonic compress`` on slides of 0.25, 1 and 4 gigapixels.

    python benchmarks/gigapixel_memory.py --folder SCRATCH [--out benchmarks/gigapixel_memory]

Writes a table (.md) and a figure (.png). Each slide is compressed by a fresh process whose resident memory is
sampled every 50 ms; the peak is the kernel's own (ru_maxrss). The encoder is the NIC architecture with random
weights: cost and memory do not depend on their values.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure

from histonic.encoders.base import EncoderSpec
from histonic.encoders.nic import NicEncoder, NicNetwork
from slides import gigapixel_wh, write_gigapixel_slide

SIZES = (0.25, 1.0, 4.0)
LIMIT_MB = 1500


def write_encoder(path: Path) -> None:
    torch.manual_seed(0)
    spec = EncoderSpec("random-nic", "nic", 128, 0.5, 128, provenance="random weights, for benchmarks")
    NicEncoder(spec, NicNetwork()).save(path)


def resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(slide: Path, encoder: Path, out: Path) -> tuple[list[float], list[float], float, str]:
    """Times (s), resident memory (MB), peak (MB) and what the command printed."""
    words = [sys.executable, "-m", "histonic", "compress", str(slide)]
    words += ["--encoder", str(encoder), "--out", str(out)]
    began = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        times, memory = [], []
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            times.append(time.monotonic() - began)
            memory.append(resident_mb(process.pid))
            time.sleep(0.05)
        printed = process.stdout.read() if process.stdout else ""
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"compress failed: {printed}")
    return times, memory, usage.ru_maxrss * 1024 / 1e6, printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="scratch folder for slides and maps")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("gigapixel_memory"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    encoder = options.folder / "random-nic.safetensors"
    write_encoder(encoder)
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    lines = ["| slide | pixels | wall time (s) | peak memory (MB) | what it said |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for size in SIZES:
        slide = options.folder / f"slide-{size:g}gp.tif"
        write_gigapixel_slide(slide, size)
        store = options.folder / f"store-{size:g}gp-{os.getpid()}"
        times, memory, peak, printed = measure(slide, encoder, store)
        width, height = gigapixel_wh(size)
        said = " ".join(printed.splitlines()[1:])
        lines.append(f"| {size:g} gigapixel | {width} x {height} | {times[-1]:.0f} | {peak:.0f} | {said} |")
        print(lines[-1])
        axes.plot([100 * t / times[-1] for t in times], memory, label=f"{size:g} gigapixel")
    axes.axhline(LIMIT_MB, color="0.5", linestyle="--", linewidth=1)
    axes.set(xlabel="share of the run (%)", ylabel="resident memory (MB)", ylim=(0, LIMIT_MB * 1.1))
    axes.set_title("Memory of histonic compress does not grow with slide area", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(options.out.with_suffix(".png"), dpi=120)
    command = f"Command: `python benchmarks/{Path(__file__).name} --folder SCRATCH`"
    page = ["# Memory by slide area", "", command, "", *lines, ""]
    options.out.with_suffix(".md").write_text("\n".join(page))


if __name__ == "__main__":
    main()
