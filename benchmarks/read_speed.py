"""Tiles per second of the reader, before and after a change, and against one OpenSlide call per tile.

    python benchmarks/read_speed.py --before ../old/src [--slides FOLDER] [--out benchmarks/read_speed.md]

For each way in which slides are stored a file of the same tissue is made: of a field of a real slide
(``CMU-1-Small-Region.svs`` in --slides) or, without one, of simulated tissue. Tiles of 128 px are read at
0.5 µm/px in batches of 256 cells in row-major order, as ``histonic compress`` reads them, by the older source
(--before), by this one, and by OpenSlide, one call a tile and one thread. Each reads in a process of its own,
in turns; a row gives medians of five passes with freshly opened slides.

Last it says how far the pixels that the JPEG decoder makes are from exact means, and how far their codes are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

REPEATS = 5
SIDE_PX = 5120
TILE_PX = 128

# What runs on either source: only names that both have.
PASS = """
import sys, time, inspect
import numpy as np
from histonic.core.grid import TileGrid
from histonic.slides.base import open_slide
from histonic.slides.tiles import walk_tiles
path, reader, quick, single = sys.argv[1], sys.argv[2], sys.argv[3] == "quick", sys.argv[4] == "single"
has_quick = "exact_averaging" in inspect.signature(open_slide).parameters
def opened():
    more = {"exact_averaging": False} if quick and has_quick else {}
    given = 0.25 if "at 0.25" in path else 0.5
    return open_slide(path, mpp=given, reader=reader or None, **more)
def one_pass():
    began, worked = time.perf_counter(), time.process_time()
    with opened() as slide:
        grid = TileGrid.over(slide.size_wh, slide_mpp=slide.mpp, tile_px=128, mpp=0.5)
        mask = np.ones(grid.shape, bool)
        mask[:, ::7] = False
        if single:
            for row, col in np.argwhere(mask):
                slide.read(grid.cell_xy((int(row), int(col))), (128, 128), 0.5)
        else:
            for _ in walk_tiles(slide, grid, mask, batch=256):
                pass
    tiles = int(mask.sum())
    return tiles / (time.perf_counter() - began), (time.process_time() - worked) / tiles * 1000
one_pass()
for line in sys.stdin:
    print(*one_pass(), flush=True)
