"""PatchCamelyon: tumour in the centre of a tile of CAMELYON16, by accuracy and AUC on the test split."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from histonic.core.errors import TableError
from histonic.core.progress import Progress
from histonic.data.tilesets.plan import TileSetSettings
from histonic.stages.study.frame.cases import Case, Finding, Survey
from histonic.stages.study.frame.files import all_files, by_name, table_with
from histonic.stages.study.frame.leaks import shipped_encoder_note
from histonic.stages.study.frame.plan import Outcome, Place, write_tables
from histonic.stages.study.frame.results import keep_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.frame.tiles import (
    coded_tiles,
    encoder_of,
    tile_scores,
    tile_steps,
    write_tile_predictions,
)
from histonic.stages.study.steps.step import Step

TITLE = "PatchCamelyon: metastasis in the centre of a tile"
LICENCE = "CC0"
TARGETS = ("tumor",)
FILE = r"camelyonpatch_level_2_split_(train|valid|test)_(x|y)\.h5"
PACKED = r"camelyonpatch_level_2_split_(train|valid|test)_(x|y|mask)\.h5\.gz"
META = r"camelyonpatch_level_2_split_(train|valid|test)_meta\.csv"
COUNTS = {"train": 262_144, "valid": 32_768, "test": 32_768}
MPP = 0.243 * 4
SPLITS = {"train": "train", "valid": "val", "test": "test"}


def survey(settings: RecipeSettings) -> Survey:
    """Find the six files and the tables of slides."""
    files = all_files(settings.data)
    data, findings = by_name(files, FILE, "file")
    packed, _ = by_name(files, PACKED, "file")
    meta, doubled = by_name(files, META, "table")
    findings += doubled
    for part in COUNTS:
        for kind in ("x", "y"):
            if (part, kind) in data:
                continue
            name = f"camelyonpatch_level_2_split_{part}_{kind}.h5"
            todo = f"Unpack it: gunzip {name}.gz" if (part, kind) in packed else "Download it."
            findings.append(Finding("error", f"missing: {name}.", todo))
    cases: list[Case] = []
    told = []
    if not any(each.severity == "error" for each in findings):
        slides: dict[str, set[str]] = {}
        for part, count in COUNTS.items():
            here = _count(data[part, "x"])
            told.append(f"{here:,} of {count:,} {part}")
            labels = _labels(data[part, "y"])
            if len(labels) != here:
                what = f"{data[part, 'y']} has {len(labels):,} labels for {here:,} tiles."
                findings.append(Finding("error", what, "Download both files again."))
            if (part,) in meta:
                slides[part] = _require_same_labels(meta[(part,)], labels)
            cases.append(
                Case(
                    part,
                    data[part, "x"],
                    part,
                    {"tiles": str(here)},
                    SPLITS[part],
                    mpp=MPP,
                    group_source="table" if (part,) in meta else "none",
                )
            )
        findings += _shared(slides)
        if len(meta) < len(COUNTS):
            findings.append(
                Finding(
                    "warning", "missing: the ..._meta.csv that name the slides.", "Intervals are by tile."
                )
            )
        folders = {path.parent for path in data.values()}
        if len(folders) > 1:
            findings.append(Finding("error", "The files lie in several folders.", "Put them into one."))
    findings += shipped_encoder_note(settings, "tiles of PatchCamelyon and their labels", trains=True)
    findings.append(
        Finding(
            "note", "Its tiles are of CAMELYON16: no encoder of it may be tested on the same slides there."
        )
    )
    recognised = (f"recognised: {TITLE}", f"licence: {LICENCE}", f"tiles: {', '.join(told) or 'none'}")
    folder = next((path.parent for path in data.values()), settings.data)
    return Survey(recognised, tuple(cases), tuple(findings), {"folder": folder})


def _count(path: Path) -> int:
    try:
        with h5py.File(path) as file:
            return int(file["x"].shape[0])
    except (OSError, KeyError, AttributeError, IndexError) as error:
        raise _damaged(path, error) from error


def _labels(path: Path) -> list[bool]:
    try:
        with h5py.File(path) as file:
            values = np.asarray(file["y"]).reshape(-1)
    except (OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    odd = np.flatnonzero((values != 0) & (values != 1))
    if len(odd):
        found = f"Label {odd[0] + 1} is {values[odd[0]]}."
        raise TableError(f"Read {path}.", found, "Labels are 0 and 1: download it again.")
    return [bool(value) for value in values]


def _damaged(path: Path, error: Exception) -> TableError:
    return TableError(f"Read {path}.", f"It cannot be read: {error}.", "Download it again.")


def _require_same_labels(path: Path, labels: list[bool]) -> set[str]:
    """The slides of a table whose labels are those of the HDF5 file.

    Raises:
        TableError: They are not, or a column is absent.
    """
    table, column = table_with(path, ("center_tumor_patch", "wsi"))
    cells = [str(cell).strip().lower() for cell in table.frame[column["center_tumor_patch"]]]
    if len(cells) != len(labels):
        found = f"It has {len(cells)} rows for {len(labels)} labels."
        raise TableError(f"Read {path}.", found, "Download both again.")
    odd = next((row for row, cell in enumerate(cells) if (cell in ("true", "1")) != labels[row]), None)
    if odd is not None:
        raise TableError(
            f"Read {path}.",
            f"Row {odd + 2}: center_tumor_patch is {cells[odd]}, the tile's label is {int(labels[odd])}.",
            "Table and HDF5 file are of different editions: download both again.",
        )
    return {str(cell) for cell in table.frame[column["wsi"]]}


def _shared(slides: dict[str, set[str]]) -> list[Finding]:
    parts = list(slides)
    found = []
    for number, one in enumerate(parts):
        for other in parts[number + 1 :]:
            both = slides[one] & slides[other]
            if both:
                what = f"slides in {one} and {other}: {', '.join(sorted(both)[:5])}."
                found.append(Finding("error", what, "The official splits share none: download them again."))
    return found


def tile_plan(folder: Path) -> TileSetSettings:
    """The set as other commands take it."""
    return TileSetSettings(name="patchcamelyon", path=folder.resolve(), mpp=MPP, licence=LICENCE)


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the table of files."""
    write_tables(place, found)


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """An encoder is trained on the training split, unless one is given."""
    return tile_steps(settings, place, tile_plan(found.facts["folder"]))


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """A linear model of the codes of train and valid, scored on test."""
    outcome = Outcome()
    coded = coded_tiles(
        place,
        tile_plan(found.facts["folder"]),
        encoder_of(settings, place),
        settings.seed,
        progress,
        settings.device,
    )
    known = np.concatenate([coded.tiles.rows("train"), coded.tiles.rows("val")])
    rows = coded.tiles.rows("test")
    result = coded.probe(known, rows, settings.seed)
    path = place.predictions
    write_tile_predictions(path, coded, rows, result, {})
    outcome.files.append(path)
    outcome.lines.append(f"Predictions: {path} ({len(rows)} test tiles)")
    scores = tile_scores("tumor, test tiles", result, settings)
    notes = [
        f"A linear model of the codes of {coded.encoder}; intervals resample slides where they are known."
    ]
    keep_scores(settings, place, scores, notes, outcome)
    return outcome
