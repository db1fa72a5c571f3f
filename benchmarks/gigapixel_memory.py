"""Peak memory and speed of ``histonic compress`` on slides of 0.25, 1 and 4 gigapixels.

    python benchmarks/gigapixel_memory.py --folder SCRATCH [--out benchmarks/gigapixel_memory]

Writes a table (.md) and a figure (.png). Each slide is compressed by a fresh process whose resident memory is
sampled every 50 ms; the peak is the kernel's own (VmHWM), not ru_maxrss, which a new process inherits. The
encoder is the NIC architecture with random weights: cost and memory do not depend on their values.
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
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from slides import gigapixel_wh, write_gigapixel_slide

SIZES = (0.25, 1.0, 4.0)
LIMIT_MB = 1500


def write_encoder(path: Path) -> None:
    torch.manual_seed(0)
    spec = EncoderSpec("random-nic", "nic", 128, 0.5, 128, provenance="random weights, for benchmarks")
    NicEncoder(spec, NicNetwork()).save(path)


def memory_mb(pid: int) -> tuple[float, float] | None:
    """Resident memory now and at its peak so far, by the kernel; None once the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    if "VmHWM" not in kilobytes:
        return None
    return float(kilobytes["VmRSS"]) * 1024 / 1e6, float(kilobytes["VmHWM"]) * 1024 / 1e6


def measure(slide: Path, encoder: Path, out: Path) -> tuple[list[float], list[float], float, str]:
    """Times (s), resident memory (MB), peak (MB) and what the command printed."""
    words = [sys.executable, "-m", "histonic", "compress", str(slide)]
    words += ["--encoder", str(encoder), "--out", str(out)]
    began = time.monotonic()
    times, memory, peak = [], [], 0.0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            found = memory_mb(process.pid)
            if found is not None:
                times.append(time.monotonic() - began)
                memory.append(found[0])
                peak = max(peak, found[1])
            time.sleep(0.05)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"compress failed: {printed}")
    return times, memory, peak, printed


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
