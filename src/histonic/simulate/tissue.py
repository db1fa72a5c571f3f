"""The plan of a slide: outline of the tissue, tumour nests and glands, fat, and where each nucleus lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.simulate.patients import Latents
from histonic.simulate.textures import (
    FloatImage,
    jittered_points,
    mosaic_edges,
    signed_distance,
    smooth_noise,
)

Floats = npt.NDArray[np.float64]
COARSE = 4
NEST_SPACING_PX = 210.0
GLAND_LUMEN = (0.30, 0.50)
FAT_CELL_PX = 78.0
VESSEL_SPACING_PX = 260.0
FAR_PX = 40.0


@dataclass(frozen=True)
class Nest:
    """A gland or a solid nest: a rough disc in full-resolution pixels.

    Attributes:
        x: Centre.
        y: Centre.
        radius: Mean radius.
        waves: Amplitude and phase of the second to fifth harmonic of the outline.
        lumen: Radius of the lumen as a share of that of the outline; 0 is a solid nest.
    """

    x: float
    y: float
    radius: float
    waves: tuple[tuple[float, float], ...]
    lumen: float

    def rim(self, theta: Floats) -> Floats:
        """Radius of the outline in each direction."""
        rim = np.ones_like(theta)
        for order, (amplitude, phase) in enumerate(self.waves, start=2):
            rim += amplitude * np.cos(order * theta + phase)
        outline: Floats = self.radius * rim
        return outline


@dataclass(frozen=True)
class TissueLayout:
    """Where everything lies; maps have one pixel for :data:`COARSE` x :data:`COARSE` of the slide.

    Attributes:
        side_px: Side of the slide.
        tissue: Distance to the outline in pixels of the slide, positive inside.
        nests: Distance to the nearest outline of a nest, positive inside.
        lumens: Distance to the nearest lumen, positive inside.
        fat: Distance to the border of the fat, positive inside.
        septa: Distance to the nearest wall between fat cells.
        directions: Angle of the fibres.
        units: The nests.
        vessels: Small vessels, as nests whose whole disc is a lumen.
    """

    side_px: int
    tissue: FloatImage
    nests: FloatImage
    lumens: FloatImage
    fat: FloatImage
    septa: FloatImage
    directions: FloatImage
    units: tuple[Nest, ...]
    vessels: tuple[Nest, ...]

    def at(self, field: FloatImage, points: Floats) -> FloatImage:
        """Values of a map at points ``(N, 2)`` of the slide."""
        cells = (points // COARSE).astype(np.int64)
        return field[cells[:, 1], cells[:, 0]]


def draw_layout(latents: Latents, side_px: int, rng: np.random.Generator, *, glass: bool) -> TissueLayout:
    """Draw the plan of one slide.

    Args:
        latents: Layout and differentiation shape the nests; the amount of tissue depends on neither.
        side_px: Side of the slide.
        rng: Source of randomness.
        glass: Whether the tissue lies on glass; otherwise it fills the slide.
    """
    n = -(-side_px // COARSE) + 1
    tissue = _outline(rng, n) if glass else np.full((n, n), FAR_PX, np.float32)
    fat = _fat(rng, tissue)
    units = _units(latents, rng, side_px, tissue, fat)
    nests, lumens = _paint(units, n)
    nests = np.minimum(nests, np.minimum(tissue - 6, -fat))
    stroma = np.minimum(tissue, np.minimum(-nests, -fat))
    vessels = _vessels(rng, stroma, side_px)
    _, bores = _paint(vessels, n)
    lumens = np.maximum(lumens, np.minimum(bores, -nests - 4))
    seeds = jittered_points(rng, side_px, FAT_CELL_PX, 0.20) / COARSE
    septa = mosaic_edges(seeds, fat > -8, FAR_PX) * COARSE
    directions = np.asarray(0.9 * smooth_noise(rng, n, max(n / 5, 60.0)) + rng.uniform(0, np.pi), np.float32)
    return TissueLayout(side_px, tissue, nests, lumens, fat, septa, directions, units, vessels)


def _outline(rng: np.random.Generator, n: int) -> FloatImage:
    """An irregular piece of tissue that covers a drawn share of the slide."""
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    y, x = y - rng.uniform(-0.08, 0.08), x - rng.uniform(-0.08, 0.08)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.25)
    along = (x * np.cos(angle) + y * np.sin(angle)) / stretch
    across = (-x * np.sin(angle) + y * np.cos(angle)) * stretch
    border = np.maximum(np.abs(x), np.abs(y))
    height = -np.hypot(along, across) - 6.0 * np.clip(border - 0.70, 0, None) ** 2
    height = height + 0.11 * smooth_noise(rng, n, n / 4) + 0.04 * smooth_noise(rng, n, n / 18)
    height = height + 0.010 * smooth_noise(rng, n, n / 90)
    share = rng.uniform(0.38, 0.56)
    limit = np.quantile(height[::4, ::4], 1 - share)
    return signed_distance(np.asarray(height - limit, np.float32), FAR_PX / COARSE) * COARSE


def _fat(rng: np.random.Generator, tissue: FloatImage) -> FloatImage:
    n = len(tissue)
    noise = smooth_noise(rng, n, max(n / 4, 60.0)) + 0.25 * smooth_noise(rng, n, 25.0)
    inside = tissue > 0
    limit = np.quantile(noise[inside][::8], 1 - rng.uniform(0.02, 0.12))
    return np.minimum(signed_distance(noise - np.float32(limit), FAR_PX / COARSE) * COARSE, tissue)


def _units(
    latents: Latents, rng: np.random.Generator, side_px: int, tissue: FloatImage, fat: FloatImage
) -> tuple[Nest, ...]:
    """Nests on a jittered grid: more and larger ones the more the layout is nested."""
    centres = jittered_points(rng, side_px, NEST_SPACING_PX, 0.13)
    cells = (centres // COARSE).astype(np.int64)
    fits = (tissue[cells[:, 1], cells[:, 0]] > 20) & (fat[cells[:, 1], cells[:, 0]] < -20)
    kept = rng.random(len(centres)) < 0.50 + 0.32 * latents.layout
    mean = NEST_SPACING_PX * (0.33 + 0.09 * latents.layout)
    units = []
    for x, y in centres[fits & kept]:
        waves = tuple(
            (float(rng.normal(0, 0.20 / (order - 1))), float(rng.uniform(0, 2 * np.pi)))
            for order in range(2, 6)
        )
        gland = rng.random() < 0.05 + 0.90 * latents.differentiation
        lumen = float(rng.uniform(*GLAND_LUMEN)) if gland else 0.0
        units.append(Nest(float(x), float(y), float(mean * rng.lognormal(0, 0.14)), waves, lumen))
    return tuple(units)


def _vessels(rng: np.random.Generator, stroma: FloatImage, side_px: int) -> tuple[Nest, ...]:
    centres = jittered_points(rng, side_px, VESSEL_SPACING_PX, 0.25)
    cells = (centres // COARSE).astype(np.int64)
    return tuple(
        Nest(
            float(x),
            float(y),
            float(rng.uniform(10, 24)),
            ((float(rng.uniform(0.1, 0.45)), float(turn)),),
            1.0,
        )
        for (x, y), turn, room in zip(
            centres, rng.uniform(0, 2 * np.pi, len(centres)), stroma[cells[:, 1], cells[:, 0]], strict=True
        )
        if room > 14
    )


def _paint(units: tuple[Nest, ...], n: int) -> tuple[FloatImage, FloatImage]:
    nests = np.full((n, n), -FAR_PX, np.float32)
    lumens = np.full((n, n), -FAR_PX, np.float32)
    for unit in units:
        reach = int(1.7 * unit.radius / COARSE) + 3
        col, row = int(unit.x / COARSE), int(unit.y / COARSE)
        rows = slice(max(0, row - reach), min(n, row + reach + 1))
        cols = slice(max(0, col - reach), min(n, col + reach + 1))
        y, x = np.mgrid[rows, cols] * float(COARSE)
        y, x = y - unit.y, x - unit.x
        rim, radius = unit.rim(np.arctan2(y, x)), np.hypot(x, y)
        np.maximum(nests[rows, cols], np.clip(rim - radius, -FAR_PX, FAR_PX), out=nests[rows, cols])
        if unit.lumen:
            theta = np.arctan2(y, x)
            ragged = 1 + 0.16 * np.cos(3 * theta + unit.x) + 0.12 * np.cos(5 * theta + unit.y)
            hole = np.clip(unit.lumen * rim * ragged - radius, -FAR_PX, FAR_PX)
            np.maximum(lumens[rows, cols], hole, out=lumens[rows, cols])
    return nests, lumens


def add_cell_bodies(nests: FloatImage, points: Floats, radii_px: Floats) -> None:
    """Widen the nests, in place, by round cells at ``points`` ``(N, 2)``."""
    n = len(nests)
    for (x, y), radius in zip(points, radii_px, strict=True):
        reach, col, row = int(radius / COARSE) + 3, int(x / COARSE), int(y / COARSE)
        rows = slice(max(0, row - reach), min(n, row + reach + 1))
        cols = slice(max(0, col - reach), min(n, col + reach + 1))
        down = np.arange(rows.start, rows.stop)[:, None] * COARSE - y
        right = np.arange(cols.start, cols.stop)[None, :] * COARSE - x
        body = (radius - np.hypot(down, right)).astype(np.float32)
        np.maximum(nests[rows, cols], body, out=nests[rows, cols])
