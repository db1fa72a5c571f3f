"""CAMELYON16's lesion score: the free-response ROC curve of detections against annotated metastases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float64]
EVALUATION_MPP = 0.243 * 32
"""Microns per pixel of the masks that are evaluated: level 5 of 0.243."""
MERGED_UM = 75.0
"""Metastases nearer to each other than this are one: each is grown by half of it."""
SMALLEST_UM = 275.0
"""Regions whose major axis is shorter are isolated tumour cells, and do not count."""
TARGETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives a slide at which the sensitivity is read."""


class Lesions(NamedTuple):
    """The annotated regions of a slide.

    Attributes:
        labels: ``(H, W)`` int, 0 outside.
        counted: Labels of the regions that count; the others are isolated tumour cells.
    """

    labels: npt.NDArray[np.int32]
    counted: tuple[int, ...]


class SlideHits(NamedTuple):
    """What the detections of a slide hit.

    Attributes:
        best: Highest confidence in each counted region that was hit.
        false: Confidence of every detection outside of all regions.
        regions: Counted regions of the slide.
    """

    best: tuple[float, ...]
    false: tuple[float, ...]
    regions: int


def lesions_of_mask(tumour: npt.NDArray[np.bool_], mpp: float = EVALUATION_MPP) -> Lesions:
    """Regions of a tumour mask as the organisers evaluate them.

    Tumour is grown by 37.5 microns, holes are filled, and what then touches (also by corners) is one region.

    Args:
        tumour: bool ``(H, W)``, the whole slide.
        mpp: Microns per pixel of the mask; the organisers' own is 7.776.

    Example:
        >>> mask = np.zeros((120, 120), bool)
        >>> mask[10:60, 10:14] = True; mask[100:104, 100:104] = True
        >>> lesions = lesions_of_mask(mask)
        >>> int(lesions.labels.max()), lesions.counted
        (2, (1,))
    """
    outside = np.asarray(~np.asarray(tumour, bool))
    if outside.all():
        return Lesions(np.zeros(outside.shape, np.int32), ())
    grown = ndimage.distance_transform_edt(outside) < MERGED_UM / 2 / mpp
    labels, _ = ndimage.label(ndimage.binary_fill_holes(grown), np.ones((3, 3)))
    kept = []
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is not None and major_axis(labels[place] == label) * mpp >= SMALLEST_UM:
            kept.append(label)
    return Lesions(np.asarray(labels, np.int32), tuple(kept))


def major_axis(region: npt.NDArray[np.bool_]) -> float:
    """Length of the major axis of the ellipse with the same second moments, in pixels.

    Four times the root of the largest eigenvalue of the covariance of its pixels' places.

    Example:
        >>> yy, xx = np.mgrid[-50:51, -50:51]
        >>> round(major_axis((xx / 40) ** 2 + (yy / 20) ** 2 <= 1))
        80
    """
    places = np.argwhere(region).astype(np.float64)
    if len(places) < 2:
        return 0.0
    centred = places - places.mean(axis=0)
    return float(4 * np.sqrt(max(np.linalg.eigvalsh(centred.T @ centred / len(places))[-1], 0.0)))


def hits_of_slide(
    lesions: Lesions | None, confidence: FloatArray, xy: FloatArray, slide_mpp: float, mpp: float
) -> SlideHits:
    """What the detections of one slide hit.

    A region scores its most confident detection, further ones count neither way. Detections in isolated
    tumour cells are ignored; those outside of all regions, or of the slide, are false.

    Args:
        lesions: Of the slide; None of a normal one.
        confidence: ``(n,)``.
        xy: ``(n, 2)`` level-0 pixels.
        slide_mpp: Microns per pixel of level 0.
        mpp: Of the lesions' labels.
    """
    if lesions is None:
        return SlideHits((), tuple(float(each) for each in confidence), 0)
    best: dict[int, float] = {}
    false: list[float] = []
    height, width = lesions.labels.shape
    for value, (x, y) in zip(confidence, np.asarray(xy, np.float64).reshape(-1, 2), strict=True):
        col, row = int(np.floor(x * slide_mpp / mpp)), int(np.floor(y * slide_mpp / mpp))
        inside = 0 <= row < height and 0 <= col < width
        label = int(lesions.labels[row, col]) if inside else 0
        if not label:
            false.append(float(value))
        elif label in lesions.counted:
            best[label] = max(best.get(label, -np.inf), float(value))
    return SlideHits(tuple(best.values()), tuple(false), len(lesions.counted))


class Froc(NamedTuple):
    """A free-response ROC curve.

    Attributes:
        false_per_slide: Rises along the curve.
        sensitivity: Share of all counted regions that are hit.
        at_targets: Sensitivity at each of :data:`TARGETS`.
        score: Their mean; None where there is no region to be found.
    """

    false_per_slide: FloatArray
    sensitivity: FloatArray
    at_targets: tuple[float, ...]
    score: float | None


def froc(slides: Sequence[SlideHits]) -> Froc:
    """The curve and score over all slides.

    Thresholds are all distinct positive confidences, highest first. Sensitivity is read at the first point
    with at least the wanted number of false positives a slide, without interpolation, and at the last point
    of the curve if there is none.

    Args:
        slides: Of :func:`hits_of_slide`, normal slides among them.

    Example:
        >>> curve = froc([SlideHits((0.9,), (0.8, 0.2), 2), SlideHits((), (0.5,), 0)])
        >>> curve.false_per_slide.tolist(), curve.sensitivity.tolist(), curve.score
        ([0.0, 0.5, 1.0, 1.5], [0.5, 0.5, 0.5, 0.5], 0.5)
    """
    best = np.array([value for each in slides for value in each.best], np.float64)
    false = np.array([value for each in slides for value in each.false], np.float64)
    regions = sum(each.regions for each in slides)
    if not slides or not regions:
        return Froc(np.zeros(0), np.zeros(0), (), None)
    values = np.unique(np.concatenate([best, false]))[::-1]
    thresholds = values[values > 0]
    per_slide = np.array([(false >= each).sum() for each in thresholds]) / len(slides)
    sensitivity = np.array([(best >= each).sum() for each in thresholds]) / regions
    read = tuple(_read(per_slide, sensitivity, target) for target in TARGETS)
    return Froc(per_slide, sensitivity, read, float(np.mean(read)))


def _read(per_slide: FloatArray, sensitivity: FloatArray, target: float) -> float:
    reached = np.flatnonzero(per_slide >= target)
    if not len(per_slide):
        return 0.0
    return float(sensitivity[reached[0] if len(reached) else -1])
