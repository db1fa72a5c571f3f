"""NCT-CRC-HE: nine tissues of colorectal cancer; the 100K set is learned, the 7K set tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress
from histonic.data.tilesets.plan import TileSetSettings
from histonic.stages.study.frame.cases import Case, Finding, Survey, named, no_groups
from histonic.stages.study.frame.files import all_files
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

TITLE = "NCT-CRC-HE: nine tissue classes of colorectal cancer"
LICENCE = "CC BY 4.0"
TARGETS = ("tissue",)
CLASSES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
TRAINED = ("NCT-CRC-HE-100K", "NCT-CRC-HE-100K-NONORM")
TESTED = "CRC-VAL-HE-7K"
COUNTS = {"train": 100_000, "test": 7_180}
MPP = 0.5


def survey(settings: RecipeSettings) -> Survey:
    """Find the sets and the tiles of each class."""
    files = all_files(settings.data)
    found: dict[str, list[Path]] = {name: [] for name in (*TRAINED, TESTED)}
    odd: list[str] = []
    for file in files:
        home, folder = file.parent.parent.name, file.parent.name
        if file.suffix.lower() in (".tif", ".tiff", ".png", ".jpg") and home in found:
            if folder in CLASSES:
                found[home].append(file)
            else:
                odd.append(f"{home}/{folder}")
    sets = [name for name in TRAINED if found[name]]
    findings: list[Finding] = []
    if odd:
        what = f"folders of no class: {named(sorted(set(odd)))}."
        findings.append(Finding("error", what, f"The classes are {', '.join(CLASSES)}."))
    if len(sets) > 1:
        findings.append(
            Finding("warning", f"Both {' and '.join(sets)} are there, the same tiles.", f"{sets[0]} is used.")
        )
    if not sets:
        findings.append(Finding("error", f"missing: {TRAINED[0]} (or {TRAINED[1]})."))
    if not found[TESTED]:
        findings.append(Finding("error", f"missing: {TESTED}.", "A part of the 100K set is no test."))
    findings += _in_both(found[sets[0]] if sets else [], found[TESTED]) + _odd_names(found)
    cases: list[Case] = []
    for split, name in (("train", sets[0] if sets else ""), ("test", TESTED)):
        tiles = found.get(name, [])
        findings += _doubled(name, tiles)
        findings += _counted(name, tiles, COUNTS[split])
        cases += [
            Case(file.stem, file, file.stem, {"label": file.parent.name}, split, mpp=MPP) for file in tiles
        ]
    findings.append(no_groups("names of tiles say nothing of slides and patients"))
    findings.append(
        Finding(
            "note",
            "The 100K set is colour-normalised (Macenko), the one called NONORM is not; whether the 7K set "
            "is, nothing says.",
        )
    )
    recognised = (
        f"recognised: {TITLE}",
        f"licence: {LICENCE}",
        f"tiles: {', '.join(f'{len(found[name]):,} of {name}' for name in found if found[name]) or 'none'}",
    )
    facts = {"trained": sets[0] if sets else ""}
    return Survey(recognised, tuple(cases), tuple(findings), facts)


def _doubled(name: str, files: list[Path]) -> list[Finding]:
    twice = [stem for stem, count in Counter(file.stem for file in files).items() if count > 1]
    if not twice:
        return []
    one, other, *_ = (file for file in files if file.stem == min(twice))
    what = f"doubled: tiles of {name}: {named(twice)}, such as {one} and {other}."
    return [Finding("error", what, "Keep one of them: a tile of two classes has none.")]


def _in_both(trained: list[Path], tested: list[Path]) -> list[Finding]:
    both = {file.stem for file in trained} & {file.stem for file in tested}
    what = f"tiles in {TESTED} and in the set that is learned: {named(sorted(both))}."
    return [Finding("error", what, "What was learned is no test: unpack both again.")] if both else []


def _odd_names(found: dict[str, list[Path]]) -> list[Finding]:
    """Tiles in the folder of another class than their name says."""
    odd = [
        f"{file.parent.parent.name}/{file.parent.name}/{file.name}"
        for files in found.values()
        for file in files
        if (said := file.name.partition("-")[0].upper()) in CLASSES and said != file.parent.name
    ]
    what = f"tiles in the folder of another class: {named(odd)}."
    return [Finding("error", what, "Folder and name say the class: unpack the set again.")] if odd else []


def _counted(name: str, files: list[Path], wanted: int) -> list[Finding]:
    found = []
    absent = [label for label in CLASSES if not any(file.parent.name == label for file in files)]
    if files and absent:
        found.append(Finding("error", f"missing: classes {', '.join(absent)} of {name}.", "Unpack it again."))
    if files and len(files) != wanted:
        found.append(Finding("warning", f"{name} has {len(files):,} tiles, the organisers' {wanted:,}."))
    return found


def tile_plan(place: Place) -> TileSetSettings:
    """The set as other commands take it."""
    return TileSetSettings(
        name="nct_crc", path=place.table("tiles"), mpp=MPP, classes=CLASSES, group="", licence=LICENCE
    )


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found)
    used = found.used("train", "test")
    rows = [[str(each.path.resolve()), each.labels["label"], each.split] for each in used]
    write_text(place.table("tiles"), csv_text(["path", "label", "split"], rows))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """An encoder is trained on the 100K set, unless one is given."""
    return tile_steps(settings, place, tile_plan(place))


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """A linear model of the codes of the 100K set, scored on the 7K set."""
    outcome = Outcome()
    coded = coded_tiles(
        place, tile_plan(place), encoder_of(settings, place), settings.seed, progress, settings.device
    )
    known = np.concatenate([coded.tiles.rows("train"), coded.tiles.rows("val")])
    rows = coded.tiles.rows("test")
    result = coded.probe(known, rows, settings.seed)
    write_tile_predictions(place.predictions, coded, rows, result, {})
    outcome.files.append(place.predictions)
    outcome.lines.append(f"Predictions: {place.predictions} ({len(rows)} tiles of {TESTED})")
    notes = [
        f"A linear model of the codes of {coded.encoder}, fitted to {found.facts['trained']}. Tiles of one "
        "patient cannot be told, so that intervals, which take each tile by itself, are too narrow."
    ]
    keep_scores(settings, place, tile_scores("tissue, test tiles", result, settings), notes, outcome)
    return outcome
