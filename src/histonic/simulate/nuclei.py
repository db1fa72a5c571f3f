"""A bank of small pictures of nuclei and red cells, and their stamping onto a slide."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatImage = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
BANK_SEED = 77
MARGIN_PX = 40
DIRECTIONS = 12
TUMOUR_RADII_PX = (5.5, 6.5, 7.5, 8.5, 9.5, 11.0, 12.5, 14.5)
ROUND, COLUMNAR = 0, 1
VARIANTS = 7
PLAIN_VARIANTS = 60
MITOSIS_VARIANTS = 48


@dataclass(frozen=True)
class Bank:
    """Pictures of nuclei, float32 ``(2, s, s)``: haematoxylin, and how much of the cell they cover.

    Attributes:
        tumour: By shape (round, columnar), size, direction and variant.
        lymphocyte: Small, dark and round.
        spindle: Thin; by direction and variant.
        mitosis: Dark clumps and plates in a pale cell.
        red_cell: Red blood cells, with a third plane: eosin.
    """

    tumour: dict[tuple[int, int, int], tuple[FloatImage, ...]]
    lymphocyte: tuple[FloatImage, ...]
    spindle: dict[int, tuple[FloatImage, ...]]
    mitosis: tuple[FloatImage, ...]
    red_cell: tuple[FloatImage, ...]


@functools.cache
def nucleus_bank() -> Bank:
    """The bank, always the same one; drawn at the first call of a process."""
    rng = np.random.default_rng(BANK_SEED)
    angles = [k * np.pi / DIRECTIONS for k in range(DIRECTIONS)]
    tumour = {
        (shape, size, k): tuple(_tumour(rng, radius, angle, shape) for _ in range(VARIANTS))
        for shape in (ROUND, COLUMNAR)
        for size, radius in enumerate(TUMOUR_RADII_PX)
        for k, angle in enumerate(angles)
    }
    return Bank(
        tumour,
        tuple(_lymphocyte(rng) for _ in range(PLAIN_VARIANTS)),
        {k: tuple(_spindle(rng, angle) for _ in range(VARIANTS)) for k, angle in enumerate(angles)},
        tuple(_mitosis(rng, k) for k in range(MITOSIS_VARIANTS)),
        tuple(_red_cell(rng) for _ in range(PLAIN_VARIANTS)),
    )


def direction_of(angle: Floats) -> npt.NDArray[np.int64]:
    """Index of the direction nearest to each angle (radians from x towards y)."""
    return np.round(np.asarray(angle) / np.pi * DIRECTIONS).astype(np.int64) % DIRECTIONS


def size_of(radius_px: Floats) -> npt.NDArray[np.int64]:
    """Index of the tumour nucleus nearest in size."""
    middle = (np.array(TUMOUR_RADII_PX[1:]) + np.array(TUMOUR_RADII_PX[:-1])) / 2
    return np.digitize(radius_px, middle)


def blank(side_px: int) -> FloatImage:
    """An empty canvas ``(3, side + margins, side + margins)`` for :func:`stamp`."""
    return np.zeros((3, side_px + 2 * MARGIN_PX, side_px + 2 * MARGIN_PX), np.float32)


def stamp(canvas: FloatImage, sprite: FloatImage, x: int, y: int, strength: float) -> None:
    """Put one picture on the canvas, centred at pixel ``(x, y)`` of the slide; the darker one wins."""
    size = sprite.shape[1]
    top, left = y + MARGIN_PX - size // 2, x + MARGIN_PX - size // 2
    part = canvas[: len(sprite), top : top + size, left : left + size]
    np.maximum(part, sprite * np.float32(strength), out=part)


def inner(canvas: FloatImage) -> FloatImage:
    """The canvas without its margins."""
    return canvas[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _inside(
    rng: np.random.Generator,
    half_axes: tuple[float, float],
    angle: float,
    roughness: float,
    reach: float = 1.3,
) -> Floats:
    """Distance in pixels to the rim of a rough ellipse, positive inside, on a square around it."""
    half = int(np.ceil(max(half_axes) * reach)) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    x, y = x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5)
    along = (x * np.cos(angle) + y * np.sin(angle)) / half_axes[0]
    across = (-x * np.sin(angle) + y * np.cos(angle)) / half_axes[1]
    theta = np.arctan2(across, along)
    rim = np.ones_like(theta)
    for order in (1, 2, 3, 4, 5):
        rim += roughness / order * rng.normal() * np.cos(order * theta + rng.uniform(0, 2 * np.pi))
    distance: Floats = (rim - np.hypot(along, across)) * np.sqrt(half_axes[0] * half_axes[1])
    return distance


def _grain(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Floats:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), scale, mode="wrap")
    grain: Floats = noise / noise.std()
    return grain


def _sprite(haematoxylin: Floats, cover: Floats) -> FloatImage:
    return np.stack([haematoxylin, cover]).astype(np.float32)


def _tumour(rng: np.random.Generator, radius: float, angle: float, shape: int) -> FloatImage:
    """Open chromatin with clumps, a dark rim and sometimes a nucleolus."""
    aspect = rng.uniform(1.05, 1.45) if shape == ROUND else rng.uniform(1.6, 2.2)
    stretch = np.sqrt(aspect)
    distance = _inside(rng, (radius * stretch, radius / stretch), angle + rng.normal(0, 0.12), 0.09)
    cover = np.clip(distance / 1.6 + 0.5, 0.0, 1.0)
    rim = np.exp(-(((distance - 1.0) / 1.3) ** 2))
    level = rng.uniform(0.62, 0.95)
    clumps = _grain(rng, distance.shape, 1.5)
    h = level * (1 + 0.16 * clumps + 0.10 * _grain(rng, distance.shape, 0.7)) + 0.22 * rim
    if radius > 7 and rng.random() < 0.6:
        h += 0.45 * _spot(rng, distance.shape, 0.35 * radius, rng.uniform(1.2, 1.8))
    return _sprite(np.clip(h, 0.2, None) * cover, cover)


def _spot(rng: np.random.Generator, shape: tuple[int, ...], spread: float, radius: float) -> Floats:
    y, x = np.indices(shape) - (shape[0] - 1) / 2 - rng.normal(0, spread * 0.6, (2, 1, 1))
    spot: Floats = np.exp(-(x**2 + y**2) / (2 * radius**2))
    return spot


def _lymphocyte(rng: np.random.Generator) -> FloatImage:
    radius = rng.uniform(4.6, 6.2)
    distance = _inside(rng, (radius * rng.uniform(1.0, 1.18), radius), rng.uniform(0, np.pi), 0.05)
    cover = np.clip(distance / 1.5 + 0.5, 0.0, 1.0)
    h = rng.uniform(1.05, 1.35) * (1 + 0.14 * _grain(rng, distance.shape, 1.3))
    return _sprite(np.clip(h, 0.4, None) * cover, cover)


def _spindle(rng: np.random.Generator, angle: float) -> FloatImage:
    half_axes = (rng.uniform(8.5, 15.0), rng.uniform(2.0, 3.6))
    distance = _inside(rng, half_axes, angle + rng.normal(0, 0.15), 0.10)
    cover = np.clip(distance / 1.5 + 0.5, 0.0, 1.0)
    h = rng.uniform(0.8, 1.2) * (1 + 0.12 * _grain(rng, distance.shape, 1.2))
    return _sprite(np.clip(h, 0.3, None) * cover, cover)


def _red_cell(rng: np.random.Generator) -> FloatImage:
    radius = rng.uniform(4.6, 5.8)
    distance = _inside(rng, (radius * rng.uniform(1.0, 1.25), radius), rng.uniform(0, np.pi), 0.05)
    disc = np.clip(distance / 1.6 + 0.5, 0.0, 1.0) * (1 - 0.25 * np.exp(-(((distance - radius) / 2.5) ** 2)))
    return np.stack([0 * disc, 0 * disc, rng.uniform(0.80, 1.05) * disc]).astype(np.float32)


def _mitosis(rng: np.random.Generator, kind: int) -> FloatImage:
    """A plate, a ragged clump, or two plates that part, in turn."""
    angle = rng.uniform(0, np.pi)
    cell = _inside(rng, (14.0, 12.0), angle, 0.08)
    halo = 0.45 * np.clip(cell / 6.0 + 0.2, 0.0, 1.0)
    if kind % 3 == 0:
        chromatin = _placed(rng, cell.shape, (8.0, 2.8), angle, 0.16, 0.0)
    elif kind % 3 == 1:
        chromatin = _placed(rng, cell.shape, (6.6, 5.4), angle, 0.26, 0.0)
    else:
        apart = rng.uniform(4.0, 6.0)
        plates = [_placed(rng, cell.shape, (6.5, 2.1), angle, 0.14, side * apart) for side in (-1, 1)]
        chromatin = np.maximum(*plates)
    ragged = chromatin + 0.55 * _grain(rng, cell.shape, 1.2)
    dark = np.clip(ragged / 2.2 + 0.5, 0.0, 1.0)
    h = rng.uniform(1.45, 1.8) * dark * (1 + 0.08 * _grain(rng, cell.shape, 0.8))
    return _sprite(h, np.maximum(halo, dark))


def _placed(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    half_axes: tuple[float, float],
    angle: float,
    roughness: float,
    offset: float,
) -> Floats:
    """A rough ellipse moved by ``offset`` across its long axis, on a square of a given shape."""
    small = _inside(rng, half_axes, angle, roughness, reach=1.8)
    placed: Floats = np.full(shape, -9.0)
    middle = (np.array(shape) - np.array(small.shape)) // 2
    shift = np.round(offset * np.array([np.cos(angle), -np.sin(angle)])).astype(int)
    low = np.maximum(middle + shift, 0)
    start = low - (middle + shift)
    high = np.minimum(middle + shift + np.array(small.shape), shape)
    stop = start + (high - low)
    placed[low[0] : high[0], low[1] : high[1]] = small[start[0] : stop[0], start[1] : stop[1]]
    return placed
