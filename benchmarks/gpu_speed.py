"""Tiles per second of ``compress`` on a GPU against the GPU's own floor, and training on it once.

    python benchmarks/gpu_speed.py --folder SCRATCH [--slides 5] [--gigapixels 1] [--write]

For the NIC network, ``histonic-mtl``, ResNet50 and a ViT of the size of the large foundation encoders
(random weights; timm for the last two): the floor is the encoder at work on tiles in memory; then so many
copies of a simulated slide are compressed in one run, while the GPU's own counter (``nvidia-smi``) says how
busy it is. At the end slide training in bfloat16 runs once, and on two devices (SyncBatchNorm), GPUs where
there are two.

It needs a GPU. Where there is none it says so and writes nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

TABLE = Path(__file__).with_suffix(".md")
ENCODERS = {"nic": None, "histonic-mtl": None, "resnet50": "resnet50", "vit-l": "vit_large_patch16_224"}
FLOOR_S = 6.0
TARGET = "score:regression:proliferation_score"


def busy_share(samples: list[float]) -> float:
    """Mean of what the GPU's counter said, 0 to 100, without the first tenth, in which a slide is opened."""
    return float(np.mean(samples[len(samples) // 10 :])) if samples else float("nan")


def watch_gpu(samples: list[float], stopped: threading.Event) -> None:
    """Ask the counter twice a second."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"]
    while not stopped.wait(0.5):
        told = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
        if told:
            samples.append(float(told[0]))


def compress_copies(
    slide: Path, encoder: str, precision: str, copies: int, folder: Path
) -> tuple[float, ...]:
    """Tiles/s, seconds a slide from the second on, and share of time the GPU was busy."""
    from histonic.core.progress import Silent
    from histonic.stages.compress.compress import compress

    ends: list[float] = []

    class Ends(Silent):
        def advance(self, steps: int = 1, note: str = "") -> None:
            done, _, total = note.rpartition(" ")[0].rpartition(" ")[2].partition("/")
            if done and done == total:
                ends.append(time.perf_counter())

    listed = folder / "slides.csv"
    rows = "".join(f"{slide},copy{number}\n" for number in range(copies))
    listed.write_text("path,slide_id\n" + rows, encoding="utf-8")
    samples: list[float] = []
    stopped = threading.Event()
    watcher = threading.Thread(target=watch_gpu, args=(samples, stopped), daemon=True)
    watcher.start()
    store = folder / f"store-{Path(encoder).stem}-{time.time_ns()}"
    result = compress(slides=[str(listed)], encoder=encoder, out=store, precision=precision, progress=Ends())
    stopped.set()
    watcher.join()
    steady = float(np.diff(ends).mean()) if len(ends) > 1 else result.seconds
    return result.tiles / result.seconds, steady, busy_share(samples)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--slides", type=int, default=5)
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--encoders", default=",".join(ENCODERS))
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured.")
        return
    from compress_speed import encoder_file, rate_by_engine
    from slides import write_gigapixel_slide

    options.folder.mkdir(parents=True, exist_ok=True)
    slide = options.folder / f"slide-{options.gigapixels:g}gp.tif"
    write_gigapixel_slide(slide, options.gigapixels)
    name = torch.cuda.get_device_name(0)
    lines = [
        "# Speed on a GPU",
        "",
        f"`python benchmarks/gpu_speed.py --folder SCRATCH`: {name}, {options.slides} slides of "
        f"{options.gigapixels:g} gigapixels, {options.precision}.",
        "",
        "| encoder | floor (tiles/s) | compress (tiles/s) | of the floor | s a slide, steady | GPU busy |",
        "| --- " * 6 + "|",
    ]
    for encoder in options.encoders.split(","):
        file = encoder_file(encoder, options.folder, ENCODERS[encoder])
        floor = rate_by_engine(file, options.precision, "cuda", FLOOR_S)
        rate, steady, busy = compress_copies(slide, file, options.precision, options.slides, options.folder)
        lines.append(
            f"| {encoder} | {floor:.0f} | {rate:.0f} | {rate / floor:.0%} | {steady:.2f} | {busy:.0f} % |"
        )
        print(lines[-1], flush=True)
    lines += ["", *train_once(options.folder), ""]
    print("\n".join(lines[-4:]))
    if options.write:
        TABLE.write_text("\n".join(lines), encoding="utf-8")


def train_once(folder: Path, device: str = "cuda") -> list[str]:
    """Slide training in bfloat16 on the device, and once more on two of them (SyncBatchNorm)."""
    python = [sys.executable, "-m", "histonic"]
    demo = folder / "demo"
    words = ["demo", "--patients", "12", "--max-epochs", "3", "--out", str(demo)]
    subprocess.run([*python, *words], check=True, capture_output=True)
    two = torch.cuda.device_count() > 1
    found = []
    for number, where in ((1, device), (2, device if two else "cpu")):
        words = ["train", str(demo / "store"), "--labels", str(demo / "labels.csv"), "--target", TARGET]
        words += ["--out", str(folder / f"run-{number}"), "--precision", "bf16", "--max-epochs", "3"]
        words += ["--device", where, "--devices", str(number)]
        began = time.perf_counter()
        done = subprocess.run([*python, *words], check=False, capture_output=True, text=True)
        told = "ran" if not done.returncode else f"failed: {done.stderr.strip().splitlines()[-1:]}"
        took = time.perf_counter() - began
        found.append(f"Slide training in bfloat16 on {number} x {where} {told} ({took:.0f} s).")
    return found


if __name__ == "__main__":
    main()
