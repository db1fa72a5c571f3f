"""Detections of small objects as files: a CSV for each image, the organisers' JSON, and their F1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import special

from histonic.core.files import csv_text, replacing_folder, write_json, write_text
from histonic.core.progress import Progress
from histonic.data.maps.peaks import Points
from histonic.data.maps.store import Store
from histonic.metrics.challenges.points import Hits, f1_score, pooled
from histonic.metrics.ranks import FloatArray
from histonic.stages.study.frame.cases import named
from histonic.stages.study.frame.detector import Annotated, Detected, detect, hits_of
from histonic.stages.study.frame.files import number_rows
from histonic.stages.study.frame.plan import Outcome, Place
from histonic.stages.study.frame.results import ScoreLine, score_by
from histonic.stages.study.frame.settings import RecipeSettings

COLUMNS = ("x", "y", "probability")
POSITIVE, NEGATIVE = "mitotic figure", "non-mitotic figure"
"""What the organisers of MIDOG call a point above the threshold, and one below."""


def write_detections(path: Path, points: Points, threshold: float) -> int:
    """Write x, y in level-0 pixels and the probability of the points above a threshold; how many they are.

    Args:
        path: The CSV.
        points: Values are log odds.
        threshold: Of the log odds.
    """
    kept = points.above(threshold)
    rows = [
        [f"{x:.1f}", f"{y:.1f}", f"{p:.6f}"]
        for (x, y), p in zip(kept.xy.tolist(), special.expit(kept.values).tolist(), strict=True)
    ]
    write_text(path, csv_text(COLUMNS, rows))
    return len(rows)


def write_multiple_points(path: Path, points: Points, threshold: float, mpp: float) -> None:
    """Write all points as grand-challenge.org's "Multiple points": millimetres, a name and a probability.

    Args:
        path: The JSON.
        points: Level-0 pixels; values are log odds.
        threshold: Of the log odds: points of less are named as no object.
        mpp: Microns per level-0 pixel.
    """
    listed = [
        {
            "name": POSITIVE if value >= threshold else NEGATIVE,
            "point": [round(x * mpp / 1000, 6), round(y * mpp / 1000, 6), 0],
            "probability": round(float(special.expit(value)), 6),
        }
        for (x, y), value in zip(points.xy.tolist(), points.values.tolist(), strict=True)
    ]
    content = {
        "name": "Points of interest",
        "type": "Multiple points",
        "points": listed,
        "version": {"major": 1, "minor": 0},
    }
    write_json(path, content)


def read_detections(path: Path) -> list[tuple[float, float]]:
    """Points of a CSV with or without the header x,y,probability (or x,y); none if there is no file.

    Raises:
        TableError: It cannot be read, or a row is no two or three numbers.
    """
    if not path.is_file():
        return []
    rows = number_rows(
        path,
        (COLUMNS, COLUMNS[:2]),
        (2, 3),
        asked=f"Read the detections of {path}.",
        todo="Write x,y in pixels; a probability may follow.",
    )
    return [(row[0], row[1]) for row in rows]


def f1_line(of: str, hits: Sequence[Hits], settings: RecipeSettings, note: str = "") -> ScoreLine:
    """F1 pooled over images, with its interval by resampling them.

    Args:
        of: What was found in which images.
        hits: Of each image.
        settings: Of the recipe: number of resamples and seed.
        note: What else the reader should know.
    """
    counted = np.array(hits, np.float64).reshape(-1, 3)

    def f1(counts: FloatArray) -> FloatArray:
        true, false, missed = (counts @ counted).T
        with np.errstate(invalid="ignore"):
            return np.asarray(2 * true / (2 * true + false + missed), np.float64)

    words = hits_words(pooled(hits))
    if len(hits) < 2 or f1_score(pooled(hits)) is None:
        return ScoreLine(of=of, n=len(hits), name="F1", value=f1_score(pooled(hits)), note=f"{words}{note}")
    line = score_by("F1", of, f1, len(hits), settings)
    return line.model_copy(update={"note": f"{words}{note}{' ' + line.note if line.note else ''}"})


def detector_scores(
    settings: RecipeSettings,
    place: Place,
    maps: Path,
    labelled: Sequence[Annotated],
    unlabelled: Sequence[str],
    radius_um: float,
    progress: Progress,
    outcome: Outcome,
) -> tuple[list[ScoreLine], list[str]]:
    """Find objects in each domain by a detector of the others, write them, and score them.

    Written are ``detections/`` (a CSV for each image), ``submission/`` (a JSON for each image, all points)
    and ``detections.csv`` (what each image has of true and false ones).

    Args:
        settings: Of the recipe.
        place: Of the study.
        maps: Store of the images in overlapping tiles; images without a map are not looked at.
        labelled: Images with annotations.
        unlabelled: Names of others, detected by what all labelled ones taught.
        radius_um: Within so many microns a detection hits.
        progress: Is told of the images.
        outcome: The files are added.

    Returns:
        Scores and notes.

    Raises:
        RunError: There is too little to learn from.
    """
    store = Store.open(maps)
    images = [image for image in labelled if image.slide_id in store]
    others = [name for name in unlabelled if name in store]
    detected = detect(store, images, others, radius_um=radius_um, seed=settings.seed, progress=progress)
    truth = {image.slide_id: image.objects for image in images}
    scores: list[ScoreLine] = []
    every: list[Hits] = []
    rows: list[list[str]] = []
    write_points(place, detected)
    for each in detected:
        threshold = f"{each.probability:.6f}"
        hits = []
        for name, points in each.points.items():
            told = ["", "", "", ""]
            if each.domain:
                hits.append(hits_of(points.above(each.threshold), truth[name], each.mpps[name], radius_um))
                value = f1_score(hits[-1])
                told = [*map(str, hits[-1]), "" if value is None else f"{value:.4f}"]
            rows.append([name, each.domain, *told, threshold])
        if each.domain:
            note = (
                f" Threshold {each.probability:.3f}, chosen on {each.learned_from} images of the others, "
                f"where F1 was {f1_score(each.chosen) or 0.0:.3f}."
            )
            scores.append(f1_line(f"detections in {each.domain}, left out", hits, settings, note))
            every += hits
    if every:
        scores.insert(0, f1_line("detections, each domain left out", every, settings))
    table = place.out / "detections.csv"
    head = ["image", "domain", "true", "false", "missed", "f1", "threshold"]
    write_text(table, csv_text(head, sorted(rows)))
    outcome.files += [table, place.out / "detections", place.out / "submission"]
    notes = [
        "Detections: a linear head of the encoder's codes of overlapping tiles. Neither head nor threshold "
        "saw an image of the domain that is scored; intervals resample images.",
    ]
    alone = {image.domain for image in images} - {each.domain for each in detected}
    if alone:
        notes.append(f"No detections in {named(sorted(alone))}: the others are too few to learn from.")
    if any(not image.domain for image in images):
        notes.append("No detections in labelled images of no known domain: all heads learned from them.")
    absent = [name for name in (*unlabelled, *(image.slide_id for image in labelled)) if name not in store]
    if absent:
        notes.append(f"Could not be read, and are neither learned from nor scored: {named(absent)}.")
    return scores, notes


def write_points(place: Place, detected: Sequence[Detected]) -> None:
    """Write ``detections/`` and ``submission/`` of all images; both folders are replaced as a whole.

    What an earlier detector found in images that are gone must not be handed in with the rest.
    """
    with (
        replacing_folder(place.out / "detections") as tables,
        replacing_folder(place.out / "submission") as documents,
    ):
        for each in detected:
            for name, points in each.points.items():
                write_detections(tables / f"{name}.csv", points, each.threshold)
                write_multiple_points(documents / f"{name}.json", points, each.threshold, each.mpps[name])


def hits_words(hits: Hits) -> str:
    """In words.

    Example:
        >>> hits_words(Hits(3, 1, 2))
        '3 true, 1 false, 2 missed.'
    """
    return f"{hits.true_positives} true, {hits.false_positives} false, {hits.false_negatives} missed."
