"""The glass of a slide: its colours and its shading, and how dense everything else is over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.core.processes.cores import usable_cores
from histonic.core.processes.threads import mapped_by_threads
from histonic.slides.tissue.rule import BoolImage, FloatImage

# Grey levels of 255, mean of what differs from the neighbourhood, on the scale of a white glass. Measured on
# overviews of 90 slides: glass 0 to 0.9 (median of a place), the palest tissue 1.2, stained tissue 3 to 25.
FLAT = 2.0
CALM = 0.85
WHITE = 243.0
# Two pixels are of one colour if no channel differs by more grey levels.
SAME_COLOUR = 5.0
MOST_COLOURS = 10
LEAST_SHARE = 0.002
# Above it a flat colour is glass of whatever tint; below it there must be nothing brighter but glass.
BRIGHT = 185.0
SATURATED = 252.0
MOST_BRIGHTER = 0.02
# Further colours of glass are at most so much denser than its brightest; an even piece of tissue is more.
FURTHER = 0.15
SMOOTHED_PX = 7
# Colours are looked for in about so many pixels.
SAMPLED_PX = 250_000


@dataclass(frozen=True)
class GlassColour:
    """One colour of empty places: glass, unscanned page, glass under another tint.

    Attributes:
        rgb: Grey levels, ``(3,)``.
        share: Share of the picture.
        detail: Median of :func:`local_detail` where it is.
    """

    rgb: npt.NDArray[np.float64]
    share: float
    detail: float


def smooth(pixels: npt.NDArray[np.uint8], side: int = 3) -> FloatImage:
    """Mean over a square around each pixel, float32 ``(3, h, w)``; of planes the maximum is taken fastest."""
    smoothed = np.empty((3, *pixels.shape[:2]), np.float32)

    def fill(channel: int) -> None:
        plane = pixels[..., channel].astype(np.float32)
        ndimage.uniform_filter(plane, side, output=smoothed[channel], mode="nearest")

    list(mapped_by_threads(fill, range(3), usable_cores()))
    return smoothed


def local_detail(pixels: npt.NDArray[np.uint8]) -> FloatImage:
    """How much each pixel differs from its neighbourhood in the channel that absorbs most there.

    Args:
        pixels: uint8 ``(h, w, 3)`` RGB.

    Returns:
        float32 ``(h, w)``, grey levels.
    """
    darkest = np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2]).astype(np.float32)
    around = ndimage.uniform_filter(ndimage.uniform_filter(darkest, 3, mode="nearest"), 3, mode="nearest")
    detail: FloatImage = np.abs(darkest - around)
    return detail


def around(values: FloatImage) -> FloatImage:
    """Mean over the neighbourhood by which a place is judged."""
    mean: FloatImage = ndimage.uniform_filter(values, SMOOTHED_PX, mode="nearest")
    return mean


def find_glass(smoothed: FloatImage, detail: FloatImage) -> list[GlassColour]:
    """The colours of glass in a picture, brightest first; none where no glass is in view.

    Glass is a colour that is flat wherever it occurs. A bright one may have any tint. A dark one (a picture
    exposed too short) counts only if it is nearly grey and nothing with detail is brighter, so that dense and
    even tissue that fills the picture is not taken for it.

    Args:
        smoothed: float32 ``(3, h, w)``, see :func:`smooth`.
        detail: float32 ``(h, w)``, :func:`local_detail` averaged by :func:`around`, as on white glass.
    """
    step = max(1, int((detail.size / SAMPLED_PX) ** 0.5))
    # Copies, since what lies together is gone through in a fraction of the time.
    smoothed, detail = smoothed[:, ::step, ::step].copy(), detail[::step, ::step].copy()
    flat = detail < FLAT
    brightness = smoothed.mean(0)
    of_detail = brightness[~flat]
    found = []
    for rgb, share in _common_colours(smoothed[:, flat], flat.size):
        near = _near(smoothed, rgb)
        purity = float(flat[near].mean())
        chroma = (rgb.max() - rgb.min()) / max(rgb.max(), 1.0)
        brighter = np.count_nonzero(of_detail > rgb.mean() + 8) / flat.size
        any_tint = rgb.min() >= BRIGHT
        dark_glass = (
            brighter < MOST_BRIGHTER and chroma <= (0.30 if rgb.mean() >= 150 else 0.15) and share >= 0.01
        )
        if purity >= 0.5 and (any_tint or dark_glass):
            found.append(GlassColour(rgb, share, float(np.median(detail[near]))))
    # A page without noise says nothing of the glass; a noisy camera makes all of it less calm.
    scanned = [colour for colour in found if colour.rgb.min() < SATURATED]
    if scanned:
        first = max(scanned, key=lambda colour: colour.rgb.mean())
        calm = max(CALM, 1.25 * first.detail)
        darkest = first.rgb * np.exp(-FURTHER)
        found = [c for c in found if c.detail <= calm and (c.rgb >= darkest).all()]
    return sorted(found, key=lambda colour: -colour.rgb.mean())


def _common_colours(pixels: FloatImage, total: int) -> Iterator[tuple[npt.NDArray[np.float64], float]]:
    """The most frequent colours of pixels ``(3, n)``, their shares of ``total``; each is then taken out."""
    level = (pixels * np.float32(0.25)).astype(np.int32)
    bins = (level[0] << 12) | (level[1] << 6) | level[2]
    for _ in range(MOST_COLOURS):
        if pixels.shape[1] < LEAST_SHARE * total:
            return
        at = int(np.bincount(bins).argmax())
        rgb = np.array([at >> 12, (at >> 6) & 63, at & 63], np.float64) * 4 + 2
        for _again in range(2):
            near = _near(pixels, rgb, SAME_COLOUR - 1)
            if not near.any():
                return
            rgb = np.median(pixels[:, near], axis=1).astype(np.float64)
        share = np.count_nonzero(near) / total
        if share < LEAST_SHARE:
            return
        yield rgb, share
        rest = ~_near(pixels, rgb)
        pixels, bins = pixels[:, rest], bins[rest]


def _near(planes: FloatImage, rgb: npt.NDArray[np.float64], most: float = SAME_COLOUR) -> BoolImage:
    """Where planes ``(3, ...)`` have a colour."""
    near = np.ones(planes.shape[1:], bool)
    for plane, level in zip(planes, rgb, strict=True):
        near &= np.abs(plane - np.float32(level)) <= most
    return near


def main_glass(glass: list[GlassColour]) -> GlassColour:
    """The glass that the slide has most of, an unscanned page only if there is nothing else."""
    return max(glass, key=lambda colour: (colour.rgb.min() < SATURATED, colour.share))


def optical_density(smoothed: FloatImage, rgb: npt.NDArray[np.float64], shading: FloatImage) -> FloatImage:
    """Density (natural logarithm) over a shaded glass, float32 ``(3, h, w)``; below zero is brighter."""
    log_glass = np.log(np.maximum(rgb, 1)).astype(np.float32)
    density: FloatImage = log_glass[:, None, None] - np.log(np.maximum(smoothed, 1)) - shading
    return density


def excess_over(smoothed: FloatImage, glass: list[GlassColour], shading: FloatImage) -> FloatImage:
    """Largest density of the three channels over the nearest of the glass colours, float32 ``(h, w)``.

    What is brighter than the brightest glass is nothing; from the others both sides count, since between two
    of them there may be pale tissue.
    """
    log_pixels = np.log(np.maximum(smoothed, 1)) + shading
    excess = np.full(shading.shape, np.inf, np.float32)
    for at, colour in enumerate(glass):
        density = np.log(np.maximum(colour.rgb, 1)).astype(np.float32)[:, None, None] - log_pixels
        np.minimum(excess, (np.abs(density) if at else density).max(0), out=excess)
    return excess


def shading_of(smoothed: FloatImage, detail: FloatImage, glass: list[GlassColour]) -> FloatImage:
    """How much darker the light falls on each place than in the middle of the glass, float32 ``(h, w)``.

    A surface of second order through the places that are flat and have the main glass' colour but for its
    brightness, grown from the brightness that is most frequent; zero where that explains hardly more.
    """
    shape = smoothed.shape[1:]
    none = np.zeros(shape, np.float32)
    main = main_glass(glass)
    if main.rgb.min() >= SATURATED:
        return none
    step = max(1, int((shape[0] * shape[1] / 40_000) ** 0.5))
    sampled = smoothed[:, ::step, ::step]
    density = optical_density(sampled, main.rgb, none[::step, ::step])
    darker = density.mean(0)
    able = (
        (detail[::step, ::step] < max(CALM, 2 * main.detail))
        & (np.abs(density - darker).max(0) < 0.03)
        & (np.abs(darker) < 0.7)
        & (sampled.min(0) < SATURATED)
    )
    terms = _surface_terms(darker.shape)
    fitted = able & (np.abs(darker) < 0.025)
    before = np.count_nonzero(fitted)
    weights = np.zeros(6)
    for _ in range(8):
        if np.count_nonzero(fitted) < 50:
            return none
        chosen = terms[fitted]
        # Normal equations: six terms over -1 to 1 are well conditioned, and much faster so.
        weights = np.linalg.lstsq(chosen.T @ chosen, chosen.T @ darker[fitted], rcond=None)[0]
        fitted = able & (np.abs(darker - terms @ weights) < 0.025)
    if np.count_nonzero(fitted) < 1.15 * before:
        return none
    low, high = np.percentile(darker[fitted], [0.5, 99.5])
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    at = weights.astype(np.float32)
    surface: FloatImage = at[0] + at[1] * x + at[2] * y + at[3] * x * x + at[4] * y * y + at[5] * x * y
    np.clip(surface, np.float32(low), np.float32(high), out=surface)
    return surface


def _surface_terms(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """``(h, w, 6)``: 1, x, y, x^2, y^2, xy over -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)