"""


def tissue(folder: Path | None, side_px: int) -> np.ndarray:
    """A square field of tissue, from a real slide if there is one."""
    slide = folder / "CMU-1-Small-Region.svs" if folder else None
    if slide is not None and slide.exists():
        import tifffile

        field = tifffile.imread(slide, key=0)[200:2648, 200:1992]
    else:
        from histonic.simulate.slides import simulate_tissue

        field = simulate_tissue(2048, np.random.default_rng(0))
    turned = np.concatenate([field, field[::-1]], axis=0)
    wide = np.concatenate([turned, turned[:, ::-1]], axis=1)
    times = -(-side_px // min(wide.shape[:2]))
    return np.ascontiguousarray(np.tile(wide, (times, times, 1))[:side_px, :side_px])


def write_all(folder: Path, pixels: np.ndarray) -> dict[str, tuple[Path, str]]:
    """Files by the name of their row, with the reader that opens them."""
    import tifffile
    from PIL import Image

    jpeg = {"compression": "jpeg", "compressionargs": {"level": 80}, "photometric": "rgb"}
    jpeg["subsampling"] = (2, 2)
    # As Aperio stores it, which OpenSlide reads.
    lossy = {"compression": 33005, "compressionargs": {"level": 40}, "photometric": "rgb"}
    lossy["description"] = "Aperio Image Library\n2048x2048 (256x256) |MPP = 0.5"
    kinds: dict[str, dict[str, Any]] = {
        **{f"JPEG, tiles of {side} px": {**jpeg, "tile": (side, side)} for side in (256, 512, 1024)},
        "JPEG, tiles of 224 px": {**jpeg, "tile": (224, 224)},
        "JPEG, strips of 16 rows": {**jpeg, "rowsperstrip": 16},
        "deflate, strips of 64 rows": {"compression": "deflate", "photometric": "rgb", "rowsperstrip": 64},
        "JPEG 2000, tiles of 256 px": {**lossy, "tile": (256, 256)},
    }
    found = {}
    for number, (name, options) in enumerate(kinds.items()):
        path = folder / f"{number}.tif"
        part = pixels[:2048, :2048] if "2000" in name else pixels
        tifffile.imwrite(path, part, metadata=None, resolution=(20_000, 20_000), resolutionunit=3, **options)
        found[name] = (path, "tiff")
    fine = folder / "at 0.25.tif"
    tifffile.imwrite(fine, pixels, metadata=None, tile=(256, 256), **jpeg)
    found["JPEG, tiles of 256 px, 0.25 read at 0.5 µm/px"] = (fine, "tiff")
    found["the same, exact means"] = (fine, "tiff exact")
    found["JPEG, tiles of 256 px, --reader openslide"] = (found["JPEG, tiles of 256 px"][0], "openslide")
    picture = folder / "field.jpg"
    Image.fromarray(pixels).save(picture, quality=80)
    found["JPG picture"] = (picture, "picture")
    return found


class Reading:
    """A process that reads a file again and again when it is told to."""

    def __init__(self, source: Path, path: Path, reader: str, single: bool = False) -> None:
        quick = "exact" if "exact" in reader else "quick"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", PASS, str(path), reader.split(" ", maxsplit=1)[0], quick),
                "single" if single else "batches",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        )

    def measure(self) -> tuple[float, float]:
        """Tiles a second of one more pass, and CPU milliseconds a tile."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("no pipe")
        stdin.write("\n")
        stdin.flush()
        rate, cpu_ms = (float(each) for each in stdout.readline().split())
        return rate, cpu_ms

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def measure(name: str, path: Path, reader: str, before: Path | None) -> str:
    """One row of the table."""
    here = Path(__file__).parents[1] / "src"
    readings = {"after": Reading(here, path, reader)}
    if before is not None:
        readings["before"] = Reading(before, path, reader)
    if reader != "picture" and "strips" not in name:
        readings["openslide"] = Reading(here, path, "openslide", single=True)
    found: dict[str, list[tuple[float, float]]] = {key: [] for key in readings}
    try:
        for _ in range(REPEATS):
            for key, reading in readings.items():
                found[key].append(reading.measure())
    finally:
        for reading in readings.values():
            reading.close()
    median = {key: np.median(values, axis=0) for key, values in found.items()}

    def shown(at: int, keys: tuple[str, ...], digits: int) -> str:
        return " | ".join(f"{median[key][at]:,.{digits}f}" if key in median else "-" for key in keys)

    def ratio(at: int, key: str) -> str:
        return f"{(median['after'][at] / median[key][at]) ** (1 - 2 * at):.2f}" if key in median else "-"

    rates, works = shown(0, ("openslide", "before", "after"), 0), shown(1, ("before", "after"), 3)
    ratios = f"{ratio(0, 'before')} | {ratio(0, 'openslide')}"
    return f"| {name} | {rates} | {ratios} | {works} | {ratio(1, 'before')} |"


