"""Tiles per second of ``histonic compress`` against a plain script and against the machine's own floor.

    python benchmarks/compress_speed.py --folder SCRATCH [--gigapixels 1] [--encoders nic,histonic-mtl]
        [--rounds 5] [--before SOURCE] [--busy] [--write]

Everything runs in one call, in turns, each measurement in a new process; medians. The slide is simulated (0.5
µm/px, JPEG tiles of 256 px, three tenths of it tissue), or given by ``--slide``. The encoders:

- *nic*: the convolutional network of the NIC papers with the weights of the learned half of histonic-mtl;
- *histonic-mtl*: the default; *resnet50*, *vit-s*: of timm at 224 px, random weights.

Columns: the script of ``plain_script.py`` in eager float32 and with bfloat16 and ``torch.compile`` (compiled
before its clock starts); ours as ``compress`` does it by default, and with ``--precision 32``. Ours is the
time from the opened store to the last written map: opening, tissue, reading, encoding and writing. Code that
is compiled is in the cache before the clock starts, as the script's is. ``--before`` measures another source
tree of histonic too, such as a worktree of an older commit.

The floor is what the machine needs for encoding alone (the compiled network on tiles in memory, on all cores;
the faster of our own path and of ``torch.compile``) plus decoding alone (each stored tile under the tissue
once, all cores). ``--busy`` keeps one core busy with other work meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

TABLE = Path(__file__).with_suffix(".md")
SMOKE_GIGAPIXELS = 0.25
ENCODERS = ("nic", "histonic-mtl")
TIMM = {"resnet50": "resnet50", "vit-s": "vit_small_patch16_224"}
FLOOR_S = 4.0
SPINNING = "import time\nwhile True:\n    sum(range(100000))\n"


def encoder_file(name: str, folder: Path, model: str | None = None) -> str:
    """A file or a name that ``compress`` takes as its encoder; a model of timm gets random weights."""
    if name == "histonic-mtl":
        return name
    path = folder / f"{name}.safetensors"
    if path.exists():
        return str(path)
    from histonic.encoders.base import EncoderSpec, load_encoder

    torch.manual_seed(0)
    if name == "nic":
        from histonic.encoders.networks.nic import NicEncoder

        learned = load_encoder("histonic-mtl").network.learned  # type: ignore[attr-defined]
        size = learned.code.out_features
        # As measured on real tiles (the model card), so that the default arithmetic is that of the card.
        spec = EncoderSpec("nic", "nic", 128, 0.5, size, half_cosine=0.9997)
        NicEncoder(spec, learned).save(path)
    else:
        from histonic.encoders.foreign.timm import TimmEncoder, TimmNetwork

        model = model or TIMM[name]
        network = TimmNetwork(model, None, 224)
        TimmEncoder(EncoderSpec(name, f"timm:{model}", 224, 0.5, network.code_size), network).save(path)
    return str(path)


def tiles_of(slide_path: Path, encoder: str) -> dict[str, Any]:
    """Corners of the tiles that compress would read, and their sides."""
    from histonic.core.grid import TileGrid
    from histonic.encoders.base import load_encoder
    from histonic.slides.base import open_slide
    from histonic.slides.tiles import best_mpp
    from histonic.slides.tissue.cells import cell_coverage
    from histonic.slides.tissue.finder import find_tissue

    spec = load_encoder(encoder).spec
    with open_slide(slide_path) as slide:
        mpp = best_mpp(slide, spec.mpp)
        grid = TileGrid.over(slide.size_wh, slide_mpp=slide.mpp, tile_px=spec.tile_px, mpp=mpp)
        mask = cell_coverage(find_tissue(slide), grid) >= 0.25
        read_px = round(spec.tile_px * mpp / slide.mpp)
    corners = [tuple(round(part) for part in grid.cell_xy((int(r), int(c)))) for r, c in np.argwhere(mask)]
    return {"corners": corners, "tile_px": spec.tile_px, "read_px": read_px}


def ours(slide: Path, encoder: str, precision: str, folder: Path) -> dict[str, float]:
    """One compression into a new store."""
    from histonic.stages.compress.compress import compress

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as store:
        more = {} if precision == "default" else {"precision": precision}
        result = compress(slides=[str(slide)], encoder=encoder, out=Path(store) / "store", **more)
    return {"tiles": result.tiles, "seconds": result.seconds, "whole_s": time.perf_counter() - began}


def script(slide: Path, encoder: str, fast: bool, folder: Path) -> dict[str, float]:
    """One pass of the plain script."""
    from histonic.encoders.base import load_encoder
    from plain_script import encode_by_script

    given = tiles_of(slide, encoder)
    network = load_encoder(encoder).network  # type: ignore[attr-defined]
    seconds = encode_by_script(network, slide, fast=fast, out=folder / "codes.npy", **given)
    return {"tiles": len(given["corners"]), "seconds": seconds}


def floor(slide: Path, encoder: str, precision: str) -> dict[str, float]:
    """Tiles per second of encoding alone and of decoding alone, both on all cores."""
    given = tiles_of(slide, encoder)
    cores = len(os.sched_getaffinity(0))
    decode_s = _decode_alone(slide, given, cores)
    rates = [_encode_compiled(encoder, given["tile_px"], cores, precision)]
    rates.append(rate_by_engine(encoder, precision))
    count = len(given["corners"])
    return {
        "tiles": count,
        "seconds": count / max(rates) + decode_s,
        "encode": max(rates),
        "decode_s": decode_s,
    }


def _decode_alone(slide_path: Path, given: dict[str, Any], cores: int) -> float:
    from histonic.slides.base import open_slide

    with open_slide(slide_path) as slide:
        level = slide._tiled[0]  # type: ignore[attr-defined]
        wide, high = level.block_wh
        side = given["read_px"]
        wanted = sorted(
            {
                row * level.columns + col
                for x, y in given["corners"]
                for row in range(y // high, min((y + side - 1) // high + 1, level.rows))
                for col in range(x // wide, min((x + side - 1) // wide + 1, level.columns))
            }
        )
        began = time.perf_counter()
        with ThreadPoolExecutor(cores) as pool:
            parts = [wanted[start : start + 64] for start in range(0, len(wanted), 64)]
            for _ in pool.map(lambda part: [level.decode(index) is None for index in part], parts):
                pass
        return time.perf_counter() - began


def rate_by_engine(encoder: str, precision: str, device: str = "cpu", seconds: float = FLOOR_S) -> float:
    """Tiles per second of the encoder alone, as ``compress`` runs it when compiled; 0 in older versions."""
    try:
        from histonic.encoders.engines.alone import rate_alone
        from histonic.encoders.engines.choice import start_encoding
    except ImportError:  # an older version
        return 0.0
    from histonic.core.progress import Silent
    from histonic.encoders.base import load_encoder

    loaded = load_encoder(encoder, device=device, precision=precision)
    tile_px = loaded.spec.tile_px
    first = np.random.default_rng(0).integers(0, 256, (256, tile_px, tile_px, 3), dtype=np.uint8)
    with start_encoding(
        loaded,
        device=device,
        precision=precision,  # type: ignore[arg-type]
        engine="compiled",
        tiles=0,
        batch=256,
        first=first,
        progress=Silent(),
    ) as pool:
        return rate_alone(pool, tile_px, seconds)


def _encode_compiled(encoder: str, tile_px: int, cores: int, precision: str) -> float:
    from histonic.encoders.base import load_encoder

    torch.set_num_threads(cores)
    network = torch.compile(load_encoder(encoder).network)  # type: ignore[attr-defined]
    half = precision != "32"
    tiles = torch.rand(64, 3, tile_px, tile_px).to(memory_format=torch.channels_last) * 2 - 1
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        network(tiles)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < FLOOR_S:
            network(tiles)
            count += len(tiles)
        return count / (time.perf_counter() - began)


@contextmanager
def one_core_busy(busy: bool) -> Iterator[None]:
    """Other work on one core, if asked for."""
    if not busy:
        yield
        return
    other = subprocess.Popen([sys.executable, "-c", SPINNING])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def _measured(what: str, options: argparse.Namespace, encoder: str, source: Path | None) -> dict[str, float]:
    """Run one measurement in a new process; its peak memory, children included, in MB."""
    environment = dict(os.environ)
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    command = [sys.executable, __file__, "--one", what, "--slide", str(options.slide)]
    command += ["--folder", str(options.folder), "--encoders", encoder]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{what} failed")
    found: dict[str, float] = json.loads(out.strip().splitlines()[-1])
    return {**found, "peak_mb": peak[0]}


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(_proportional_mb(pid) for pid in _family(process.pid)))
        time.sleep(0.2)


def _family(pid: int) -> list[int]:
    from histonic.core.processes.footprint import children

    return [pid, *(below for child in children(pid) for below in _family(child))]


def _proportional_mb(pid: int) -> float:
    """What shared pages cost is shared among the processes."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1000


