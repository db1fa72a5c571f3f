"""Compressed slides in memory while they fit, else read window by window; checked once for bad numbers.

In memory the codes of a cell lie side by side: a window of a map is then rows of whole cells, whichever way
it is turned, and layers over cells and depthwise convolutions find their numbers in the order that they like.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import CompressedSlide, turn_back
from histonic.core.errors import StoreError
from histonic.core.processes.memory import free_bytes
from histonic.core.processes.shared import CAN_SHARE, SharedBytes
from histonic.core.progress import Progress, say_detail
from histonic.core.tissue_box import TissueBox
from histonic.data.maps.views import TissueDensity, View, place_cut

MEMORY_SHARE = 0.5
"""Of the free memory, for codes; maps beyond that are read from disk, window by window. Batches, and what a
network keeps of them for its gradients, need the rest."""
MEMORY_BYTES = 2 << 30
"""For codes where the system does not tell what is free; at most where maps are looked at once or twice."""
BAND_ROWS = 64
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Number of tissue cells, and per channel the sum and sum of squares ``(D,)`` of their codes."""

    cells: int
    total: FloatArray
    squares: FloatArray

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.cells + other.cells, self.total + other.total, self.squares + other.squares)

    def scale(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation per channel; rounding noise of a constant channel counts as 0."""
        mean = self.total / self.cells
        variance = self.squares / self.cells - mean**2
        noise = 1e-9 * np.maximum(mean**2, 1e-12)
        return mean, np.sqrt(np.where(variance > noise, variance, 0))


class Maps:
    """The maps of a run.

    Args:
        slides: By slide_id.
        progress: Told of every map that is read.
        memory_bytes: Codes kept in memory; by default a share of what is free.
        shared: Whether processes that get these maps see the same memory, instead of a copy each.

    Raises:
        StoreError: A map holds a NaN or infinite code, has no tissue, or another code size.
    """

    def __init__(
        self,
        slides: Mapping[str, CompressedSlide],
        progress: Progress,
        memory_bytes: int | None = None,
        shared: bool = False,
    ) -> None:
        self._slides: dict[str, CompressedSlide] = {}
        self._boxes: dict[str, TissueBox] = {}
        self._densities: dict[str, TissueDensity] = {}
        self.moments: dict[str, Moments] = {}
        self.part_moments: dict[str, dict[int, Moments]] = {}
        self.code_size = next(iter(slides.values())).code_size
        progress.stage("read maps", len(slides))
        places, total = _places(slides, memory_for_maps() if memory_bytes is None else memory_bytes)
        block = SharedBytes(total) if shared and total and CAN_SHARE else None
        for slide_id in sorted(slides):
            slide = slides[slide_id]
            if slide_id in places:
                slide = _in_memory(slide, block, places[slide_id])
            by_part = _examine(slide, self.code_size)
            self.moments[slide_id] = sum(list(by_part.values())[1:], start=next(iter(by_part.values())))
            if slide.parts is not None:
                self.part_moments[slide_id] = by_part
            self._slides[slide_id] = slide
            self._boxes[slide_id] = TissueBox.of(slide.mask)
            progress.advance(1, slide_id)
        say_detail(
            progress,
            f"{len(places)} of {len(slides)} maps lie in memory ({total / 1e6:,.0f} MB"
            f"{', shared by all processes' if block is not None else ''}); others are read from disk",
        )

    def mask(self, slide_id: str) -> npt.NDArray[np.bool_]:
        """``(R, K)``."""
        return self._slides[slide_id].mask

    def has_turned(self, slide_id: str) -> bool:
        """Whether the codes of turned tiles are stored, so that a turned map holds other cells."""
        return self._slides[slide_id].orientations is not None

    def box(self, slide_id: str) -> TissueBox:
        """Where the tissue lies."""
        return self._boxes[slide_id]

    def largest_side(self) -> int:
        """The longest side of the tissue of all maps, in cells."""
        return max(max(box.shape) for box in self._boxes.values())

    def density(self, slide_id: str, side: int) -> TissueDensity | None:
        """Density of crop centres; None if the tissue fits into a window of ``side`` cells."""
        if self.box(slide_id).fits(side):
            return None
        if slide_id not in self._densities:
            self._densities[slide_id] = TissueDensity(self.mask(slide_id))
        return self._densities[slide_id]

    def code_scale(self, slide_ids: Iterable[str], part: int = 0) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation per channel over the tissue of some maps.

        Args:
            slide_ids: The maps.
            part: Number of a part, of maps that are joined of several: of its cells alone. Where no map has a
                cell of it, 0 and 1.
        """
        known = [self.moments[name] if not part else self.part_moments[name].get(part) for name in slide_ids]
        found = [each for each in known if each is not None]
        if not found:
            return np.zeros(self.code_size), np.ones(self.code_size)
        return sum(found[1:], start=found[0]).scale()

    def has_part(self, slide_id: str, part: int) -> bool:
        """Whether a joined map has a cell of a part, by its number."""
        return part in self.part_moments.get(slide_id, ())

    def crops(
        self, views: Sequence[View], side: int
    ) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
        """Codes ``(B, D, side, side)``, cell by cell in memory, and mask ``(B, side, side)`` of views.

        The mask of a map joined of several parts holds their numbers, from 1.
        """
        codes = np.zeros((len(views), side, side, self.code_size), np.float16).transpose(0, 3, 1, 2)
        masks = np.zeros((len(views), side, side), np.float32)
        for place, view in enumerate(views):
            slide = self._slides[view.slide_id]
            stored, first = (
                (slide.features, ())
                if slide.orientations is None
                else (slide.orientations, (view.orientation,))
            )
            # Written through a turned-back view of the batch, so that no code is copied twice.
            place_cut(turn_back(codes[place], view.orientation), stored, view.corner, *first)
            cells = slide.mask if slide.parts is None else slide.parts
            place_cut(turn_back(masks[place], view.orientation), cells, view.corner)
        return codes, masks


def memory_for_maps() -> int:
    """Bytes of codes that this process may keep."""
    free = free_bytes()
    return MEMORY_BYTES if free is None else int(MEMORY_SHARE * free)


def memory_for_one_look() -> int:
    """The same where each map is looked at once or twice, so that little is won by keeping it."""
    return min(MEMORY_BYTES, memory_for_maps())


def _places(slides: Mapping[str, CompressedSlide], most: int) -> tuple[dict[str, int], int]:
    """The first byte of each map that fits among those before it, and the bytes of all of them."""
    places: dict[str, int] = {}
    total = 0
    for slide_id in sorted(slides):
        size = _bytes(slides[slide_id])
        if total + size <= most:
            places[slide_id] = total
            total += size
    return places, total


def _bytes(slide: CompressedSlide) -> int:
    codes = slide.features if slide.orientations is None else slide.orientations
    return 2 * math.prod(codes.shape)


def _in_memory(slide: CompressedSlide, block: SharedBytes | None, start: int) -> CompressedSlide:
    if slide.orientations is None:
        return replace(slide, features=_by_cell(slide.features, block, start))
    # The upright ones are among them.
    return replace(slide, orientations=_by_cell(slide.orientations, block, start))


def _by_cell(stored: Any, block: SharedBytes | None, start: int) -> CellCodes:
    """Codes ``(..., D, R, K)`` read band by band, those of a cell side by side in memory."""
    *first, size, rows, cols = stored.shape
    shape = (*first, rows, cols, size)
    kept = CellCodes(block or np.empty(shape, np.float16), start, shape)
    codes = kept.codes
    for top in range(0, rows, BAND_ROWS):
        codes[..., top : top + BAND_ROWS, :] = stored[..., top : top + BAND_ROWS, :]
    return kept


class CellCodes:
    """Codes ``(..., D, R, K)``, those of a cell side by side; pickling does not copy a shared block.

    Args:
        kept: Where they lie: an array of their own, or a block that others share.
        start: Their first byte in the block.
        shape: ``(..., R, K, D)``, as they lie.
    """

    def __init__(
        self, kept: npt.NDArray[np.float16] | SharedBytes, start: int, shape: tuple[int, ...]
    ) -> None:
        self._given = (kept, start, shape)
        lying = kept.view(start, shape, np.dtype(np.float16)) if isinstance(kept, SharedBytes) else kept
        self.codes: npt.NDArray[np.float16] = np.moveaxis(lying, -1, -3)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., D, R, K)``."""
        return self.codes.shape

    def __getitem__(self, key: Any) -> npt.NDArray[np.float16]:
        """A part, not copied."""
        return np.asarray(self.codes[key])

    def __reduce__(self) -> tuple[type[CellCodes], tuple[Any, ...]]:
        return CellCodes, self._given


def _examine(slide: CompressedSlide, code_size: int) -> dict[int, Moments]:
    """Moments of the upright codes by part, of which most maps have one; refuses a map of no use."""
    asked = f"Train on the map of {slide.slide_id!r}."
    todo = "Compress that slide again, or take its map out of the store."
    if not slide.mask.any():
        raise StoreError(asked, "None of its cells holds tissue.", todo)
    if slide.code_size != code_size:
        raise StoreError(asked, f"It has {slide.code_size} numbers a cell, others have {code_size}.", todo)
    found: dict[int, Moments] = {}
    stored = slide.features if slide.orientations is None else slide.orientations
    for top in range(0, slide.mask.shape[0], BAND_ROWS):
        tissue = slide.mask[top : top + BAND_ROWS]
        codes = np.asarray(stored[..., top : top + BAND_ROWS, :])[..., tissue].astype(np.float64, order="C")
        if not np.isfinite(codes).all():
            bad = int((~np.isfinite(codes)).sum())
            raise StoreError(asked, f"It holds {bad} codes that are NaN or infinite.", todo)
        upright = codes if codes.ndim == 2 else codes[0]
        numbers = (
            np.ones(upright.shape[1]) if slide.parts is None else slide.parts[top : top + BAND_ROWS][tissue]
        )
        for part in np.unique(numbers).astype(int).tolist():
            own = upright if slide.parts is None else upright[:, numbers == part]
            made = Moments(own.shape[1], own.sum(axis=1), (own**2).sum(axis=1))
            found[part] = made if part not in found else found[part] + made
    return dict(sorted(found.items()))