def differences(folder: Path, slides: Path | None) -> list[str]:
    """Pixels that the decoder makes smaller against exact means, and their codes, of real slides."""
    import tifffile

    from histonic.encoders.base import load_encoder

    encoder = load_encoder("histonic-mtl")
    lines = [
        "| slide | times | mean | 99 % | most | cosine of codes: median | 1 % | least |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    cases: list[tuple[str, Path]] = []
    if slides is not None and (slides / "CMU-1-Small-Region.svs").exists():
        cases.append(("CMU-1-Small-Region.svs as it is", slides / "CMU-1-Small-Region.svs"))
    if slides is not None and (slides / "TCGA-CR-7395-01A-01-TS1.svs").exists():
        stored = tifffile.imread(slides / "TCGA-CR-7395-01A-01-TS1.svs", key=0)
        for quality in (80, 30):
            path = folder / f"tcga{quality}.tif"
            tifffile.imwrite(
                path, stored, tile=(256, 256), photometric="rgb", compression="jpeg", metadata=None,
                compressionargs={"level": quality}, subsampling=(2, 2),
            )  # fmt: skip
            cases.append((f"TCGA-CR-7395, stored again as JPEG of quality {quality}, 4:2:0", path))
    for name, path in cases:
        for factor in (2, 4, 8):
            exact, quick = (_tissue_tiles(path, factor, flag) for flag in (True, False))
            lines.append(f"| {name} | {factor} | {_apart(exact, quick, encoder)} |")
        exact = _tissue_tiles(path, 2, True)
        stored = np.stack([_stored_again(tile) for tile in exact])
        lines.append(
            f"| the same, exact means stored once more, 90, 4:4:4 | 2 | {_apart(exact, stored, encoder)} |"
        )
    return lines


def _stored_again(tile: np.ndarray) -> np.ndarray:
    import simplejpeg

    data = simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=90, colorsubsampling="444")
    return np.asarray(simplejpeg.decode_jpeg(data))


def _tissue_tiles(path: Path, factor: int, exact: bool) -> np.ndarray:
    from histonic.core.grid import TileGrid
    from histonic.slides.base import open_slide
    from histonic.slides.tiles import walk_tiles
    from histonic.slides.tissue.cells import cell_coverage
    from histonic.slides.tissue.finder import find_tissue

    with open_slide(path, mpp=0.25, exact_averaging=exact) as slide:
        grid = TileGrid.over(slide.size_wh, slide_mpp=0.25, tile_px=TILE_PX, mpp=0.25 * factor)
        mask = cell_coverage(find_tissue(slide), grid) >= 0.25
        # Those over the border are exact in any case.
        mask[-1], mask[:, -1] = False, False
        return np.concatenate([tiles for _, tiles in walk_tiles(slide, grid, mask, 256)])


def _apart(wanted: np.ndarray, found: np.ndarray, encoder: Any) -> str:
    levels = np.abs(wanted.astype(int) - found)
    codes = [encoder.encode(tiles).reshape(len(tiles), -1).astype(np.float64) for tiles in (wanted, found)]
    lengths = np.linalg.norm(codes[0], axis=1) * np.linalg.norm(codes[1], axis=1)
    cosine = (codes[0] * codes[1]).sum(1) / lengths
    near = f"{np.median(cosine):.5f} | {np.percentile(cosine, 1):.5f} | {cosine.min():.5f}"
    return f"{levels.mean():.2f} | {np.percentile(levels, 99):.0f} | {levels.max()} | {near}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="Folder src of the older version.")
    parser.add_argument("--slides", type=Path, help="Folder with real slides.")
    parser.add_argument("--only", default="", help="Rows whose name holds this.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    lines = [
        "| stored as | one OpenSlide call a tile | before | after | after / before | after / OpenSlide | "
        "CPU ms a tile before | after | before / after |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, (path, reader) in write_all(folder, tissue(options.slides, SIDE_PX)).items():
            if options.only in name:
                lines.append(measure(name, path, reader, options.before))
                print(lines[-1], flush=True)
        far = differences(folder, options.slides)
    print("\n".join(far))
    text = [
        "# Reading tiles",
        "",
        f"Command: `python benchmarks/{Path(__file__).name} --before OLDER/src --slides FOLDER`, tiles of "
        f"{TILE_PX} px a second, median of {REPEATS} passes in turns.",
        "",
        *lines,
        "",
        "## What the JPEG decoder makes smaller, against exact means",
        "",
        "Tissue tiles: grey levels (of 255), and cosine between codes of `histonic-mtl` (float32) of both.",
        "Slides are read at twice, four and eight times their microns per pixel, whatever these are. To",
        "compare: what it does to store the exact tiles once more, as JPEG of quality 90.",
        "",
        *far,
    ]
    options.out.write_text("\n".join([*text, ""]))


if __name__ == "__main__":
    main()
