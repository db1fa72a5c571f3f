"""Annotated lesions on the cells of a map, to see whether an explanation finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import MARK
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import MaskError
from histonic.core.progress import Progress
from histonic.data.annotations.finding import find_annotations
from histonic.data.annotations.reading import annotations_of
from histonic.data.annotations.shapes import LabelRule
from histonic.data.annotations.shares import label_shares
from histonic.slides.areas import words_of
from histonic.slides.tissue.polygons import UNCLASSIFIED

SHAPES = "(no class)"
"""Shapes without a class; no class of an annotation program has such a name."""


def find_lesions(masks: Path | None, slide_ids: Sequence[str]) -> dict[str, Path]:
    """The annotation file of each slide that has one.

    Raises:
        SettingsError: The folder is absent, or none of its files is named like a slide.
    """
    # Slides of parts lie in the folders of these.
    places = {name: name for name in slide_ids if MARK in name}
    return {} if masks is None else find_annotations(masks, slide_ids, places, areas=True)[0]


def lesion_shares(
    file: Path, slide: CompressedSlide, classes: Sequence[str] = (), progress: Progress | None = None
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """The share of each cell that is covered by lesion.

    Args:
        file: GeoJSON, ASAP XML or a mask of class codes, in level-0 pixels of the slide.
        slide: The map.
        classes: Classes that are lesion, in capitals or not; all if none is named. Shapes without a class are
            lesion, too.
        progress: Told what of the outlines was repaired.

    Returns:
        ``(R, K)``, and the classes of the file if it has some but none of those named.

    Raises:
        MaskError: The file cannot be read or belongs to another slide, or the map knows no level-0 pixels.
    """
    if not slide.knows_level0:
        raise MaskError(
            f"Compare the explanation of {slide.slide_id!r} with {file}.",
            "Its features were imported with positions in microns; where level-0 pixels lie is not known.",
            "Import them again with the slide's microns per pixel (--slides TABLE or --mpp).",
        )
    if says_none(file):
        return np.zeros(tuple(slide.grid.shape), np.float64), []
    rule = LabelRule({UNCLASSIFIED: SHAPES})
    found = annotations_of(file, rule, slide=slide.slide_id, size_wh=slide.grid.slide_wh)
    if found.mask is not None and slide.encoder.spec.tool and slide.slide.size_wh is None:
        raise MaskError(
            f"Compare the explanation of {slide.slide_id!r} with {file}.",
            "Its features were imported, and the size of its slide, over which a mask is laid, is not known.",
            "Import them again with a table that names slide files (--slides TABLE), or give GeoJSON.",
        )
    if found.repaired and progress:
        progress.say(f"{slide.slide_id}: {file.name}: repaired {words_of(found.repaired)}")
    shares = label_shares(found, slide.grid).labels
    named = {SHAPES, *(each.casefold() for each in classes)}
    wanted = [share for name, share in shares.items() if not classes or name.casefold() in named]
    total = np.zeros(tuple(slide.grid.shape), np.float64)
    for share in wanted:
        total = np.minimum(total + share, 1).astype(np.float64)
    return total, [] if wanted else sorted(shares)


def says_none(file: Path) -> bool:
    """Whether a GeoJSON file says that nothing was drawn, which is an answer."""
    if file.suffix.lower() not in (".geojson", ".json"):
        return False
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("features") == []
