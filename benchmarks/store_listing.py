"""Listing and verifying a store of many maps: how long, in seconds of one core and on the clock?

    python benchmarks/store_listing.py [--maps 10000] [--store STORE] [--write]

A store is made of copies of one small map under other names, or is one that is there, such as that which
``many_slides.py --folder`` leaves. Every measurement runs in a process of its own, which first loads all that
it needs; files were read before, so that they lie in memory. Seconds of the processor say what the work
costs; those on the clock depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr

from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.store import MAP_SUFFIX, map_folder
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress

CHILD = """
import json, sys, time
from pathlib import Path
from histonic.data.maps.shares import read_shares
from histonic.data.maps.facts import read_checked_facts
from histonic.data.maps.store import Store, map_folder
from histonic.slides.fingerprint import fingerprint_file
from histonic.stages.verify.verify import verify
store = Path(sys.argv[1])
works = {
    "listing": lambda: Store.open(store),
    "tissue shares": lambda: read_shares(store, Store.open(store).slide_ids, []),
    "one map by name, of each": lambda: [name in opened for name in opened.slide_ids],
    "whole, facts and files": lambda: [read_checked_facts(map_folder(store, n)) for n in opened.slide_ids],
    "verify --quick": lambda: verify(paths=[store], quick=True),
    "verify": lambda: verify(paths=[store]),
}
opened = Store.open(store)
cpu, wall = time.process_time(), time.perf_counter()
works[sys.argv[2]]()
print(json.dumps([len(opened), time.process_time() - cpu, time.perf_counter() - wall]))
"""
WORKS = {
    "listing": "`Store.open`: names, facts of all maps, that they belong together",
    "tissue shares": "`tissue.csv` at the end of a compression",
    "one map by name, of each": "whether the store holds a map, asked of every map",
    "whole, facts and files": "what a restart compares of every map, beside the slide's fingerprint",
    "verify --quick": "`histonic verify --quick`",
    "verify": "`histonic verify`: every byte",
}


def make_store(folder: Path, maps: int) -> Path:
    rng = np.random.default_rng(0)
    image = np.clip(np.array([200, 120, 180]) + rng.integers(-30, 30, (512, 512, 1)), 0, 255)
    write_pyramid(folder / "a.tif", image.astype(np.uint8), mpp=0.5)
    compress(slides=[folder / "a.tif"], encoder="mean-rgb", out=folder / "one")
    facts = read_map_facts(folder / "one" / f"a{MAP_SUFFIX}")
    store = folder / "store"
    store.mkdir()
    for number in range(maps):
        target = map_folder(store, f"slide-{number:07d}")
        shutil.copytree(folder / "one" / f"a{MAP_SUFFIX}", target)
        own = facts.model_copy(update={"slide_id": f"slide-{number:07d}"})
        zarr.open_group(store=str(target), mode="r+").update_attributes(own.to_dict())
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--maps", type=int, default=10_000)
    parser.add_argument("--store", type=Path, help="a store that is there")
    parser.add_argument("--write", action="store_true", help="write store_listing.md beside this script")
    options = parser.parse_args()
    lines, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or make_store(Path(folder), options.maps)
        for name, words in WORKS.items():
            told = subprocess.run(
                [sys.executable, "-c", CHILD, str(store), name], check=True, capture_output=True, text=True
            )
            count, cpu, wall = json.loads(told.stdout.splitlines()[-1])
            lines.append(f"| {words} | {cpu:.2f} | {wall:.1f} | {1000 * cpu / count:.2f} |")
            print(lines[-1], flush=True)
    where = "--store STORE" if options.store else f"--maps {options.maps}"
    text = (
        f"# Listing and verifying {count:,} maps\n\nMade by `python benchmarks/store_listing.py {where} "
        f"--write` on {os.cpu_count()} cores ({platform.machine()}), on which much else ran; "
        "maps of a few tiles, on a local disk.\n\n"
        "| what | processor, s | on the clock, s | processor, ms a map |\n| --- | --- | --- | --- |\n"
    ) + "".join(f"{line}\n" for line in lines)
    if options.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