def _one(options: argparse.Namespace) -> None:
    encoder = encoder_file(options.encoders, options.folder)
    kind, _, which = options.one.partition(":")
    if kind == "ours":
        found = ours(options.slide, encoder, which, options.folder)
    elif kind == "script":
        found = script(options.slide, encoder, which == "fast", options.folder)
    else:
        found = floor(options.slide, encoder, which)
    print(json.dumps(found))


def columns(before: Path | None) -> dict[str, tuple[str, Path | None]]:
    """What is measured in each round: what a process does, and on which source."""
    found: dict[str, tuple[str, Path | None]] = {
        "script, float32": ("script:plain", None),
        "script, bf16 + compile": ("script:fast", None),
    }
    if before is not None:
        found |= {"before, 32": ("ours:32", before), "before, bf16": ("ours:bf16", before)}
    return found | {
        "ours, 32": ("ours:32", None),
        "ours, default": ("ours:default", None),
        "floor": ("floor:bf16", None),
    }


def measure(options: argparse.Namespace, encoder: str) -> dict[str, dict[str, float]]:
    """Medians of all columns of an encoder: tiles/s and memory."""
    asked = columns(options.before)
    rates: dict[str, list[float]] = {name: [] for name in asked}
    peaks: dict[str, float] = dict.fromkeys(asked, 0.0)
    for what, source in asked.values():
        if what.startswith("ours"):
            _measured(what, options, encoder, source)  # fills the caches
    with one_core_busy(options.busy):
        for _ in range(options.rounds):
            for name, (what, source) in asked.items():
                found = _measured(what, options, encoder, source)
                rates[name].append(found["tiles"] / found["seconds"])
                peaks[name] = max(peaks[name], found["peak_mb"])
    return {
        name: {
            "tiles/s": float(np.median(values)),
            "least": min(values),
            "most": max(values),
            "MB": peaks[name],
        }
        for name, values in rates.items()
    }


