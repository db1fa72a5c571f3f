"""Where lesions are: peaks of an explanation as detections, and their FROC score against what is drawn."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from histonic.core.compressed import CellMap
from histonic.core.errors import HistonicError, SettingsError
from histonic.core.files import csv_text, replacing_folder, write_text
from histonic.core.grid import TileGrid
from histonic.data.annotations.asap import CAMELYON
from histonic.data.annotations.reading import read_annotations
from histonic.data.annotations.shapes import Annotations, LabelRule, Region, apply_rule
from histonic.data.annotations.shares import area_of, covered_squares
from histonic.data.maps.cell_maps import read_cell_map
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.peaks import pick_points
from histonic.data.maps.store import map_folder
from histonic.metrics.challenges.froc import EVALUATION_MPP, TARGETS, froc, hits_of_slide, lesions_of_mask
from histonic.slides.base import open_slide
from histonic.slides.tissue.polygons import UNCLASSIFIED
from histonic.stages.study.frame.cases import Finding, named
from histonic.stages.study.frame.files import number_rows
from histonic.stages.study.frame.plan import Place
from histonic.stages.study.frame.results import ScoreLine

METHOD = "hires-cam"
MOST_PEAKS = 200
"""Of a slide, the highest; more are no help for a reader, nor for the score."""
MOST_BEYOND = 0.01
"""Share of an annotation that may lie beyond the border of its slide, as a hand that draws slips."""
GROUPS = LabelRule(
    {**{name.lower(): label for name, label in CAMELYON.labels.items()}, "metastases": "tumour"},
    exclude=(*(name.lower() for name in CAMELYON.exclude), "normal"),
)
"""What groups mean, by their names in lower case; metastases and normal are CAMELYON17's."""
HEADS = (["p", "x", "y"], ["confidence", "x", "y"])
Detections = list[tuple[float, float, float]]
"""Confidence, x and y in level-0 pixels."""


def peaks(cells: CellMap, highest: float, probability: float) -> Detections:
    """Cells that speak more for the lesion than their neighbours, at their centres.

    Args:
        cells: The explanation.
        highest: Value over all slides that counts as 1.
        probability: Of the slide; confidences are multiplied by it, so that slides can be compared.

    Example:
        >>> values = np.array([[0.1, 0.9, np.nan], [0.2, 0.3, -1.0]], np.float32)
        >>> grid = TileGrid.over((768, 512), slide_mpp=0.25, tile_px=128, mpp=0.5)
        >>> peaks(CellMap("a", values, grid, "test"), 1.8, 0.5)
        [(0.25, 384.0, 128.0)]
    """
    points = pick_points(cells, above=0)
    found = [
        (round(probability * value / highest, 6), x, y)
        for (x, y), value in zip(points.xy.tolist(), points.values.tolist(), strict=True)
    ]
    return sorted(found, reverse=True)[:MOST_PEAKS]


def write_lesions(place: Place, probabilities: Mapping[str, float], folder: Path) -> int:
    """Write a CSV of p, x, y for each slide; how many detections there are.

    Args:
        place: Of the study, whose run was explained.
        probabilities: Of a lesion, by slide.
        folder: To write; replaced.
    """
    where = place.run / "explain" / METHOD / "tumour"
    maps = {name: read_cell_map(where / name / "values.zarr") for name in probabilities}
    highest = max((float(np.nanmax(each.values, initial=0.0)) for each in maps.values()), default=0.0)
    count = 0
    with replacing_folder(folder) as partial:
        for name, cells in maps.items():
            found = peaks(cells, highest, probabilities[name]) if highest > 0 else []
            rows = [[f"{p:.6f}", f"{x:.1f}", f"{y:.1f}"] for p, x, y in found]
            write_text(partial / f"{name}.csv", csv_text(["p", "x", "y"], rows))
            count += len(rows)
    return count


def detection_files(folder: Path, slides: Collection[str]) -> dict[str, Path]:
    """The file of detections of each slide that has one; names are compared without regard to case.

    Args:
        folder: A CSV for each slide.
        slides: Names.

    Raises:
        SettingsError: There is no such folder, or none of its files is named like a slide.
    """
    asked = f"Score the detections in {folder}."
    if not folder.is_dir():
        raise SettingsError(asked, "There is no such folder.", "Give the folder of a CSV for each slide.")
    called = {path.stem.lower(): path for path in sorted(folder.glob("*.csv"))}
    found = {name: called[name.lower()] for name in slides if name.lower() in called}
    if not found:
        some = ", ".join(list(called)[:3]) or "none"
        raise SettingsError(
            asked,
            f"None of its {len(called)} CSV file(s) ({some}) is named like a slide.",
            "Name them like the slides: test_001.csv.",
        )
    return found


def read_lesions(path: Path | None) -> Detections:
    """Detections of a slide, with or without the header p,x,y (confidence,x,y); empty if there is no file.

    Raises:
        TableError: It cannot be read, or a row is no three numbers.
    """
    if path is None or not path.is_file():
        return []
    asked = f"Read the detections of {path}."
    return [
        (p, x, y) for p, x, y in number_rows(path, HEADS, (3,), asked=asked, todo="Write confidence, x, y.")
    ]


