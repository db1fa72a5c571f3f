"""Several maps of one patient laid side by side, so that a network sees them as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import JOINED, MARK, Cohort, Patient, part_of
from histonic.core.compressed import ArrayLike3, CompressedSlide, PatientPart, SlideDescription
from histonic.core.tissue_box import TissueBox
from histonic.core.units import RC, Shape

GAP_CELLS = 2
"""Empty cells between two maps, so that a small filter does not see both at once."""


def side_by_side(name: str, slides: Sequence[CompressedSlide]) -> CompressedSlide:
    """One map of several, with empty cells between them; the glass around the tissue of each is left out.

    The codes stay where they are (in memory or on disk) and are read piece by piece.

    Args:
        name: Of the joined map.
        slides: At least one, all of the same encoder.

    Returns:
        Features ``(D, R, K)``, mask ``(R, K)``, and orientations if all slides have them. Its grid counts
        cells; no slide has its coordinates.
    """
    boxes, places, shape = lay_out_tissue([slide.mask for slide in slides])
    mask = np.zeros(shape, np.bool_)
    for slide, box, place in zip(slides, boxes, places, strict=True):
        mask[TissueBox(place, box.shape).slices] = slide.mask[box.slices]
    turned = [slide.orientations for slide in slides if slide.orientations is not None]
    return replace(
        slides[0],
        slide_id=name,
        features=Joined(tuple(slide.features for slide in slides), boxes, places, shape),
        mask=mask,
        grid=replace(slides[0].grid, shape=shape),
        slide=SlideDescription(),
        orientations=Joined(tuple(turned), boxes, places, shape) if len(turned) == len(slides) else None,
    )


def parts_side_by_side(
    name: str, slides: Sequence[CompressedSlide], parts: Sequence[PatientPart]
) -> CompressedSlide:
    """One map of slides of several parts, which knows of each cell of which part it is.

    Args:
        name: Of the joined map.
        slides: At least one; their names begin with their parts.
        parts: All that there are, of whom the patient may lack some. Codes of the shorter ones are filled up
            with zeros.
    """
    number = {part.name: place for place, part in enumerate(parts, start=1)}
    size = max(part.code_size for part in parts)
    wide = [
        replace(
            slide,
            features=Widened(slide.features, size),
            orientations=None if slide.orientations is None else Widened(slide.orientations, size),
        )
        for slide in slides
    ]
    boxes, places, shape = lay_out_tissue([slide.mask for slide in slides])
    found = np.zeros(shape, np.uint8)
    for slide, box, place in zip(slides, boxes, places, strict=True):
        found[TissueBox(place, box.shape).slices] = slide.mask[box.slices] * np.uint8(
            number[part_of(slide.slide_id)]
        )
    return replace(side_by_side(name, wide), parts=found)


def lay_out_tissue(
    masks: Sequence[npt.NDArray[np.bool_]],
) -> tuple[tuple[TissueBox, ...], tuple[RC, ...], Shape]:
    """The boxes around the tissue of maps ``(R, K)``, where each lies in the joined map, and its size.

    Example:
        >>> boxes, places, shape = lay_out_tissue([np.ones((2, 3), bool), np.eye(4, dtype=bool)])
        >>> places, shape
        ((RC(row=0, col=0), RC(row=0, col=5)), Shape(rows=4, cols=9))
    """
    boxes = tuple(TissueBox.of(mask) for mask in masks)
    return boxes, *lay_out([box.shape for box in boxes])


def lay_out(shapes: Sequence[Shape]) -> tuple[tuple[RC, ...], Shape]:
    """Top-left cells of maps laid out in rows, about as many rows as maps in a row, and the size of all.

    Example:
        >>> lay_out([Shape(2, 3), Shape(4, 5), Shape(1, 1)])
        ((RC(row=0, col=0), RC(row=0, col=5), RC(row=6, col=0)), Shape(rows=7, cols=10))
    """
    width = math.ceil(math.sqrt(len(shapes)))
    places: list[RC] = []
    top = widest = 0
    for start in range(0, len(shapes), width):
        left, shelf = 0, shapes[start : start + width]
        for shape in shelf:
            places.append(RC(top, left))
            widest = max(widest, left + shape.cols)
            left += shape.cols + GAP_CELLS
        top += max(shape.rows for shape in shelf) + GAP_CELLS
    return tuple(places), Shape(top - GAP_CELLS, widest)


@dataclass(frozen=True)
class Joined:
    """Arrays ``(..., D, R, K)`` that lie side by side, read like one; zero between them.

    Attributes:
        parts: The arrays.
        boxes: What is taken of each.
        places: Where the top-left cell of each box lies.
        size: Rows and columns of the whole.
    """

    parts: tuple[ArrayLike3, ...]
    boxes: tuple[TissueBox, ...]
    places: tuple[RC, ...]
    size: Shape

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return (*self.parts[0].shape[:-2], *self.size)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Read a part: full or first indices, then slices of step 1 over rows and columns."""
        first, windows = self._split(key)
        spans = [window.indices(extent)[:2] for window, extent in zip(windows, self.size, strict=True)]
        found: Any = None
        for number, (part, box, place) in enumerate(zip(self.parts, self.boxes, self.places, strict=True)):
            here, there = [], []
            for (start, stop), corner, first_cell, extent in zip(
                spans, place, box.corner, box.shape, strict=True
            ):
                low = max(start, corner)
                high = max(low, min(stop, corner + extent))
                here.append(slice(low - start, high - start))
                there.append(slice(low - corner + first_cell, high - corner + first_cell))
            piece = np.asarray(part[(*first, ..., *there)])
            if number == 0:
                extents = [max(stop - start, 0) for start, stop in spans]
                found = np.zeros((*piece.shape[:-2], *extents), piece.dtype)
            found[(..., *here)] = piece
        return np.asarray(found)

    @staticmethod
    def _split(key: Any) -> tuple[tuple[Any, ...], tuple[slice, slice]]:
        """The indices of the first axes, and the slices of the last two."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis not in keys:
            return (() if keys == (slice(None),) else keys), (slice(None), slice(None))
        place = keys.index(Ellipsis)
        rows, cols = keys[place + 1 :]
        return keys[:place], (rows, cols)


@dataclass(frozen=True)
class Widened:
    """An array ``(..., D, R, K)`` whose channels are filled up with zeros.

    Attributes:
        array: Anything that slices like a NumPy array.
        size: Channels.
    """

    array: ArrayLike3
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        *first, _, rows, cols = self.array.shape
        return (*first, self.size, rows, cols)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Read a part with all its channels: indices before them, and slices of rows and columns."""
        piece = np.asarray(self.array[key])
        found = np.zeros((*piece.shape[:-3], self.size, *piece.shape[-2:]), piece.dtype)
        found[..., : piece.shape[-3], :, :] = piece
        return found


