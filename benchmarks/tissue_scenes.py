"""Scenes of real fields on glass, where tissue, glass, ink and dirt are known by construction."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

GLASS, TISSUE, BESIDE, NOT_COUNTED, INK = 0, 1, 2, 3, 4
TINTS = {
    "neutral": (243, 243, 243),
    "pink": (250, 234, 238),
    "violet": (221, 220, 238),
    "blue": (224, 236, 248),
    "yellow": (248, 242, 218),
    "green": (230, 243, 230),
    "grey": (208, 208, 210),
    "amber": (246, 230, 212),
}
# Microns per pixel: as the sets state, else as they look.
FIELDS = {"osteosarcoma": 1.0, "prostate_gleason": 0.5, "colon_glands": 0.62, "glioblastoma": 0.25}
GLOMERULI = {"PASM": 0.5, "Masson": 0.5, "PAS": 0.5}
PATCHES = {
    "lymph_node_metastasis": 0.97,
    "colorectal_diagnosis": 0.7,
    "oral_carcinoma": 0.5,
    "lung_carcinoma": 0.5,
}
PENS = {
    "black": (25, 25, 30),
    "blue": (35, 60, 170),
    "green": (30, 130, 80),
    "red": (200, 35, 45),
    "purple": (110, 40, 150),
    "orange": (240, 120, 25),
    "brown": (110, 65, 35),
    "pink": (235, 80, 150),
}
CELL_UM = 64.0
# A pixel of a field is plainly empty below it; such places are not counted as tissue.
EMPTY_DENSITY = 0.08


@dataclass(frozen=True)
class Field:
    """A real picture, its optical density over its own white, and where it is plainly empty."""

    name: str
    pixels: Pixels
    mpp: float
    density: Floats
    empty: BoolImage


@dataclass(frozen=True)
class Scene:
    """Pixels, and for each pixel what it is (:data:`GLASS` to :data:`INK`)."""

    name: str
    pixels: Pixels
    mpp: float
    truth: npt.NDArray[np.int8]


def read_fields(data: Path, kind: str, most: int, seed: int = 0) -> list[Field]:
    """Some fields of a set, spread over it; of patches squares of 4 x 4 that share a label."""
    if kind in GLOMERULI:
        folder = data / "fields" / "glomeruli"
        with (folder / "fields.csv").open(encoding="utf-8") as lines:
            files = sorted(
                folder / "img" / Path(row["file"]).name
                for row in csv.DictReader(lines)
                if row["stain"] == kind
            )
    elif kind in FIELDS:
        files = sorted(file for file in (data / "fields" / kind).rglob("*.jpg") if "mask" not in file.parts)
    else:
        return list(_patch_squares(data / "patches" / kind, PATCHES[kind], most, seed))
    order = np.random.default_rng(seed).permutation(len(files))[:most]
    mpp = {**FIELDS, **GLOMERULI}[kind]
    return [field_of(files[at].stem, _read(files[at]), mpp) for at in sorted(order)]


def _patch_squares(folder: Path, mpp: float, most: int, seed: int) -> Iterator[Field]:
    with (folder / "tiles.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    rng = np.random.default_rng(seed)
    labels = sorted({row["label"] for row in rows})
    for at in range(most):
        mine = [row for row in rows if row["label"] == labels[at % len(labels)]]
        chosen = rng.choice(len(mine), 16, replace=False)
        tiles = [_read(folder / mine[k]["path"]) for k in chosen]
        lines_of = [np.concatenate(tiles[k : k + 4], axis=1) for k in range(0, 16, 4)]
        yield field_of(f"{folder.name}-{at}", np.concatenate(lines_of), mpp)


def _read(file: Path) -> Pixels:
    return np.asarray(Image.open(file).convert("RGB"))


def field_of(name: str, pixels: Pixels, mpp: float) -> Field:
    """A field with its density over its own white, and its plainly empty places."""
    smooth = np.stack([ndimage.uniform_filter(pixels[..., c].astype(np.float32), 3) for c in range(3)], -1)
    white = np.maximum(np.percentile(smooth.reshape(-1, 3), 99.8, axis=0), 60)
    if white.min() > 170:  # else it was exposed too short; a dense field shows no white of its own
        white = np.maximum(white, 238)
    density = np.maximum(-np.log(np.maximum(pixels, 1) / white), 0).astype(np.float32)
    blurred = ndimage.gaussian_filter(density, (2 / mpp, 2 / mpp, 0)).max(2)
    return Field(name, pixels, mpp, density, blurred < EMPTY_DENSITY)


def lay(fields: list[Field], strengths: list[float], tint: str, seed: int) -> Scene:
    """Fields as pieces with uneven edges side by side on glass, each with its own strength of stain.

    The first is :data:`TISSUE`, the others :data:`BESIDE`.
    """
    rng = np.random.default_rng(seed)
    mpp = fields[0].mpp
    gap = round(300 / mpp)
    height = max(field.empty.shape[0] for field in fields) + 2 * gap
    width = sum(field.empty.shape[1] for field in fields) + gap * (len(fields) + 1)
    density = np.zeros((height, width, 3), np.float32)
    truth = np.zeros((height, width), np.int8)
    left = gap
    for at, (field, strength) in enumerate(zip(fields, strengths, strict=True)):
        h, w = field.empty.shape
        piece = _piece((h, w), rng)
        here = (slice(gap, gap + h), slice(left, left + w))
        density[here][piece] = field.density[piece] * strength
        truth[here] = np.where(piece, np.where(field.empty, NOT_COUNTED, BESIDE if at else TISSUE), GLASS)
        left += w + gap
    name = f"{fields[0].name} x {strengths[0]:g} on {tint}" + (" beside another" if len(fields) > 1 else "")
    return Scene(name, scanned(density, TINTS[tint], rng), mpp, truth)


def _piece(shape: tuple[int, int], rng: np.random.Generator) -> BoolImage:
    y, x = np.mgrid[: shape[0], : shape[1]]
    y, x = (y / shape[0] - 0.5) * 2, (x / shape[1] - 0.5) * 2
    angle = np.arctan2(y, x)
    edge = 0.93 + sum(0.05 / k * np.cos(k * angle + rng.uniform(0, 2 * math.pi)) for k in (2, 3, 5, 9))
    inside: BoolImage = np.hypot(y, x) < edge
    return inside


def scanned(
    density: Floats, glass: tuple[int, int, int], rng: np.random.Generator, noise: float = 1.2
) -> Pixels:
    """What a scanner saves of an optical density: blurred a little, with noise, as JPEG."""
    pixels = np.array(glass, np.float32) * np.exp(-ndimage.gaussian_filter(density, (0.6, 0.6, 0)))
    pixels += rng.normal(0, noise, pixels.shape)
    held = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(held, "JPEG", quality=85)
    return np.asarray(Image.open(held).convert("RGB"))


@dataclass(frozen=True)
class Sheet:
    """A slide before it is scanned: density, truth, at 4 µm/px."""

    density: Floats
    truth: npt.NDArray[np.int8]
    rng: np.random.Generator
    mpp: float = 4.0

    def on(
        self, name: str, glass: tuple[int, int, int] = (243, 243, 243), light: Floats | None = None
    ) -> Scene:
        """The scanned sheet, darkened by a share of light if any."""
        density = self.density if light is None else self.density - np.log(light)[..., None]
        return Scene(name, scanned(density, glass, self.rng), self.mpp, self.truth)


def sheet_of(fields: list[Field], seed: int, side_px: int = 1400) -> Sheet:
    """Two pieces of several millimetres, each put together of fields; none of an empty list."""
    rng = np.random.default_rng(seed)
    density = np.zeros((side_px, side_px, 3), np.float32)
    truth = np.zeros((side_px, side_px), np.int8)
    for at in range(2 if fields else 0):
        top, left = 250 + 80 * at, 180 + 560 * at
        shape = (700, 480)
        tissue, empty = _mosaic([fields[k] for k in rng.permutation(len(fields))], shape)
        piece = _piece(shape, rng)
        here = (slice(top, top + shape[0]), slice(left, left + shape[1]))
        density[here][piece] = tissue[piece]
        truth[here] = np.where(piece, np.where(empty, NOT_COUNTED, TISSUE), truth[here])
    return Sheet(density, truth, rng)


def _mosaic(fields: list[Field], shape: tuple[int, int], mpp: float = 4.0) -> tuple[Floats, BoolImage]:
    """Fields one after the other until a rectangle at 4 µm/px is full."""
    density = np.zeros((*shape, 3), np.float32)
    empty = np.zeros(shape, bool)
    top = at = 0
    while top < shape[0]:
        left = 0
        while left < shape[1]:
            field = fields[at % len(fields)]
            k = max(1, round(mpp / field.mpp))
            h, w = (n // k * k for n in field.empty.shape)
            small = field.density[:h, :w].reshape(h // k, k, w // k, k, 3).mean((1, 3))
            hollow = field.empty[:h, :w].reshape(h // k, k, w // k, k).mean((1, 3)) > 0.5
            rows, cols = min(h // k, shape[0] - top), min(w // k, shape[1] - left)
            density[top : top + rows, left : left + cols] = small[:rows, :cols]
            empty[top : top + rows, left : left + cols] = hollow[:rows, :cols]
            left += w // k
            at += 1
        top += h // k
    return density, empty


def with_pen(sheet: Sheet, colour: str) -> Sheet:
    """A stroke of 0.4 to 0.8 mm across glass and the edge of a piece, and a ring around nothing."""
    rng, side = sheet.rng, sheet.truth.shape[0]
    y, x = np.mgrid[:side, :side]
    middle = 150 + 60 * np.sin(x / side * 2 * math.pi * rng.uniform(0.6, 1.4) + rng.uniform(0, 6))
    stroke = np.abs(y - middle) < rng.uniform(50, 100)
    radius = np.hypot(y - 1150, x - 1050)
    stroke |= np.abs(radius - 150) < rng.uniform(40, 70)
    cover = ndimage.gaussian_filter(stroke.astype(np.float32), 3)
    streaks = 1 + 0.08 * ndimage.gaussian_filter(rng.normal(0, 1, stroke.shape), (2, 25)) / 0.06
    ink = -np.log(np.array(PENS[colour], np.float32) / 243)
    density = sheet.density + (cover * np.clip(streaks, 0.7, 1.3))[..., None].astype(np.float32) * ink
    on_tissue = (sheet.truth == TISSUE) & (cover > 0.02)
    truth = np.where(
        on_tissue, NOT_COUNTED, np.where((cover > 0.5) & (sheet.truth == GLASS), INK, sheet.truth)
    )
    truth = np.where((truth == GLASS) & (cover > 0.02), NOT_COUNTED, truth).astype(np.int8)
    return replace(sheet, density=density.astype(np.float32), truth=truth)


def with_border(sheet: Sheet) -> Sheet:
    """Black at two sides with a soft edge, as where the scanner leaves the slide."""
    side = sheet.truth.shape[0]
    y, x = np.mgrid[:side, :side]
    cover = ndimage.gaussian_filter(((x < 90) | (y > side - 70)).astype(np.float32), 3)
    truth = np.where((cover > 0.5) & (sheet.truth == GLASS), INK, sheet.truth)
    truth = np.where((cover > 0.02) & (truth != INK), NOT_COUNTED, truth).astype(np.int8)
    return replace(sheet, density=sheet.density + (3.0 * cover)[..., None], truth=truth)


def with_dust(sheet: Sheet, count: int = 150) -> Sheet:
    """Grey and brown grains of 15 to 120 µm, some out of focus."""
    rng, side = sheet.rng, sheet.truth.shape[0]
    density = sheet.density.copy()
    for _ in range(count):
        radius = rng.uniform(2, 15)
        centre = rng.uniform(20, side - 20, 2)
        top, left = np.maximum(centre.astype(int) - 30, 0)
        y, x = np.mgrid[top : min(top + 60, side), left : min(left + 60, side)]
        grain = 1 / (1 + np.exp((np.hypot(y - centre[0], x - centre[1]) - radius) / rng.uniform(0.3, 3)))
        colour = rng.uniform(0.3, 1.6) * np.array([1.0, 1.0, rng.uniform(1.0, 1.3)])
        density[top : top + 60, left : left + 60] += (grain[..., None] * colour).astype(np.float32)
    return replace(sheet, density=density)


def with_bubbles(sheet: Sheet, count: int = 9) -> Sheet:
    """Rings of 0.2 to 0.9 mm, dark over 12 to 24 µm and bright within; and the edge of a cover slip."""
    rng, side = sheet.rng, sheet.truth.shape[0]
    y, x = np.mgrid[:side, :side]
    density = sheet.density.copy()
    for _ in range(count):
        centre, radius = rng.uniform(60, side - 60, 2), rng.uniform(25, 110)
        away = np.hypot(y - centre[0], x - centre[1]) - radius
        density += (0.6 * np.exp(-((away / rng.uniform(1.5, 3)) ** 2)))[..., None].astype(np.float32)
        density -= (0.06 * np.exp(-(((away + 6) / 2.5) ** 2)))[..., None].astype(np.float32)
    line = np.abs(x * 0.05 + y - 1330)
    density += (0.5 * np.exp(-((line / 2.5) ** 2)))[..., None].astype(np.float32)
    return replace(sheet, density=density)


def with_folds(sheet: Sheet) -> tuple[Sheet, BoolImage]:
    """Bands of 80 to 160 µm in which the tissue lies double; and where they are."""
    side = sheet.truth.shape[0]
    y, x = np.mgrid[:side, :side]
    folded = np.zeros(sheet.truth.shape, bool)
    for slope, at in ((0.7, 150), (-0.5, 900), (0.2, 420)):
        folded |= np.abs(y - at - slope * x) < sheet.rng.uniform(12, 24)
    folded &= sheet.truth == TISSUE
    again = np.roll(sheet.density, 37, axis=1)
    density = sheet.density + np.where(folded[..., None], 1.2 * np.maximum(again, sheet.density), 0)
    return replace(sheet, density=density.astype(np.float32)), folded


def vignette(side: int, corner: float) -> Floats:
    """Share of light, 1 in the middle and ``corner`` in the corners, float32 ``(side, side)``."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return (1 - (1 - corner) * (x * x + y * y) / 2).astype(np.float32)


def cells_of(values: npt.NDArray[Any], mpp: float) -> npt.NDArray[np.float64]:
    """Means over whole cells of :data:`CELL_UM` of a picture."""
    side = CELL_UM / mpp
    rows, cols = int(values.shape[0] / side), int(values.shape[1] / side)
    top, left = (np.round(np.arange(n + 1) * side).astype(int) for n in (rows, cols))
    inside = values[: top[-1], : left[-1]].astype(np.float64)
    sums = np.add.reduceat(np.add.reduceat(inside, top[:-1], 0), left[:-1], 1)
    means: npt.NDArray[np.float64] = sums / np.outer(np.diff(top), np.diff(left))
    return means
