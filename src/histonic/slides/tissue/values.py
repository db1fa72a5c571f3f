"""Which values of a mask picture are tissue: told by who made it, or by itself where there is no doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import MaskError

Counts = dict[int | float, int]
BAND_PX = 1 << 24
"""Pixels looked at at a time."""
VALUES_NAMED = 8
ALL_TISSUE = (1, 255, 65_535, 4_294_967_295)
"""What a mask that is tissue throughout is filled with."""
LEAST_GREY = 32
"""Fewer steps than this are numbers of classes, not shades of grey."""
FEW_SHADES = 4
MOST_FLAT = 0.5
LARGEST_TURN = 0.25
MOST_HUES = 1_000_000


def tissue_by_value(pixels: npt.NDArray[Any], chosen: Sequence[str], asked: str) -> npt.NDArray[np.bool_]:
    """Where a mask picture says tissue.

    Without a choice nought is no tissue and the one other value is. Shades between two main values, as
    interpolation and JPEG leave them, are cut in the middle. Anything else is refused.

    Args:
        pixels: ``(h, w)``, or ``(h, w, 3)`` of a colour picture.
        chosen: Values and ranges of values that are tissue (``1``, ``2-5``).
        asked: What was asked, for messages.

    Returns:
        bool ``(h, w)``.

    Raises:
        MaskError: Which values are tissue cannot be told, or none of those that were chosen is there.

    Example:
        >>> grandqc = np.array([[1, 1, 7], [1, 2, 7]], np.uint8)
        >>> tissue_by_value(grandqc, ["1"], "Read the mask.").astype(int).tolist()
        [[1, 1, 0], [1, 0, 0]]
    """
    plane = _one_plane(pixels, asked)
    counts = value_counts(plane)
    if chosen:
        return _chosen(plane, counts, chosen, asked)
    values = sorted(counts)
    top = values[-1]
    if values == [0] or (len(values) == 2 and values[0] == 0 and top > 0):
        return plane > 0
    if len(values) == 1 and top in ALL_TISSUE:
        return np.ones(plane.shape, bool)
    if _is_shaded(plane, counts):
        return plane > top / 2
    raise MaskError(asked, *_doubt(values, counts))


def tissue_by_index(
    pixels: npt.NDArray[Any], palette: npt.NDArray[Any], chosen: Sequence[str], asked: str
) -> npt.NDArray[np.bool_]:
    """The same of a picture whose values are places in a palette, which are the numbers of its classes.

    Args:
        pixels: ``(h, w)``.
        palette: Colours ``(n, 3)``.
        chosen: See :func:`tissue_by_value`.
        asked: What was asked, for messages.

    Raises:
        MaskError: See there; or 0 is shown lighter than the other value, so that which is tissue is in doubt.
    """
    used = sorted(value_counts(pixels))
    colours = palette[[min(int(value), len(palette) - 1) for value in used]].astype(np.int64)
    is_grey = bool((colours == colours[:, :1]).all())
    if not chosen and is_grey and len(used) == 2 and used[0] == 0 and colours[0, 0] > colours[1, 0]:
        raise MaskError(
            asked,
            f"Its value 0 is shown light and {used[1]} dark: which of them is tissue cannot be told.",
            f"Say it: --mask-values 0 or --mask-values {used[1]}.",
        )
    if not chosen and is_grey and len(used) > 2:
        greys = palette[np.minimum(pixels, len(palette) - 1), 0]
        if _is_shaded(greys, value_counts(greys)):
            return tissue_by_value(greys, (), asked)
        if _is_shaded(pixels, value_counts(pixels)):
            raise MaskError(asked, *_doubt(used, value_counts(pixels)))
    return tissue_by_value(pixels, chosen, asked)


def value_counts(plane: npt.NDArray[Any]) -> Counts:
    """How many pixels hold each value.

    Example:
        >>> value_counts(np.array([[0, 7, 7]], np.uint8))
        {0: 1, 7: 2}
    """
    counts: Counts = {}
    rows = max(1, BAND_PX // max(1, plane.shape[1]))
    for start in range(0, plane.shape[0], rows):
        band = plane[start : start + rows]
        if band.dtype in (np.uint8, np.uint16):
            each = np.bincount(band.ravel())
            values, numbers = np.flatnonzero(each), each[each > 0]
        else:
            values, numbers = np.unique(band, return_counts=True)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            key = int(value) if float(value).is_integer() else float(value)
            counts[key] = counts.get(key, 0) + number
    return counts


def _one_plane(pixels: npt.NDArray[Any], asked: str) -> npt.NDArray[Any]:
    """The numbers of a picture in colour: its one channel that is used, or how much it has of its one hue."""
    if pixels.ndim == 2:
        return pixels
    used = [channel for channel in range(pixels.shape[2]) if pixels[..., channel].any()]
    if len(used) <= 1:
        return pixels[..., used[0] if used else 0]
    plane: npt.NDArray[Any] = pixels.max(2)
    bright = pixels[plane > plane.max() / 2]
    bright = bright[:: max(1, len(bright) // MOST_HUES)].astype(np.float32)
    hues = bright / bright.max(1, keepdims=True)
    low, high = np.percentile(hues, (0.5, 99.5), axis=0)
    if (high - low > LARGEST_TURN).any():
        raise MaskError(
            asked,
            f"It is in several colours, such as {_colours(bright)}.",
            "Give one channel with a whole number for each class, and --mask-values, or black and white.",
        )
    return plane


def _colours(bright: npt.NDArray[np.float32]) -> str:
    colours, counts = np.unique(np.round(bright).astype(int), axis=0, return_counts=True)
    return " and ".join(str(tuple(colours[each].tolist())) for each in np.argsort(-counts)[:2])


def _chosen(
    plane: npt.NDArray[Any], counts: Counts, chosen: Sequence[str], asked: str
) -> npt.NDArray[np.bool_]:
    ranges = [(int(first), int(last or first)) for first, _, last in (each.partition("-") for each in chosen)]
    values = sorted(counts)
    wanted = [value for value in values if any(first <= value <= last for first, last in ranges)]
    if not wanted:
        raise MaskError(
            asked,
            f"It holds none of the values {', '.join(chosen)}; it has {_words(counts)}.",
            "Correct --mask-values, or give a mask that has them.",
        )
    if wanted in ([0], [values[-1]]) and len(values) > 2 and _is_shaded(plane, counts):
        upper: npt.NDArray[np.bool_] = plane > values[-1] / 2
        return upper if wanted != [0] else ~upper
    return np.isin(plane, wanted)


def _is_shaded(plane: npt.NDArray[Any], counts: Counts) -> bool:
    """Whether a picture is of two values, but for what interpolation or JPEG made of them at edges.

    Shades change from pixel to pixel, whereas classes fill areas; there is little between the two main
    values; and the other values are either many, or all between.
    """
    top = max(counts)
    whole = all(isinstance(value, int) for value in counts)
    if top <= 0 or min(counts) < 0 or (whole and (top < LEAST_GREY or len(counts) < 3)):
        return False
    low = [value for value in counts if value <= top / 8]
    high = [value for value in counts if value >= top * 7 / 8]
    main = [max(values, key=lambda value: counts[value]) for values in (low, high) if values]
    between = [value for value in counts if top / 8 < value < top * 7 / 8]
    others = [value for value in counts if value not in main]
    if len(others) < FEW_SHADES and others != between:
        return False
    if 2 * sum(counts[value] for value in between) > sum(counts[value] for value in high):
        return False
    return _flat_share(plane, main) <= MOST_FLAT


def _flat_share(plane: npt.NDArray[Any], main: Sequence[int | float]) -> float:
    """Of the pixels of no main value the share that equals its neighbours to the right and below."""
    flat = total = 0
    rows = max(1, BAND_PX // max(1, plane.shape[1]))
    for start in range(0, plane.shape[0], rows):
        band = plane[start : start + rows + 1]
        other = ~np.isin(band, main)
        total += int(other[:rows].sum())
        inner = band[:-1, :-1]
        flat += int((other[:-1, :-1] & (inner == band[:-1, 1:]) & (inner == band[1:, :-1])).sum())
    return flat / total if total else 0.0


def _words(counts: Counts) -> str:
    """Values with their shares of the picture, the commonest of many."""
    total = sum(counts.values())
    common = sorted(counts, key=lambda value: -counts[value])[:VALUES_NAMED]
    named = [f"{value:g} ({_percent(counts[value] / total)})" for value in sorted(common)]
    rest = len(counts) - len(common)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def _percent(share: float) -> str:
    return "under 0.1 %" if share < 0.001 else f"{100 * share:.3g} %"


def _doubt(values: Sequence[int | float], counts: Counts) -> tuple[str, str]:
    """What was found, and what to do, where nothing says which values are tissue."""
    found = f"It is {values[0]:g} throughout" if len(values) == 1 else f"Its values are {_words(counts)}"
    if not all(isinstance(value, int) and value >= 0 for value in values):
        return f"{found}.", "Export it as 8 bits, tissue above zero and all else zero."
    several = len(values) > 2
    every = f"; all but nought: 1-{values[-1]}" if several else ""
    return (
        f"{found}: which of them {'are' if several else 'is'} tissue cannot be told.",
        f"Say it, such as --mask-values 1 (or 1,2 or 1-6{every}).",
    )
