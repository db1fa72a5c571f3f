"""Annotation files of slides: reading any of them, checked against the slide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from histonic.core.errors import MaskError, SettingsError
from histonic.data.annotations.asap import CAMELYON, read_asap
from histonic.data.annotations.geojson import read_geojson
from histonic.data.annotations.masks import read_code_mask
from histonic.data.annotations.points import PointsOrder, read_points, require_inside
from histonic.data.annotations.shapes import Annotations, LabelRule, apply_rule
from histonic.slides.areas import words_of
from histonic.slides.tissue.masks import same_aspect

GEOJSON = (".geojson", ".json")
ASAP = (".xml",)
MASKS = (".png", ".tif", ".tiff")
POINTS = (".csv", ".tsv")
ANNOTATION_EXTENSIONS = (*GEOJSON, *ASAP, *MASKS, *POINTS)
"""File names that are read as annotations."""


def read_annotations(
    path: str | Path, *, least_width_px: int = 4096, points_order: PointsOrder | None = None
) -> Annotations:
    """Read an annotation file; shapes have the classes that the file gives them.

    Args:
        path: QuPath GeoJSON (``.geojson``, ``.json``), ASAP XML (``.xml``), a mask of class codes
            (``.png``, ``.tif``, ``.tiff``) or a CSV of points (``.csv``, ``.tsv``), which alone may be empty.
        least_width_px: Of a mask with several resolutions, the width that is enough.
        points_order: Of the columns of points without a header.

    Raises:
        MaskError: The file is absent, empty, damaged, of another kind, or holds nothing that can be read.

    Example:
        >>> import tempfile
        >>> text = '{"type": "Point", "coordinates": [5, 7]}'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(f"{folder}/a.geojson").write_text(text)
        ...     read_annotations(f"{folder}/a.geojson").points
        (Point(label='unclassified', xy=XY(x=5.0, y=7.0)),)
    """
    file = Path(path)
    asked = f"Read the annotations {file}."
    if not file.is_file():
        raise MaskError(asked, "There is no such file.", "Check the path.")
    suffix = file.suffix.lower()
    if suffix in POINTS:
        return read_points(file, asked, points_order)
    if not file.stat().st_size:
        raise MaskError(asked, "The file is empty.", "Export it again.")
    if suffix in GEOJSON:
        found = read_geojson(file, asked)
    elif suffix in ASAP:
        found = read_asap(file, asked)
    elif suffix in MASKS:
        found = read_code_mask(file, asked, least_width_px=least_width_px)
    else:
        raise MaskError(
            asked, f"It is a {suffix or 'nameless'} file.", "Give GeoJSON, XML, PNG, TIFF or CSV."
        )
    if not (found.regions or found.points or found.mask):
        others = words_of(found.passed_over)
        raise MaskError(
            asked,
            "It holds no region and no point" + (f", only {others}." if others else "."),
            "Draw areas or points and export them again.",
        )
    return found


def label_rule(labels: Mapping[str, str], exclude: Sequence[str] = (), skip: Sequence[str] = ()) -> LabelRule:
    """The user's words on classes, checked.

    Raises:
        SettingsError: A class is named twice, or gives an empty label.

    Example:
        >>> label_rule({"Tumor": "cancer"}).label_of("Tumor")
        'cancer'
    """
    fates = [*labels, *exclude, *skip]
    if twice := sorted({name for name in fates if fates.count(name) > 1}):
        raise SettingsError(
            "Give labels to the classes of annotations.",
            f"The class {twice[0]!r} is named twice.",
            "Name it once: in --labels, --exclude or --skip.",
        )
    if empty := sorted(name for name, label in labels.items() if not label.strip()):
        raise SettingsError(
            f"Give a label to the class {empty[0]!r}.", "It is empty.", "Name the label, or use --skip."
        )
    return LabelRule(dict(labels), tuple(exclude), tuple(skip))


def with_camelyon(rule: LabelRule) -> LabelRule:
    """A rule, and CAMELYON's convention for the groups that it does not name.

    Example:
        >>> rule = with_camelyon(LabelRule({"_2": "normal"}))
        >>> rule.label_of("_0"), rule.label_of("_2"), rule.label_of("Exclusion")
        ('tumour', 'normal', None)
    """
    labels = {name: label for name, label in CAMELYON.labels.items() if name not in rule.named}
    erased = [name for name in CAMELYON.exclude if name not in rule.named]
    return LabelRule({**labels, **rule.labels}, (*rule.exclude, *erased), rule.skip)


def annotations_of(
    path: Path,
    rule: LabelRule,
    *,
    slide: str,
    size_wh: tuple[int, int],
    least_width_px: int = 4096,
    points_order: PointsOrder | None = None,
    all_codes_of: str = "",
) -> Annotations:
    """The annotations of one slide, with labels in place of classes, checked against its size.

    Args:
        path: The file.
        rule: Which label each class gives; in ASAP's files CAMELYON's groups have their meaning besides.
        slide: Name of the slide, for messages.
        size_wh: Its level-0 size in pixels.
        least_width_px: Of a mask with several resolutions, the width that is enough.
        points_order: Of the columns of points without a header.
        all_codes_of: Every code of a mask but 0 must be named by the rule; this says whose codes they are.

    Raises:
        MaskError: The file cannot be read, is a mask of another shape or with a code that is not named, all
            in it lies outside the slide, or a point of a CSV does.
    """
    found = read_annotations(path, least_width_px=least_width_px, points_order=points_order)
    asked = f"Use the annotations {path} for {slide}."
    if found.mask is not None:
        height, width = found.mask.codes.shape
        if not same_aspect((height, width), size_wh):
            raise MaskError(
                asked,
                f"It is {width} x {height}, the slide {size_wh[0]} x {size_wh[1]}: another shape.",
                "Export the mask of the whole slide, from its top-left corner.",
            )
        unnamed = [name for code, name in found.mask.labels.items() if code and name not in rule.named]
        if all_codes_of and unnamed:
            raise MaskError(
                asked,
                f"It holds the code {unnamed[0]}, of which nothing is said for {all_codes_of}.",
                f"Say what it is: --labels {all_codes_of}:{unnamed[0]}=LABEL, or --skip "
                f"{all_codes_of}:{unnamed[0]}.",
            )
    elif path.suffix.lower() in POINTS:
        require_inside(found.points, size_wh, asked)
    else:
        _require_overlap(found, size_wh, asked)
    return apply_rule(found, with_camelyon(rule) if path.suffix.lower() in ASAP else rule)


def _require_overlap(found: Annotations, size_wh: tuple[int, int], asked: str) -> None:
    corners = [region.rings[0] for region in found.regions]
    corners += [np.array([point.xy], float) for point in found.points]
    edges = np.array([np.concatenate([ring.min(0), ring.max(0)]) for ring in corners])
    inside = (edges[:, :2] < size_wh).all(1) & (edges[:, 2:] > 0).all(1)
    if not inside.any():
        left, top = edges[:, :2].min(0).tolist()
        right, bottom = edges[:, 2:].max(0).tolist()
        raise MaskError(
            asked,
            f"All of it lies outside the slide: x {math.floor(left)} to {math.ceil(right)}, "
            f"y {math.floor(top)} to {math.ceil(bottom)}; the slide is {size_wh[0]} x {size_wh[1]}.",
            "Give level-0 pixels from the slide's top-left corner; is it the file of another slide?",
        )