def read_tumour(path: Path) -> tuple[Annotations, bool]:
    """The annotations of a slide with tumour as their label, what is cut out of it excluded.

    Returns:
        Annotations, and whether all is taken as tumour because no region has a group.

    Raises:
        MaskError: The file cannot be read.
    """
    read = read_annotations(path)
    regions = tuple(Region(each.label and each.label.lower(), each.rings) for each in read.regions)
    is_unnamed = bool(regions) and all(each.label == UNCLASSIFIED for each in regions)
    rule = LabelRule({UNCLASSIFIED: "tumour"}) if is_unnamed else GROUPS
    return apply_rule(replace(read, regions=regions), rule), is_unnamed


def annotation_findings(slides: Mapping[str, Path], drawn: Mapping[str, Path]) -> list[Finding]:
    """What of the annotations of test slides with a tumour cannot be scored; hours later it would be found.

    Args:
        slides: File of each of these slides.
        drawn: Annotation of each slide that has one.
    """
    found = []
    absent = [name for name in slides if name not in drawn]
    if absent:
        what = f"missing: annotations of test slides with a tumour: {named(absent)}."
        found.append(Finding("warning", what, "Without them lesions are written, and cannot be scored."))
    for name, path in slides.items():
        if name not in drawn:
            continue
        try:
            read, is_unnamed = read_tumour(drawn[name])
        except HistonicError as error:
            found.append(Finding("error", f"annotation {drawn[name]}: {error.found}", error.todo))
            continue
        area = area_of(read.regions, "tumour")
        if area.is_empty:
            what = f"annotation {drawn[name]}: no tumour is drawn; its groups are {_groups(drawn[name])}."
            found.append(Finding("error", what, "Tumour is in the groups _0, _1, Tumor or metastases."))
            continue
        if is_unnamed:
            what = f"annotation {drawn[name]}: all groups are None: all is taken as tumour."
            found.append(Finding("warning", what, "If some is not, give groups: _0 to tumour, _2 to holes."))
        outside = _outside(path, area)
        if outside:
            what = f"annotation {drawn[name]} reaches beyond its slide: {outside}."
            found.append(Finding("error", what, "It is of another slide, or x and y are exchanged."))
    return found


def _groups(path: Path) -> str:
    """The groups of the regions as the file calls them."""
    labels = {str(region.label) for region in read_annotations(path).regions}
    return named(["None" if label == UNCLASSIFIED else label for label in labels]) or "none"


def _outside(slide: Path, area: shapely.Geometry) -> str:
    """How far an area reaches beyond a slide; empty if it does not, or the slide cannot be opened."""
    try:
        with open_slide(slide) as opened:
            width, height = opened.size_wh
    except HistonicError:
        return ""  # the compression names it
    beyond = area.area - area.intersection(shapely.box(0, 0, width, height)).area
    if beyond <= MOST_BEYOND * area.area:
        return ""
    left, top, right, bottom = area.bounds
    return f"x {left:g} to {right:g}, y {top:g} to {bottom:g} of {width} x {height} px"


def froc_scores(
    place: Place,
    kinds: Mapping[str, str],
    drawn: Mapping[str, Path],
    folder: Path,
) -> list[ScoreLine]:
    """The FROC score of the detections in a folder.

    Args:
        place: Of the study, whose maps say how large the slides are.
        kinds: normal or tumor, by slide that is scored.
        drawn: The annotation of each tumour slide.
        folder: A CSV for each slide.

    Raises:
        SettingsError: There is no such folder, or none of its files is named like a slide.
    """
    of, name = "lesions, test slides", "FROC score"
    absent = [slide for slide, kind in kinds.items() if kind == "tumor" and slide not in drawn]
    if absent:
        why = f"No annotation of {', '.join(absent[:5])} is there ({len(absent)} tumour slides)."
        return [ScoreLine(of=of, n=len(kinds), name=name, value=None, note=why)]
    files = detection_files(folder, kinds)
    found = []
    for slide, kind in kinds.items():
        grid = read_map_facts(map_folder(place.test_maps, slide)).grid
        lesions = None
        if kind == "tumor":
            annotations, _ = read_tumour(drawn[slide])
            lesions = lesions_of_mask(tumour_mask(annotations, grid))
        given = np.array(read_lesions(files.get(slide)), np.float64).reshape(-1, 3)
        found.append(hits_of_slide(lesions, given[:, 0], given[:, 1:], float(grid.slide_mpp), EVALUATION_MPP))
    curve = froc(found)
    regions = sum(each.regions for each in found)
    targets = ", ".join(f"{each:g}" for each in TARGETS)
    note = f"{regions} metastases; mean sensitivity at {targets} false a slide."
    if len(files) < len(kinds):
        note += f" {len(kinds) - len(files)} of {len(kinds)} slides have no file: nothing is detected there."
    lines = [ScoreLine(of=of, n=len(kinds), name=name, value=curve.score, note=note)]
    for target, value in zip(TARGETS, curve.at_targets, strict=False):
        lines.append(
            ScoreLine(of=of, n=len(kinds), name=f"Sensitivity at {target:g} false a slide", value=value)
        )
    return lines


def tumour_mask(annotations: Annotations, grid: TileGrid) -> npt.NDArray[np.bool_]:
    """Bool ``(H, W)`` at 7.776 microns per pixel: more than half of the pixel is tumour, holes cut out."""
    side = EVALUATION_MPP / float(grid.slide_mpp)
    shape = (math.ceil(grid.slide_wh.h / side), math.ceil(grid.slide_wh.w / side))
    return np.asarray(covered_squares(area_of(annotations.regions, "tumour"), side, shape) >= 0.5)
