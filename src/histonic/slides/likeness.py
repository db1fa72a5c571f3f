"""What a slide looks like in two thousand numbers, so that the same slide under two names is found.

A frame is laid around the tissue by its centre and spread, so that neither the margin of glass nor the
resolution of the copy matters. In it stand the share of tissue and the fine variation of its optical density.
Stain and compression hardly change these, and turned or mirrored copies are found by turning one of the two.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage, special

from histonic.core.compressed import ORIENTATIONS, orient
from histonic.core.grid import TileGrid

FloatArray = npt.NDArray[np.float64]
UInt8Image = npt.NDArray[np.uint8]
SIDE = 32
"""Pixels along the frame."""
REACH = 2.0
"""Half the side of the frame, in root mean square distances of the tissue from its centre."""
COARSE = 4.0
"""Variation coarser than so many pixels of the frame is taken off: rims are alike on all slides."""
DENSITY = -np.log10((np.arange(766, dtype=np.float32) / 3 + 1) / 256)
"""Optical density of a pixel whose three channels sum up to so much."""
GLASS = 0.06
"""Optical density up to which a pixel is glass."""
COVERED = 0.3
"""Pixels of the frame with less tissue than this say nothing."""
FEWEST_PIXELS = 1500
"""Pixels of tissue on the thumbnail below which nothing is compared."""
LEAST_MM2 = 0.1
"""The same, square millimetres of tissue: on less, the rim is most of the picture, alike on all slides."""
FEWEST_COVERED = 60
"""The same, pixels of the frame."""
SHARED = 0.75
"""Share of the larger of two textures that both must have; chance alone correlates small overlaps."""
FEWEST_SHARED = 50
"""Pixels of the frame that both of two slides cover, below which they are not compared."""
CHANCE = 0.01
"""Chance that among all pairs of a cohort, turned and shifted, one would be as alike as is asked for."""
REACH_OF_LIKENESS = 8
"""Pixels of the frame beyond which a texture is not taken to be alike with itself."""
SPREAD = 0.02
"""Scale of a stored variation of 1/127, in optical density, at most."""
CANDIDATE = 0.5
"""Blurred likeness above which a pair is looked at closely."""
SAME_TEXTURE = 0.6
SAME_OUTLINE = 0.7
"""Likeness above which two slides are called the same; see ``benchmarks/duplicate_slides.md``."""
SHIFTS = (-1, 0, 1)
RIM_PX = 3
"""Pixels beside glass that say nothing of the texture."""


@dataclass(frozen=True)
class Appearance:
    """The appearance of one slide's tissue.

    Attributes:
        rgb: Mean colour of the tissue, 0 to 255.
        cover: ``(32, 32)`` share of tissue, 0 to 1.
        texture: ``(32, 32)`` optical density without its coarse variation, spread about 1; zero
            outside the tissue, and everywhere if there is too little tissue to compare.
    """

    rgb: tuple[float, float, float]
    cover: FloatArray
    texture: FloatArray

    @property
    def comparable(self) -> bool:
        """Whether there is enough tissue to tell this slide from others."""
        return bool(self.texture.any())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: about three kilobytes."""
        levels = np.clip(self.texture * 32, -127, 127).round().astype(np.int8)
        return {
            "rgb": [round(value, 2) for value in self.rgb],
            "cover": _text((self.cover * 255).round().astype(np.uint8)),
            "texture": _text(levels.view(np.uint8)),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Appearance:
        """The inverse of :meth:`to_dict`, up to rounding.

        Raises:
            ValueError: The values are not those of an appearance.
        """
        red, green, blue = (float(value) for value in values["rgb"])
        cover = _numbers(values["cover"]).astype(np.float64) / 255
        texture = _numbers(values["texture"]).view(np.int8).astype(np.float64) / 32
        return cls((red, green, blue), cover, texture)


def appearance_of(picture: UInt8Image, grid: TileGrid, mask: npt.NDArray[np.bool_]) -> Appearance:
    """Describe the tissue on a thumbnail.

    Args:
        picture: uint8 ``(h, w, 3)`` RGB of the whole slide.
        grid: The cells.
        mask: ``(R, K)`` bool, kept cells, at least one.

    Example:
        >>> grid = TileGrid.over((64, 64), slide_mpp=8.0, tile_px=8, mpp=8.0)
        >>> picture = np.full((64, 64, 3), (200, 120, 180), np.uint8)
        >>> look = appearance_of(picture, grid, np.ones((8, 8), bool))
        >>> look.rgb, look.comparable
        ((200.0, 120.0, 180.0), False)
    """
    kept = _kept_pixels(picture.shape, grid, mask)
    of_kept = [float(picture[..., channel][kept].mean()) for channel in range(3)]
    density = DENSITY[picture[..., 0].astype(np.uint16) + picture[..., 1] + picture[..., 2]]
    box, size = _frame(kept)
    cover = _resample(kept.astype(np.float32), box, size)
    # The border between tissue and glass would make all slides of one outline alike.
    tissue = kept & ndimage.binary_erosion(density > GLASS, iterations=RIM_PX, border_value=0)
    held = _resample(tissue.astype(np.float32), box, size)
    total = _resample(density * tissue, box, size)
    value = np.divide(total, held, out=np.zeros_like(total), where=held > 0)
    area_mm2 = float(mask.sum()) * (grid.cell_um / 1000) ** 2
    texture = _texture(value, held * (held > COVERED), int(tissue.sum()) if area_mm2 >= LEAST_MM2 else 0)
    return Appearance((of_kept[0], of_kept[1], of_kept[2]), np.clip(cover, 0, 1), texture)


def _kept_pixels(
    shape: tuple[int, ...], grid: TileGrid, mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which pixels of a thumbnail lie in kept cells."""
    per_pixel = grid.slide_wh.w / shape[1]
    rows = ((np.arange(shape[0]) + 0.5) * per_pixel - grid.square_origin_xy.y) / grid.stride_level0
    cols = ((np.arange(shape[1]) + 0.5) * per_pixel - grid.square_origin_xy.x) / grid.stride_level0
    inside_rows = np.clip(rows.astype(int), 0, mask.shape[0] - 1)
    inside_cols = np.clip(cols.astype(int), 0, mask.shape[1] - 1)
    return np.asarray(mask[np.ix_(inside_rows, inside_cols)])


def _frame(kept: npt.NDArray[np.bool_]) -> tuple[tuple[float, float, float, float], int]:
    """Left, top, right and bottom of the frame in a picture padded by ``size`` pixels on each side."""
    rows, cols = np.nonzero(kept)
    middle = rows.mean() + 0.5, cols.mean() + 0.5
    spread = np.sqrt(np.mean((rows + 0.5 - middle[0]) ** 2 + (cols + 0.5 - middle[1]) ** 2))
    half = max(REACH * float(spread), 2.0)
    pad = int(np.ceil(half)) + 1
    top, left = middle[0] - half + pad, middle[1] - half + pad
    return (left, top, left + 2 * half, top + 2 * half), pad


def _resample(
    values: npt.NDArray[np.float32], box: tuple[float, float, float, float], pad: int
) -> FloatArray:
    # Zeros that nobody wrote cost nothing, where numpy's pad copies the whole.
    padded = np.zeros((values.shape[0] + 2 * pad, values.shape[1] + 2 * pad), values.dtype)
    padded[pad:-pad, pad:-pad] = values
    image = Image.fromarray(padded)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box), np.float64)


def _texture(value: FloatArray, weight: FloatArray, pixels: int) -> FloatArray:
    """The fine part of ``value``, spread 1 over the weight; zero if there is too little to tell."""
    nothing = np.zeros_like(value)
    if pixels < FEWEST_PIXELS or int((weight > 0).sum()) < FEWEST_COVERED:
        return nothing
    blurred = ndimage.gaussian_filter(weight, COARSE)
    coarse = np.divide(
        ndimage.gaussian_filter(value * weight, COARSE), blurred, out=nothing.copy(), where=blurred > 0
    )
    fine = np.where(weight > 0, value - coarse, 0.0)
    spread = float(np.sqrt(np.average(fine**2, weights=weight)))
    return fine / spread if spread > SPREAD / 127 else nothing


def _text(values: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _numbers(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIDE, SIDE).copy()


class Likeness(NamedTuple):
    """How alike two slides are."""

    texture: float
    """Correlation of the fine variation where both have tissue, -1 to 1."""
    outline: float
    """Tissue of both over tissue of either, 0 to 1."""
    orientation: int
    """How the second has to be turned, see :func:`histonic.core.compressed.orient`."""
    pixels: float
    """Independent pixels behind the correlation, see :func:`independent_pixels`."""

    def same(self, pairs: int) -> bool:
        """Whether this is the same slide, and no play of chance among so many pairs."""
        if self.texture < SAME_TEXTURE or self.outline < SAME_OUTLINE or self.pixels <= 3:
            return False
        # Fisher's z, against the best of all pairs in all orientations and shifts.
        surprise = float(np.arctanh(min(self.texture, 1 - 1e-9)) * np.sqrt(self.pixels - 3))
        appearances = pairs * ORIENTATIONS * len(SHIFTS) ** 2
        return surprise >= -float(special.ndtri(CHANCE / max(appearances, 1)))


def measure_likeness(
    one: Appearance, other: Appearance, orientations: Sequence[int] = range(ORIENTATIONS)
) -> Likeness:
    """The likeness of two slides in the best of some orientations, shifted by a pixel at most."""
    best, found_at = Likeness(-1.0, 0.0, 0, 0.0), one.texture
    for orientation in orientations:
        cover, texture = orient(other.cover, orientation), orient(other.texture, orientation)
        for down in SHIFTS:
            for right in SHIFTS:
                moved = np.roll(cover, (down, right), (0, 1)), np.roll(texture, (down, right), (0, 1))
                found = _likeness(one, *moved, orientation)
                if min(found.texture, found.outline) > min(best.texture, best.outline):
                    best, found_at = found, moved[1]
    shared = (one.texture != 0) & (found_at != 0)
    return best._replace(pixels=independent_pixels(one.texture, found_at, shared))


def independent_pixels(one: FloatArray, other: FloatArray, shared: npt.NDArray[np.bool_]) -> float:
    """How many independent pairs a correlation of two smooth pictures is worth.

    Neighbours are alike, so there are fewer than pixels: 1 + 1 / var(r), with the variance of the
    correlation from the pictures' own autocovariances (Clifford, Richardson and Hemon 1989).

    Args:
        one: ``(n, n)``.
        other: ``(n, n)``.
        shared: ``(n, n)`` bool, where they are compared.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(2, 32, 32))
        >>> everywhere = np.ones((32, 32), bool)
        >>> bool(independent_pixels(*noise, everywhere) > 900)
        True
        >>> smooth = ndimage.zoom(noise[:, ::4, ::4], (1, 4, 4), order=0)  # 64 squares of 16 pixels
        >>> bool(30 < independent_pixels(*smooth, everywhere) < 130)
        True
    """
    count = int(shared.sum())
    if count < 4:
        return float(count)
    pairs = _products(shared.astype(np.float64))
    first, second = (_products(np.where(shared, each - each[shared].mean(), 0.0)) for each in (one, other))
    near = pairs > 0.5
    total = float((first * second / np.where(near, pairs, 1.0))[near].sum())
    scale = float(first[REACH_OF_LIKENESS, REACH_OF_LIKENESS] * second[REACH_OF_LIKENESS, REACH_OF_LIKENESS])
    return float(np.clip(1 + scale / max(total, 1e-12), 1, count)) if scale > 0 else 1.0


def _products(values: FloatArray) -> FloatArray:
    """Sum of products of values and the same values shifted, for all shifts up to the reach."""
    side = 2 * values.shape[0]
    power = np.fft.irfft2(np.abs(np.fft.rfft2(values, (side, side))) ** 2, (side, side))
    shifts = np.arange(-REACH_OF_LIKENESS, REACH_OF_LIKENESS + 1)
    return np.asarray(power[np.ix_(shifts, shifts)])


def _likeness(one: Appearance, cover: FloatArray, texture: FloatArray, orientation: int) -> Likeness:
    weight = np.minimum(one.cover, cover) * (one.texture != 0) * (texture != 0)
    size = np.sqrt(np.sum(weight * one.texture**2) * np.sum(weight * texture**2))
    most = max(np.count_nonzero(one.texture), np.count_nonzero(texture))
    told = np.count_nonzero(weight) >= max(FEWEST_SHARED, SHARED * most) and size > 0
    likeness = float(np.sum(weight * one.texture * texture) / size) if told else 0.0
    union = float(np.maximum(one.cover, cover).sum())
    overlap = float(np.minimum(one.cover, cover).sum()) / max(union, 1e-9)
    return Likeness(likeness, overlap, orientation, 0.0)


def find_copies(
    appearances: Sequence[Appearance | None], others: Sequence[Appearance | None] | None = None
) -> list[tuple[int, int, Likeness]]:
    """Pairs of slides that are the same.

    Args:
        appearances: One a slide; None where there is none.
        others: A second list to compare with; by default all pairs within the first.

    Returns:
        Positions (the first below the second if there is one list) and likeness.
    """
    if not appearances or (others is not None and not others):
        return []
    first = _vectors(appearances)
    second = _vectors(appearances if others is None else others)
    candidates: dict[tuple[int, int], list[int]] = {}
    for orientation in range(ORIENTATIONS):
        turned = orient(second.reshape(-1, SIDE, SIDE), orientation).reshape(len(second), -1)
        for one, other in np.argwhere(first @ turned.T > CANDIDATE):
            if others is not None or one < other:
                candidates.setdefault((int(one), int(other)), []).append(orientation)
    pairs = (
        len(appearances) * (len(appearances) - 1) // 2 if others is None else len(appearances) * len(others)
    )
    found = []
    for (one, other), orientations in sorted(candidates.items()):
        a, b = appearances[one], (appearances if others is None else others)[other]
        if a is not None and b is not None and (likeness := measure_likeness(a, b, orientations)).same(pairs):
            found.append((one, other, likeness))
    return found


def _vectors(appearances: Sequence[Appearance | None]) -> npt.NDArray[np.float32]:
    """One row a slide, blurred by a pixel so that a shift of one does not hide a copy; zeros if unknown."""
    rows = np.zeros((len(appearances), SIDE * SIDE), np.float32)
    for row, look in zip(rows, appearances, strict=True):
        if look is not None and look.comparable:
            blurred = ndimage.gaussian_filter(look.texture * look.cover, 1.0).ravel()
            row[:] = blurred / (np.linalg.norm(blurred) or 1.0)
    return rows
