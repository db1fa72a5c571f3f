"""Annotation files of slides: which belongs to which slide, and reading any of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from histonic.core.errors import MaskError, SettingsError
from histonic.core.files import PARTIAL_PREFIX
from histonic.data.annotations.asap import CAMELYON, read_asap
from histonic.data.annotations.geojson import read_geojson
from histonic.data.annotations.masks import read_code_mask
from histonic.data.annotations.shapes import Annotations, LabelRule, apply_rule
from histonic.data.names import PATH_SIGN, slide_name
from histonic.slides.tissue.masks import same_aspect

GEOJSON = (".geojson", ".json")
ASAP = (".xml",)
MASKS = (".png", ".tif", ".tiff")
ANNOTATION_EXTENSIONS = (*GEOJSON, *ASAP, *MASKS)
"""File names that are read as annotations."""

_NAME_ENDINGS = ("_mask", "_annotations", "_annotation")


def read_annotations(path: str | Path, *, least_width_px: int = 4096) -> Annotations:
    """Read an annotation file; shapes have the classes that the file gives them.

    Args:
        path: QuPath GeoJSON (``.geojson``, ``.json``), ASAP XML (``.xml``) or a mask of class codes
            (``.png``, ``.tif``, ``.tiff``).
        least_width_px: Of a mask with several resolutions, the width that is enough.

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
    if not file.stat().st_size:
        raise MaskError(asked, "The file is empty.", "Export it again.")
    suffix = file.suffix.lower()
    if suffix in GEOJSON:
        found = read_geojson(file, asked)
    elif suffix in ASAP:
        found = read_asap(file, asked)
    elif suffix in MASKS:
        found = read_code_mask(file, asked, least_width_px=least_width_px)
    else:
        raise MaskError(asked, f"It is a {suffix or 'nameless'} file.", "Give GeoJSON, XML, PNG or TIFF.")
    if not (found.regions or found.points or found.mask):
        others = ", ".join(f"{count} x {what}" for what, count in sorted(found.passed_over.items()))
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
    path: Path, rule: LabelRule, *, slide: str, size_wh: tuple[int, int], least_width_px: int = 4096
) -> Annotations:
    """The annotations of one slide, with labels in place of classes, checked against its size.

    Args:
        path: The file.
        rule: Which label each class gives; in ASAP's files CAMELYON's groups have their meaning besides.
        slide: Name of the slide, for messages.
        size_wh: Its level-0 size in pixels.
        least_width_px: Of a mask with several resolutions, the width that is enough.

    Raises:
        MaskError: The file cannot be read, is a mask of another shape, or all in it lies outside the slide.
    """
    found = read_annotations(path, least_width_px=least_width_px)
    asked = f"Use the annotations {path} for {slide}."
    if found.mask is not None:
        height, width = found.mask.codes.shape
        if not same_aspect((height, width), size_wh):
            raise MaskError(
                asked,
                f"It is {width} x {height}, the slide {size_wh[0]} x {size_wh[1]}: another shape.",
                "Export the mask of the whole slide, from its top-left corner.",
            )
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


def find_annotations(path: Path, slide_ids: Sequence[str]) -> tuple[dict[str, Path], list[Path]]:
    """Which annotation file belongs to which slide.

    In a folder files are named like the slides, with or without the slide's own extension
    (``a.geojson``, ``a.svs.geojson``) or with ``_mask``, ``_annotation`` or ``_annotations`` at the end
    (``a_mask.tif``). Slides named by their paths (``viable__a``) may have theirs in folders of the same names
    (``viable/a.geojson``). A single file serves a single slide.

    Args:
        path: The folder, or one file.
        slide_ids: Names of the slides.

    Returns:
        The file of each slide that has one, and the files that belong to none.

    Raises:
        SettingsError: No such path, no file of the folder belongs to any slide, one file for several
            slides, or several files for one slide.
    """
    asked = f"Find annotations in {path}."
    if not path.exists():
        raise SettingsError(asked, "There is no such file or folder.", "Check the path.")
    if not path.is_dir():
        if len(slide_ids) == 1:
            return {slide_ids[0]: path}, []
        raise SettingsError(
            asked,
            f"It is one file, but there are {len(slide_ids)} slides.",
            "Give a folder with files named like the slides.",
        )
    found: dict[str, Path] = {}
    others: list[Path] = []
    # Slides that are named by their paths have their files in folders of the same names.
    for file in sorted(path.rglob("*") if any(PATH_SIGN in name for name in slide_ids) else path.iterdir()):
        if not file.name.lower().endswith(ANNOTATION_EXTENSIONS) or file.name.startswith(
            (".", PARTIAL_PREFIX)
        ):
            continue
        name = _slide_of(file.relative_to(path), slide_ids)
        if name is None:
            others.append(file)
        elif name in found:
            raise SettingsError(
                f"Find the annotations of {name} in {path}.",
                f"Two files could be meant: {found[name].name} and {file.name}.",
                "Move one away.",
            )
        else:
            found[name] = file
    if not found:
        raise SettingsError(
            asked,
            f"None of its {len(others)} annotation file(s) is named like one of the {len(slide_ids)} slide(s)"
            + (f": {others[0].name} fits neither {_some(slide_ids)}." if others else "."),
            "Name them like the slides, such as a.geojson for a.svs.",
        )
    return found, others


def _slide_of(file: Path, slide_ids: Sequence[str]) -> str | None:
    stem = file.name[: -len(file.suffix)]
    stems = [stem, slide_name(stem), *(stem.removesuffix(end) for end in _NAME_ENDINGS)]
    names = [PATH_SIGN.join([*file.parts[:-1], each]) for each in stems]
    return next((name for name in names if name in slide_ids), None)


def _some(names: Sequence[str]) -> str:
    return " nor ".join(names[:3]) + (" ..." if len(names) > 3 else "")
