"""Ink of pens, black borders and shadows: dense, even, and mostly of a hue that the tissue does not have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.slides.tissue.rule import BoolImage, FloatImage
from histonic.slides.tissue.shapes import closed, dilated, eroded, opened

HUES = 24
GREY = HUES
# Haematoxylin, eosin, blood, PAS and diaminobenzidine: never ink by their hue alone. Hues are counted in
# steps of 15 degrees on the circle of (red - blue, 2 green - red - blue) in optical density.
STAINED = frozenset({0, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23})
# Narrower things are pigment, dense nuclei or fringes of refraction.
WIDTH_UM = 40.0
HALO_UM = 24.0
RIM_UM = 48.0
MOST_STROKES = 12
# A stroke of a pen, whatever its hue.
MOST_WIDTH_UM = 2_000.0
MOST_UNEVEN = 0.25
MOST_COMPACT = 4
# Detail over density. Measured at 16 µm/px: middles of strokes 0.01 to 0.03, tissue 0.03 to 0.4.
EVEN = 0.045
VERY_EVEN = 0.02
OF_TISSUE = 0.05


def find_ink(
    density: FloatImage, detail: FloatImage, brightness: FloatImage, dense: BoolImage, mpp: float
) -> BoolImage:
    """Pen, borders and shadows with their rims and halos.

    Two kinds of places are ink: even ones whose hue no tissue of this slide has (a hue is tissue's own where
    much of it shows texture), and very even ones of any hue that have the shape of a stroke on glass.

    Args:
        density: Optical density over the glass, float32 ``(3, h, w)``.
        detail: Local detail in grey levels, float32 ``(h, w)``.
        brightness: Mean of the channels, float32 ``(h, w)``.
        dense: bool ``(h, w)``, what is clearly not glass.
        mpp: Microns per pixel.
    """
    most = density.max(0)
    evenness = detail / (np.maximum(brightness, 4) * np.maximum(most, 0.05))
    hue, saturation = hue_of(density)
    inner = dense & eroded(dense, 4)
    textured = inner & (evenness > OF_TISSUE)
    own = _hues_of_tissue(hue[inner], hue[textured])
    foreign = dense & ~own[hue] & _has_ink_colour(density, most, hue, saturation)
    radius = max(1, round(WIDTH_UM / 2 / mpp))
    cores = opened(foreign & (evenness < EVEN), radius)
    # Its rim is thin and of any density, its continuation over tissue shows the tissue's texture.
    rim = dilated(cores, max(1, round(RIM_UM / mpp))) & dense & ~own[hue]
    ink = ndimage.binary_propagation(cores, mask=foreign | rim | cores | _inked_tissue(cores, density))
    even = dense & ~ink & (evenness < VERY_EVEN) & (most > 0.6)
    ink |= _strokes(opened(even, radius), most, dense, mpp)
    if ink.any():
        ink = dilated(ink, max(1, round(HALO_UM / mpp)))
    return np.asarray(ink, bool)


def hue_of(density: FloatImage) -> tuple[npt.NDArray[np.intp], FloatImage]:
    """Hue 0 to 23 (:data:`GREY` where there is hardly any) and saturation, 0 to 1, of optical densities."""
    red, green, blue = density
    across = red - blue
    up = (2 * green - red - blue) / np.float32(3**0.5)
    saturation = np.hypot(across, up) / np.maximum(red + green + blue, 0.05)
    hue = ((np.arctan2(up, across) + np.pi) * (HUES / (2 * np.pi))).astype(np.intp) % HUES
    return np.where(saturation < 0.15, GREY, hue), saturation


def _hues_of_tissue(inner: npt.NDArray[np.intp], textured: npt.NDArray[np.intp]) -> BoolImage:
    """Which hues are tissue's on this slide, bool ``(25,)``, from the hues within pieces and of texture."""
    all_counts = np.bincount(inner, minlength=HUES + 1).astype(float)
    counts = np.bincount(textured, minlength=HUES + 1).astype(float)
    least = 0.03 * max(len(textured), 1)
    own = np.zeros(HUES + 1, bool)
    for hue in range(HUES + 1):
        near = [hue] if hue == GREY else [(hue - 1) % HUES, hue, (hue + 1) % HUES]
        enough = 0.25 if hue in STAINED else 0.45
        own[hue] = hue in STAINED and not len(textured)
        own[hue] |= counts[near].sum() > max(least, enough * all_counts[near].sum())
    return own


def _has_ink_colour(
    density: FloatImage, most: FloatImage, hue: npt.NDArray[np.intp], saturation: FloatImage
) -> BoolImage:
    """Dense enough, and of a colour that inks have where no texture tells them from tissue."""
    grey = (hue == GREY) & (density.min(0) > 0.9)
    cold = (hue >= 4) & (hue <= 13) & (saturation > 0.36)
    yellow = (saturation > 0.6) & ((hue <= 3) | (hue >= 22))
    # Red ink takes away blue as much as green; blood and strong eosin leave more of it.
    red = (density[0] < 0.35) & (density[2] > 0.8 * density[1]) & (most > 1.3)
    coloured: BoolImage = (most > 0.8) & (grey | cold | yellow | red)
    return coloured


def _inked_tissue(cores: BoolImage, density: FloatImage) -> BoolImage:
    """Where ink may go on across tissue: no channel is much less dense than in one of the strokes."""
    labels, count = ndimage.label(cores)
    inked = np.zeros(cores.shape, bool)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    for at in np.argsort(-sizes)[:MOST_STROKES]:
        of_ink = np.median(density[:, labels == at + 1], axis=1)
        inked |= (density >= 0.7 * of_ink[:, None, None]).all(0)
    return inked


def _strokes(cores: BoolImage, most: FloatImage, dense: BoolImage, mpp: float) -> BoolImage:
    """Pieces with their rims that look drawn: long, of one density, mostly with glass beside them."""
    labels, count = ndimage.label(cores)
    drawn = np.zeros(count + 1, bool)
    reach = max(3, round(RIM_UM / mpp))
    for at, box in enumerate(ndimage.find_objects(labels), start=1):
        rows, cols = (slice(max(0, side.start - 2 * reach), side.stop + 2 * reach) for side in box)
        mine = labels[rows, cols] == at
        densities = most[rows, cols][mine]
        low, middle, high = np.percentile(densities, [25, 50, 75])
        solid = closed(np.pad(mine, reach), reach)
        width = 2 * ndimage.distance_transform_edt(solid).max()
        near = dilated(mine, reach)
        beside = dilated(near, reach) & ~near
        drawn[at] = (
            (high - low) / middle < MOST_UNEVEN
            and width * mpp < MOST_WIDTH_UM
            and np.count_nonzero(solid) > MOST_COMPACT * width**2
            and np.count_nonzero(beside & ~dense[rows, cols]) > 0.5 * np.count_nonzero(beside)
        )
    strokes = drawn[labels]
    if drawn.any():
        strokes = dilated(strokes, reach) & (dense | strokes)
    return np.asarray(strokes, bool)