def multiples(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """How many times as fast as the plain script ours is, and which share of the floor it reaches."""
    rate = {name: values["tiles/s"] for name, values in found.items()}
    best = rate["ours, default"]
    return {
        "script, float32": round(best / rate["script, float32"], 3),
        "script, bf16 + compile": round(best / rate["script, bf16 + compile"], 3),
        "floor": round(best / rate["floor"], 3),
    }


def ratios() -> dict[str, dict[str, float]]:
    """The multiples of one short round, for ``make bench-smoke``."""
    from slides import write_gigapixel_slide

    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.tif"
        write_gigapixel_slide(slide, SMOKE_GIGAPIXELS)
        options = argparse.Namespace(folder=Path(folder), slide=slide, rounds=1, before=None, busy=False)
        return {encoder: multiples(measure(options, encoder)) for encoder in ENCODERS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="scratch folder")
    parser.add_argument("--slide", type=Path, help="a slide in place of the simulated one")
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--encoders", default=",".join(ENCODERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="source folder of another version")
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    parser.add_argument("--write", action="store_true", help=f"add the table to {TABLE.name}")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.slide is None:
        from slides import write_gigapixel_slide

        options.slide = options.folder / f"slide-{options.gigapixels:g}gp.tif"
        write_gigapixel_slide(options.slide, options.gigapixels)
    if options.one:
        _one(options)
        return
    named = f"{options.gigapixels:g} gigapixels" if "gp.tif" in options.slide.name else options.slide.name
    busy = ", one core busy" if options.busy else ""
    lines = [f"## {named}{busy}, {len(os.sched_getaffinity(0))} cores, median of {options.rounds}", ""]
    lines += [
        "| encoder | measured | tiles/s | from | to | peak MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    all_ratios = {}
    for encoder in options.encoders.split(","):
        found = measure(options, encoder)
        for name, values in found.items():
            cells = (values["tiles/s"], values["least"], values["most"], values["MB"])
            lines.append(f"| {encoder} | {name} | " + " | ".join(f"{each:.0f}" for each in cells) + " |")
            print(lines[-1], flush=True)
        all_ratios[encoder] = multiples(found)
        print(encoder, all_ratios[encoder], flush=True)
    text = "; ".join(
        f"{encoder}: " + ", ".join(f"{value:.2f} of {name}" for name, value in each.items())
        for encoder, each in all_ratios.items()
    )
    lines += ["", f"Ours, default, in multiples: {text}.", ""]
    if options.write:
        with TABLE.open("a", encoding="utf-8") as table:
            table.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