Fusion = Literal["late", "early", "parts"]
JOINED_PREFIX = f"{JOINED}{MARK}"
"""Begins the name of a joined map; the name of a slide has no slash."""


def fuse_patient(patient: Patient, fusion: Fusion) -> Patient:
    """The patient as the network sees him: early fusion makes one map of several slides, parts always do.

    Example:
        >>> fuse_patient(Patient("P1", ("a", "b")), "early").slide_ids
        ('patient/P1',)
    """
    if fusion == "late" or (fusion == "early" and len(patient.slide_ids) == 1):
        return patient
    return replace(patient, slide_ids=(JOINED_PREFIX + patient.patient_id,))


def fuse_cohort(cohort: Cohort, fusion: Fusion) -> Cohort:
    """The cohort as the network sees it."""
    return replace(cohort, patients=tuple(fuse_patient(each, fusion) for each in cohort.patients))


def maps_of(
    patients: Sequence[Patient],
    fusion: Fusion,
    read: Callable[[str], CompressedSlide],
    parts: Sequence[PatientPart] = (),
) -> Mapping[str, CompressedSlide]:
    """The maps that the networks see, by name.

    Args:
        patients: With the slides as the store names them.
        fusion: How they come together.
        read: Opens the map of a slide.
        parts: Where fusion is by parts, all of them.
    """
    found: dict[str, CompressedSlide] = {}
    for patient in patients:
        names = fuse_patient(patient, fusion).slide_ids
        if names == patient.slide_ids:
            found.update((name, read(name)) for name in names)
        else:
            slides = [read(slide_id) for slide_id in patient.slide_ids]
            found[names[0]] = (
                parts_side_by_side(names[0], slides, parts)
                if fusion == "parts"
                else side_by_side(names[0], slides)
            )
    return found
