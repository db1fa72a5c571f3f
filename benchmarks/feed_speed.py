"""Augmented tiles per second: a packed set and whole batches, against a DataLoader over PNG files.

    python benchmarks/feed_speed.py [--seconds 3] [--out benchmarks/feed_speed.md]

Makes 256 tiles of 128 px by simulation, once as one packed ``.npy`` file and once as PNG files, and draws
random batches of 64 from both, augmented at the level hed-strong, on the same cores (Linux) in turns:

- *histonic*: rows of the memory-mapped file in a thread ahead, then ``histonic.nn.augmentation.augment`` on
  the batch with a thread of torch for each core, as ``histonic encoder train`` does;
- *DataLoader*: ``torch.utils.data.DataLoader`` with a worker for each core, a tile at a time: PIL opens,
  turns, scales and lights it, SciPy bends and blurs it, NumPy changes stains and adds noise, at the same
  strengths.

At 64 px, on which the NIC trunk is trained, both average tiles of 128 px two by two before they augment.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from histonic.core.processes.prefetch import prefetched
from histonic.nn.augmentation.augment import AUGMENT_LEVELS, augment
from histonic.nn.pixels import unit_pixels
from histonic.simulate.slides import simulate_tissue

TILES, TILE_PX, BATCH, REPEATS = 256, 128, 64, 3
BATCHES_AHEAD = 4
"""Batches that lie ready when the clock starts, at most, on both sides; as many pass before it does."""
RULE = AUGMENT_LEVELS["hed-strong"]
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
MIX = (STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)).astype(np.float32)
SEPARATE = np.linalg.inv(MIX)


def write_tiles(folder: Path) -> tuple[Path, list[Path]]:
    """The same tiles packed and as PNG files."""
    side = 8 * TILE_PX
    tiles = np.concatenate(
        [
            simulate_tissue(side, np.random.default_rng(seed))
            .reshape(8, TILE_PX, 8, TILE_PX, 3)
            .swapaxes(1, 2)
            .reshape(64, TILE_PX, TILE_PX, 3)
            for seed in range(TILES // 64)
        ]
    )
    np.save(folder / "tiles.npy", tiles)
    paths = [folder / f"{number}.png" for number in range(TILES)]
    for tile, path in zip(tiles, paths, strict=True):
        Image.fromarray(tile).save(path)
    return folder / "tiles.npy", paths


def packed_batches(packed: Path, side_px: int) -> Iterator[Tensor]:
    """Augmented batches ``(B, 3, side_px, side_px)``, without end."""
    tiles = np.load(packed, mmap_mode="r")
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def rows() -> Iterator[Tensor]:
        while True:
            yield torch.from_numpy(tiles[np.sort(rng.integers(TILES, size=BATCH))])

    with closing(prefetched(rows(), BATCHES_AHEAD)) as ahead:
        for batch in ahead:
            yield augment(unit_pixels(batch, side_px), RULE, generator)


class PngTiles(Dataset[Tensor]):
    """A tile a file, augmented one at a time."""

    def __init__(self, paths: list[Path], side_px: int) -> None:
        self.paths = paths
        self.side_px = side_px

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(1 << 62, ())))
        with Image.open(self.paths[index]) as opened:
            image = opened.convert("RGB")
        if self.side_px != TILE_PX:
            image = image.reduce(TILE_PX // self.side_px)
        tile = bent_and_blurred(turned_and_scaled(image, rng), rng)
        tile = relit(restained(tile, rng), rng)
        tile += rng.standard_normal(tile.shape, np.float32) * np.float32(rng.uniform(0, RULE.noise))
        return torch.from_numpy(tile.clip(0, 1).transpose(2, 0, 1).copy())


def turned_and_scaled(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    for _ in range(rng.integers(4)):
        image = image.transpose(Image.Transpose.ROTATE_90)
    if rng.integers(2):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    zoom = 1 / rng.uniform(1 - RULE.scale, 1 + RULE.scale)
    start = image.width / 2 * (1 - zoom)
    matrix = (zoom, 0, start, 0, zoom, start)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def bent_and_blurred(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    tile = np.asarray(image, np.float32) / 255
    side_px = len(tile)
    share = side_px / TILE_PX
    # Alpha grows with the square of the side: smoothed noise is weaker the more pixels sigma spans.
    alpha = rng.uniform(*RULE.elastic_alpha) * share**2
    sigma = rng.uniform(*RULE.elastic_sigma_px) * share
    where = np.indices((side_px, side_px), np.float32)
    for axis in range(2):
        noise = rng.random((side_px, side_px), np.float32) * 2 - 1
        where[axis] += alpha * ndimage.gaussian_filter(noise, sigma)
    channels = [ndimage.map_coordinates(tile[..., c], where, order=1, mode="reflect") for c in range(3)]
    width = rng.uniform(0, RULE.blur_px) * share
    return ndimage.gaussian_filter(np.stack(channels, axis=2), (width, width, 0))


def restained(tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    amounts = -np.log(tile.clip(1e-3)) @ SEPARATE
    factor = rng.uniform(1 - RULE.stain, 1 + RULE.stain, 3).astype(np.float32)
    addend = rng.uniform(-RULE.stain, RULE.stain, 3).astype(np.float32)
    return np.exp(-(amounts * factor + addend) @ MIX).clip(0, 1)


def relit(tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = Image.fromarray((tile * 255).round().astype(np.uint8))
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(1 - RULE.brightness, 1 + RULE.brightness))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(1 - RULE.contrast, 1 + RULE.contrast))
    return np.asarray(image, np.float32) / 255


def png_batches(paths: list[Path], side_px: int, workers: int) -> Iterable[Tensor]:
    """Augmented batches ``(B, 3, side_px, side_px)`` from that many workers."""
    tiles = PngTiles(paths, side_px)
    sampler = RandomSampler(tiles, replacement=True, num_samples=1 << 20)
    return DataLoader(tiles, BATCH, sampler=sampler, num_workers=workers)


def rate(batches: Iterable[Tensor], seconds: float) -> float:
    """Tiles per second once the batches that lay ready have passed."""
    count, began = 0, 0.0
    for number, _ in enumerate(batches):
        if number == BATCHES_AHEAD:
            began = time.perf_counter()
        elif number > BATCHES_AHEAD:
            count += BATCH
            if (taken := time.perf_counter() - began) > seconds:
                return count / taken
    raise RuntimeError("The batches ended.")


def ratios() -> dict[str, float]:
    """For ``smoke.py``: ours over the DataLoader at 64 px on one core, short."""
    allowed = os.sched_getaffinity(0)
    threads = torch.get_num_threads()
    side_px, found = TILE_PX // 2, []
    os.sched_setaffinity(0, {min(allowed)})
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            packed, paths = write_tiles(Path(folder))
            for _ in range(REPEATS):
                plain = rate(png_batches(paths, side_px, 1), 1.5)
                found.append(rate(packed_batches(packed, side_px), 1.5) / plain)
    finally:
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(threads)
    return {"augmented tiles of 64 px, one core": float(np.median(found))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="time of each measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    allowed = sorted(os.sched_getaffinity(0))
    lines = [
        "| cores | side (px) | DataLoader, PIL (tiles/s) | histonic (tiles/s) | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        packed, paths = write_tiles(Path(folder))
        for cores in (1, 2):
            os.sched_setaffinity(0, allowed[:cores])
            torch.set_num_threads(cores)
            for side_px in (TILE_PX, TILE_PX // 2):
                plain, ours = [], []
                for _ in range(REPEATS):
                    plain.append(rate(png_batches(paths, side_px, cores), options.seconds))
                    ours.append(rate(packed_batches(packed, side_px), options.seconds))
                first, second = np.median(plain), np.median(ours)
                lines.append(f"| {cores} | {side_px} | {first:.0f} | {second:.0f} | {second / first:.1f} |")
                print(lines[-1], flush=True)
    command = f"Command: `python benchmarks/{Path(__file__).name}`, level hed-strong, batches of {BATCH},"
    text = f"{command}\nmedian of {REPEATS}, both on the same cores of a machine of {os.cpu_count()}."
    page = "\n".join(["# Feeding augmented tiles", "", text, "", *lines, ""])
    options.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
