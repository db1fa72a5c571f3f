"""What an explanation leaves on the disk: pictures, GeoJSON, Zarr, one record a slide and a table of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import CellMap, CompressedSlide
from histonic.core.files import PARTIAL_PREFIX, replacing_folder, write_csv, write_json, write_text
from histonic.data.maps.cell_maps import write_cell_map
from histonic.stages.explain.attribution.checks import Curves
from histonic.stages.explain.geojson import ATTENTION_LEVELS, cells_geojson, signed_levels
from histonic.stages.explain.pictures import choose_cells, draw_deletion_curves, draw_overlay, draw_sheet
from histonic.stages.explain.slide import SlidePicture, cell_pictures

RECORD = "explanation.json"
SUMMARY = (
    "target",
    "slide_id",
    "patient_id",
    "output",
    "why",
    "networks",
    "unseen",
    "trust",
    "cells",
    "deletion",
    "insertion",
    "random",
    "gain",
    "randomised",
    "lesion_cells",
    "auc",
    "auc_randomised",
    "seconds",
)


def write_explanation(
    folder: Path,
    record: Mapping[str, Any],
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
    name, signed = str(record["output"]), record["method"] != "attention"
    with replacing_folder(folder) as partial:
        facts = {key: record[key] for key in ("target", "method", "output", "networks", "unseen")}
        write_cell_map(partial / "values.zarr", cells, facts)
        levels = signed_levels(name) if signed else ATTENTION_LEVELS
        text = json.dumps(cells_geojson(cells, levels), ensure_ascii=False, allow_nan=False)
        write_text(partial / "cells.geojson", text)
        draw_overlay(
            partial / "overlay.png",
            picture,
            cells,
            title=title_of(record),
            name=name,
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
            names=(f"Speak most for “{name}”", f"Speak most against “{name}”")
            if signed
            else ("Most attention", "Least attention"),
            note=picture.note,
        )
        if record["curves"]:
            curves = Curves(**{key: record["curves"][key] for key in Curves.__dataclass_fields__})
            order = "highest value" if signed else "most attention"
            draw_deletion_curves(partial / "curves.png", curves, record["prediction_name"], order)
        # The record comes last: it is the sign that all is there.
        write_json(partial / RECORD, record)


def title_of(record: Mapping[str, Any]) -> str:
    """Slide, target, prediction and truth in a line.

    Example:
        >>> title_of({"slide_id": "s1", "target": "msi", "kind": "binary", "truth": "no", "unseen": True,
        ...     "prediction": {"predicted": "yes", "p_no": 0.3, "p_yes": 0.7}})
        's1   |   msi: predicted yes (70 %), truth no   |   networks that never saw the patient'
    """
    words = prediction_words(record["prediction"], str(record["kind"]))
    truth = record["truth"]
    if record["kind"] == "survival" and truth is not None:
        truth = f"{'event' if truth[1] else 'no event until'}{' at' if truth[1] else ''} {truth[0]:g}"
    told = "" if truth is None else f", truth {truth if isinstance(truth, str) else f'{truth:.3g}'}"
    by = "networks that never saw the patient" if record["unseen"] else "all networks; not of the cohort"
    return f"{record['slide_id']}   |   {record['target']}: predicted {words}{told}   |   {by}"


def prediction_words(prediction: Mapping[str, Any], kind: str) -> str:
    """A prediction in a few words.

    The called class is the one favoured against its share among the training patients; where another one is
    more probable, that is said.

    Example:
        >>> prediction_words({"risk": 1.234, "high_risk": 1}, "survival")
        'high risk (1.23)'
    """
    if kind == "survival":
        return f"{'high' if prediction['high_risk'] else 'low'} risk ({prediction['risk']:.2f})"
    if kind == "regression":
        return f"{prediction['predicted']:.3g}"
    name = prediction["predicted"]
    share = prediction[f"p_{name}"]
    largest = max(value for key, value in prediction.items() if key.startswith("p_"))
    return f"{name} ({100 * share:.0f} %{'' if share == largest else ', much for so rare a class'})"


def write_summary(folder: Path) -> None:
    """Write ``summary.csv`` and ``summary.json`` over all records below a method's folder."""
    records = read_records(folder)
    write_csv(folder / "summary.csv", SUMMARY, [summary_row(record) for record in records])
    write_json(folder / "summary.json", {"targets": _by_target(records)})


def read_records(folder: Path) -> list[dict[str, Any]]:
    """All records below a method's folder, by target and slide."""
    found = []
    for path in sorted(folder.glob(f"*/*/{RECORD}")):
        if path.parent.name.startswith(PARTIAL_PREFIX):
            continue
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # It is written anew when the slide is explained again.
    return found


def summary_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """One line of ``summary.csv``."""
    areas = record["curves"]["areas"] if record["curves"] else {}
    lesion = record["lesion"] or {}
    row = {key: record.get(key) for key in SUMMARY}
    row |= {key: areas.get(key) for key in ("deletion", "insertion", "random", "gain")}
    row["networks"] = len(record["networks"])
    row["unseen"] = int(record["unseen"])
    row["randomised"] = record["randomisation"]["mean"] if record["randomisation"] else None
    row["lesion_cells"] = lesion.get("cells")
    row |= {key: lesion.get(key) for key in ("auc", "auc_randomised")}
    return row


def _by_target(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the slides of each target; of the AUC over those whose tissue is lesion in part.

    Only of the cohort's slides and the usual output: means over different questions mean nothing.
    """
    usual = [each for each in records if each["inputs"]["output"] is None and not each["inputs"]["by_path"]]
    rows = [summary_row(record) for record in usual or records]
    found = {}
    for target in sorted({row["target"] for row in rows}):
        own = [row for row in rows if row["target"] == target]
        found[target] = {
            "slides": len(own),
            "slides_with_auc": sum(row["auc"] is not None for row in own),
            **{
                key: _mean([row[key] for row in own if row[key] is not None])
                for key in ("gain", "randomised", "auc", "auc_randomised", "seconds")
            },
        }
    return found


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
