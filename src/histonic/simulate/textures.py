"""Random fields: smooth noise, wavy fibres, cells of a random mosaic, and their enlargement."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.spatial import cKDTree

FloatImage = npt.NDArray[np.float32]
FIBRE_PX = 1280
GRAIN_PX = 1024
FIBRE_DIRECTIONS = 4
TEXTURE_SEED = 20_240_501
# Of a two-dimensional uniform cubic B-spline with independent standard normal coefficients.
SPLINE_DEVIATION = 0.48


def smooth_noise(rng: np.random.Generator, side: int, scale: float) -> FloatImage:
    """Noise of mean about 0 and deviation about 1 that changes over ``scale`` pixels.

    Example:
        >>> smooth_noise(np.random.default_rng(0), 20, 5.0).shape
        (20, 20)
    """
    place = np.arange(side) / scale
    first = place.astype(np.int64)
    t = (place - first)[:, None]
    # The four weights of a uniform cubic B-spline; sums of four terms, so that every machine rounds alike.
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    field = rng.standard_normal((int(first[-1]) + 4, int(first[-1]) + 4))
    for _ in range(2):
        terms = [weight / 6 * field[first + k] for k, weight in enumerate(weights)]
        field = (terms[0] + terms[1] + terms[2] + terms[3]).T
    return np.asarray(field / SPLINE_DEVIATION, np.float32)


def widen(field: FloatImage, factor: int, side: int) -> FloatImage:
    """Linear interpolation of the columns by a whole factor; column ``i`` comes to column ``factor * i``.

    Args:
        field: float32 ``(n, m)`` with ``(m - 1) * factor >= side``.
        factor: How much wider.
        side: Width of the result.

    Example:
        >>> widen(np.array([[0, 2]], np.float32), 2, 2).tolist()
        [[0.0, 1.0]]
    """
    return np.ascontiguousarray(heighten(field.T, factor)[:side].T)


def heighten(field: FloatImage, factor: int) -> FloatImage:
    """Linear interpolation of the rows by a whole factor, from the first row to just before the last."""
    out = np.empty(((len(field) - 1) * factor, field.shape[1]), np.float32)
    step = np.diff(field, axis=0) / np.float32(factor)
    for offset in range(factor):
        out[offset::factor] = field[:-1] + step * np.float32(offset)
    return out


def signed_distance(field: FloatImage, limit: float) -> FloatImage:
    """Roughly the distance in pixels to where ``field`` crosses 0, positive where it is positive."""
    slope = np.hypot(*np.gradient(field))
    return np.asarray(np.clip(field / np.maximum(slope, 1e-4), -limit, limit), np.float32)


@functools.cache
def fibre_textures() -> tuple[FloatImage, ...]:
    """Wavy fibres in :data:`FIBRE_DIRECTIONS` directions; each repeats without a seam."""
    rng = np.random.default_rng(TEXTURE_SEED)
    return tuple(_fibres(rng, k * np.pi / FIBRE_DIRECTIONS) for k in range(FIBRE_DIRECTIONS))


def _fibres(rng: np.random.Generator, angle: float) -> FloatImage:
    """White noise filtered in the frequency domain: long along ``angle``, thin across, then bent."""
    n = FIBRE_PX
    freq_y, freq_x = _frequencies(n)
    along = freq_x * np.cos(angle) + freq_y * np.sin(angle)
    across = -freq_x * np.sin(angle) + freq_y * np.cos(angle)
    total = np.zeros((n, n), np.float32)
    for length, width, weight in ((26.0, 2.2, 0.8), (60.0, 6.0, 1.0)):
        gain = np.exp(-2 * np.pi**2 * ((along * length) ** 2 + (across * width) ** 2))
        total += np.float32(weight) * _filtered(rng, gain)
    bend = np.exp(-2 * np.pi**2 * 28.0**2 * (freq_x**2 + freq_y**2))
    where = [axis + np.float32(9.0) * _filtered(rng, bend) for axis in np.indices((n, n), np.float32)]
    bent = ndimage.map_coordinates(total, where, order=1, mode="grid-wrap")
    return np.asarray(bent / bent.std(), np.float32)


def _frequencies(n: int) -> tuple[FloatImage, FloatImage]:
    down = np.asarray(fft.fftfreq(n), np.float32)
    right = np.asarray(fft.rfftfreq(n), np.float32)
    freq_y, freq_x = np.meshgrid(down, right, indexing="ij")
    return freq_y, freq_x


def _filtered(rng: np.random.Generator, gain: FloatImage) -> FloatImage:
    """White noise times ``gain`` in the frequency domain, with deviation 1."""
    n = len(gain)
    noise = fft.irfft2(fft.rfft2(rng.standard_normal((n, n), dtype=np.float32)) * gain, (n, n))
    return np.asarray(noise / noise.std(), np.float32)


@functools.cache
def grain_texture() -> FloatImage:
    """The fine, cloudy grain of cytoplasm; it repeats without a seam."""
    rng = np.random.default_rng(TEXTURE_SEED + 1)
    freq_y, freq_x = _frequencies(GRAIN_PX)
    square = freq_x**2 + freq_y**2
    fine, cloudy = (_filtered(rng, np.exp(-2 * np.pi**2 * scale**2 * square)) for scale in (1.1, 4.0))
    return np.asarray((0.75 * fine + 0.65 * cloudy) / 0.99, np.float32)


def window(texture: FloatImage, corner: tuple[int, int], height: int, width: int) -> FloatImage:
    """The part of an endless texture whose top-left is at ``corner`` (row, column)."""
    rows = np.arange(corner[0], corner[0] + height) % texture.shape[0]
    cols = np.arange(corner[1], corner[1] + width) % texture.shape[1]
    return np.asarray(np.take(np.take(texture, rows, axis=0), cols, axis=1), np.float32)


def mosaic_edges(
    centres_xy: npt.NDArray[np.float64], where: npt.NDArray[np.bool_], beyond: float
) -> FloatImage:
    """Distance to the border between the nearest centre and the next, ``beyond`` outside ``where``.

    Args:
        centres_xy: ``(N, 2)`` centres in pixels of ``where``.
        where: bool ``(h, w)``: the pixels that are wanted.
        beyond: Value elsewhere.
    """
    edges = np.full(where.shape, beyond, np.float32)
    rows, cols = np.nonzero(where)
    if len(centres_xy) >= 2 and len(rows):
        near, _ = cKDTree(centres_xy).query(np.column_stack([cols, rows]), k=2)
        edges[rows, cols] = (near[:, 1] - near[:, 0]) / 2
    return edges


def jittered_points(
    rng: np.random.Generator, side: float, spacing: float, jitter: float
) -> npt.NDArray[np.float64]:
    """Points ``(N, 2)`` of a hexagonal grid, each moved by a normal deviate of ``jitter * spacing``."""
    height = spacing * np.sqrt(3) / 2
    rows, cols = np.meshgrid(
        np.arange(-1, side / height + 1), np.arange(-1, side / spacing + 1), indexing="ij"
    )
    x = (cols + 0.5 * (rows % 2)) * spacing
    points = np.column_stack([x.ravel(), (rows * height).ravel()])
    points += rng.normal(0.0, jitter * spacing, points.shape)
    inside = ((points >= 0) & (points < side)).all(axis=1)
    return points[inside]
