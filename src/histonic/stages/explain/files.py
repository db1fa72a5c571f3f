"""What an explanation leaves on the disk: pictures, GeoJSON, Zarr, one record a slide and a table of all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import CellMap, CompressedSlide
from histonic.core.documents import write_document
from histonic.core.errors import TableError
from histonic.core.files import PARTIAL_PREFIX, replacing_folder, write_csv, write_text
from histonic.data.maps.cell_maps import write_cell_map
from histonic.stages.explain.geojson import (
    ATTENTION_LEVELS,
    Level,
    cells_geojson,
    levels_for,
    signed_levels,
    tiles_geojson,
)
from histonic.stages.explain.pictures import draw_deletion_curves, draw_overlay, draw_sheet
from histonic.stages.explain.record import (
    RECORD,
    UNSIGNED,
    Explanation,
    Explanations,
    SummaryRow,
    TargetMeans,
    read_explanation,
    summary_row,
    title_of,
)
from histonic.stages.explain.slide import SlidePicture, cell_pictures
from histonic.stages.explain.values import choose_cells

TILES = "tiles.geojson"


def write_explanation(
    folder: Path,
    record: Explanation,
    slide: CompressedSlide,
    cells: CellMap,
    picture: SlidePicture,
    lesion: npt.NDArray[np.float64] | None,
    tiles: int,
) -> None:
    """Write everything of one target and slide, all or nothing.

    Args:
        folder: Replaced if it exists.
        record: What is known of it; becomes ``explanation.json``.
        slide: The map.
        cells: The explanation.
        picture: Of the slide.
        lesion: ``(R, K)`` covered shares, if there is an annotation.
        tiles: Cells of highest, and of lowest, value on the sheet.

    Raises:
        OutputError: The folder cannot be written.
    """
    signed = record.method not in UNSIGNED
    heading, levels, ends = _words_of(record)
    with replacing_folder(folder) as partial:
        facts = {"target", "method", "output", "networks", "unseen"}
        write_cell_map(partial / "values.zarr", cells, record.model_dump(mode="json", include=facts))
        if slide.knows_level0:
            text = json.dumps(cells_geojson(cells, levels), ensure_ascii=False, allow_nan=False)
            write_text(partial / "cells.geojson", text)
            told = "attention" if record.method == "attention" else f"for {record.output}"
            text = json.dumps(
                tiles_geojson(cells, f"{record.target}: {told}"), ensure_ascii=False, allow_nan=False
            )
            write_text(partial / TILES, text)
        draw_overlay(
            partial / "overlay.png",
            picture,
            cells,
            title=title_of(record),
            heading=heading,
            signed=signed,
            lesion=lesion,
        )
        chosen = choose_cells(cells.values, tiles, signed=signed)
        pictures = cell_pictures(picture, slide, [*chosen[0], *chosen[1]])
        split = len(chosen[0])
        draw_sheet(
            partial / "tiles.png",
            cells,
            (pictures[:split], pictures[split:]),
            chosen,
            title=title_of(record),
            names=ends,
            note=picture.note,
        )
        if record.curves:
            order = "most attention" if record.method == "attention" else "highest value"
            draw_deletion_curves(partial / "curves.png", record.curves, record.prediction_name, order)
        # The record comes last: it is the sign that all is there.
        write_document(partial / RECORD, record)


def _words_of(record: Explanation) -> tuple[str, tuple[Level, ...], tuple[str, str]]:
    """Heading of the overlay, levels of the annotations, and what cells of most and least value do."""
    name = record.output
    if record.method == "attention":
        return (
            "How much each cell counts (attention)",
            ATTENTION_LEVELS,
            ("Most attention", "Least attention"),
        )
    most = f"Speak most for “{name}”"
    if record.method in UNSIGNED:
        return f"What speaks for “{name}”", levels_for(name), (most, f"Speak least for “{name}”")
    heading = f"What speaks for “{name}”, what against"
    return heading, signed_levels(name), (most, f"Speak most against “{name}”")


def write_summary(folder: Path) -> None:
    """Write ``summary.csv`` and ``summary.json`` over all records below a method's folder."""
    records = read_records(folder)
    rows = [summary_row(record).model_dump() for record in records]
    write_csv(folder / "summary.csv", list(SummaryRow.model_fields), rows)
    write_document(folder / "summary.json", Explanations(targets=_by_target(records)))


def read_records(folder: Path) -> list[Explanation]:
    """All records below a method's folder, by target and slide."""
    found = []
    for path in sorted(folder.glob(f"*/*/{RECORD}")):
        if path.parent.name.startswith(PARTIAL_PREFIX):
            continue
        try:
            found.append(read_explanation(path))
        except TableError:
            continue  # It is written anew when the slide is explained again.
    return found


def _by_target(records: Sequence[Explanation]) -> dict[str, TargetMeans]:
    """Means over the slides of each target; of the AUC over those whose tissue is lesion in part.

    Only of the cohort's slides and the usual output: means over different questions mean nothing.
    """
    usual = [each for each in records if each.inputs.output is None and not each.inputs.by_path]
    rows = [summary_row(record) for record in usual or records]
    found = {}
    for target in sorted({row.target for row in rows}):
        own = [row for row in rows if row.target == target]
        found[target] = TargetMeans(
            slides=len(own),
            slides_with_auc=sum(row.auc is not None for row in own),
            **{
                key: _mean([value for row in own if (value := getattr(row, key)) is not None])
                for key in ("gain", "randomised", "auc", "auc_randomised")
            },
        )
    return found


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
