"""MIDOG 2021, 2022 and MIDOG++: mitotic figures found in scanners or tumours that were left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SettingsError
from histonic.core.files import replacing_folder, write_json
from histonic.core.progress import Progress
from histonic.core.units import LARGEST_ENLARGEMENT
from histonic.data.tilesets.plan import TileSetSettings
from histonic.metrics.challenges.points import MIDOG_RADIUS_UM, Hits, f1_score, match_points, pooled
from histonic.stages.compress.settings import MOST_STRIDE
from histonic.stages.study.frame.boxes import IMAGE, KINDS, Database, is_outside, odd_boxes, read_database
from histonic.stages.study.frame.cases import Case, Finding, Survey, missing_files, named
from histonic.stages.study.frame.detections import (
    detector_scores,
    f1_line,
    hits_words,
    read_detections,
)
from histonic.stages.study.frame.detector import Annotated, learnable, plans_of
from histonic.stages.study.frame.files import all_files, by_name, table_with, the_file
from histonic.stages.study.frame.leaks import shipped_encoder_note
from histonic.stages.study.frame.plan import Outcome, Place, encoder_step, encoder_tiles, write_tables
from histonic.stages.study.frame.results import ScoreLine, keep_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.frame.tiles import coded_tiles, write_tile_predictions
from histonic.stages.study.steps.step import Step

TITLE = "MIDOG: mitotic figures"
LICENCE = "by edition: 2021 is non-commercial, ++ is CC0"
TARGETS = ("mitosis",)
EDITIONS = {
    "MIDOG.json": ("2021", "CC BY-NC-ND (non-commercial), as its JSON says"),
    "MIDOG2022_training.json": ("2022", "not stated in the JSON"),
    "MIDOG++.json": ("++", "CC0"),
}
JSON = r"(MIDOG|MIDOG2022_training|MIDOG\+\+)\.json"
SPLITS = r"datasets_xvalidation\.csv"
BOX_PX = 50
SCANNERS_2021 = ((1, 50, "Hamamatsu XR"), (51, 100, "Hamamatsu S360"), (101, 150, "Aperio CS2"))
UNLABELLED_2021 = range(151, 201)
FIRST_UNLABELLED_2022 = 355
TUMOURS_2022 = (
    (1, 150, "human breast"),
    (151, 194, "canine lung"),
    (195, 249, "canine lymphoma"),
    (250, 299, "canine cutaneous mast cell"),
    (300, 354, "human neuroendocrine"),
)
"""By number of the image, as inferred from MIDOG++'s counts; that set's own table numbers otherwise."""
TILE_PX, TILE_MPP = 64, 0.25
SEEN_UM = 17.0
"""Side of what the detector looks at, in tiles of 128 px. Enlarged twice, the most that is allowed, images of
up to 0.2656 µm/px fill them; the coarsest scanner of the challenge has 0.26."""
OWN_UM = 24.0
"""An encoder whose tiles are at most so wide is used at its own scale."""
STEP_UM = 6.375
"""From tile to tile, 48 of 128 px: no figure is farther than 4.51 µm (half the diagonal of a step) from the
middle of one, and 7.5 µm is a hit."""
FloatArray = npt.NDArray[np.float64]


def survey(settings: RecipeSettings) -> Survey:
    """Find the JSON, its images and what tells their domains."""
    files = all_files(settings.data)
    bases, findings = by_name(files, JSON, "database")
    if len(bases) > 1:
        two = named([path.name for path in bases.values()])
        findings.append(Finding("error", f"Several editions: {two}.", "Give the folder of one of them."))
    if not bases:
        findings.append(
            Finding(
                "error", f"missing: {', '.join(EDITIONS)}.", "One of them says where mitotic figures are."
            )
        )
        return Survey((f"recognised: {TITLE}",), (), tuple(findings))
    path = next(iter(bases.values()))
    edition, licence = next(value for name, value in EDITIONS.items() if name.lower() == path.name.lower())
    base = read_database(path)
    images, doubled = by_name(files, IMAGE, "image")
    findings += doubled
    table, doubled = the_file(files, SPLITS)
    findings += doubled
    scanners = read_scanners(table) if table is not None and edition == "++" else {}
    if table is not None and edition != "++":
        what = f"{table.name} is of MIDOG++, which numbers its images otherwise."
        findings.append(Finding("warning", what, "It is not used."))
    paths = {int(number): file for (number,), file in images.items()}
    if edition == "2022" and not any(base.tumours.values()):
        what = "tumours are told by the numbers of the images, as inferred from the counts of MIDOG++."
        findings.append(Finding("warning", what, "Compare them with the organisers' list."))
    absent = [base.files[number] for number in base.files if number not in paths]
    findings += missing_files(absent, "images of the JSON", allowed=settings.allow_missing)
    extra = [file.name for number, file in paths.items() if number not in base.files]
    if extra:
        findings.append(Finding("note", f"extra, not in the JSON: {named(extra)}."))
    cases = [
        _case(edition, number, paths[number], base, scanners, settings.mpp)
        for number in sorted(base.files)
        if number in paths
    ]
    empty = [case.slide_id for case in cases if case.split == "train" and not base.boxes[int(case.slide_id)]]
    if empty:
        what = f"no annotation at all: {named(empty)}."
        findings.append(Finding("note", what, "They count as images without a mitotic figure."))
    findings += odd_boxes(base) + _odd_detections(settings, cases, base)
    unknown = [case.slide_id for case in cases if case.split == "train" and not case.site]
    if unknown:
        what = f"neither scanner nor tumour is known of {named(unknown)}."
        findings.append(Finding("warning", what, "They are only learned from, and get no detections."))
    findings += shipped_encoder_note(settings, "crops of MIDOG 2021 and TUPAC16, blown up")
    findings.append(
        Finding("note", "Hard negatives are not complete: they are no full second class.", "Say so with F1.")
    )
    counts = [sum(kind == each for found in base.boxes.values() for kind, _, _ in found) for each in KINDS]
    recognised = (
        f"recognised: {TITLE}, edition {edition} ({path.name})",
        f"licence: {licence}",
        f"{len(cases)} of {len(base.files)} images; {counts[0]:,} mitotic figures, {counts[1]:,} hard "
        f"negatives; domains: {', '.join(sorted({case.site for case in cases} - {''})) or 'unknown'}",
    )
    whole = Survey(recognised, tuple(cases), tuple(findings), {"boxes": base.boxes})
    return replace(whole, findings=(*findings, *_too_few(settings, whole)))


def _too_few(settings: RecipeSettings, found: Survey) -> list[Finding]:
    """Domains that cannot be left out, since the others have too little; said before hours are spent."""
    images = _annotated(found)
    plans = plans_of(images, [case.slide_id for case in found.used("test-unlabelled")])
    todo = "Download images of another scanner or tumour; of MIDOG++ also datasets_xvalidation.csv."
    if settings.detections is None:
        usable = learnable(plans, images)
        if not usable:
            what = "fewer than two images with a mitotic figure are there, whichever domain is left out."
            return [Finding("error", what, todo)]
        alone = sorted({plan.domain for plan in plans} - {plan.domain for plan in usable})
        if alone:
            what = f"too little is there to learn from without {named(alone)}: no detections there."
            return [Finding("warning", what, todo)]
    if len({image.domain for image in images if len(image.objects) + len(image.lookalikes)} - {""}) < 2:
        return [Finding("warning", "fewer than two domains: candidates are not scored.", todo)]
    return []


def _odd_detections(settings: RecipeSettings, cases: Sequence[Case], base: Database) -> list[Finding]:
    """What is wrong with --detections, said before candidates are cut and encoded.

    Raises:
        TableError: A row is no pair of numbers.
    """
    if settings.detections is None:
        return []
    try:
        folder, _ = _require_detections(settings, cases)
    except SettingsError as error:
        return [Finding("error", f"--detections {settings.detections}: {error.found}", error.todo)]
    outside = [
        f"{case.slide_id}.csv ({x:g}, {y:g})"
        for case in cases
        for x, y in read_detections(folder / f"{case.slide_id}.csv")
        if is_outside(base, int(case.slide_id), x, y)
    ]
    if not outside:
        return []
    what = f"detections outside of their image: {named(outside)}."
    return [Finding("warning", what, "Write x (column) before y (row), in pixels of the image.")]


def read_scanners(path: Path) -> dict[int, tuple[str, str]]:
    """Tumour and scanner by number of the image, of MIDOG++'s table; semicolons separate its cells.

    Raises:
        TableError: A column is absent.
    """
    table, column = table_with(path, ("Slide", "Tumor", "Scanner"))
    found = {}
    for _, cells in table.frame.iterrows():
        number = re.search(r"\d+", str(cells[column["Slide"]]))
        if number is not None:
            found[int(number.group())] = (str(cells[column["Tumor"]]), str(cells[column["Scanner"]]))
    return found


def _case(
    edition: str,
    number: int,
    path: Path,
    base: Database,
    scanners: Mapping[int, tuple[str, str]],
    mpp: float | None,
) -> Case:
    tumour, scanner = scanners.get(number, (base.tumours[number], ""))
    if edition == "2022" and not tumour:
        tumour = next((name for low, high, name in TUMOURS_2022 if low <= number <= high), "")
    if edition == "2021":
        scanner = next((name for low, high, name in SCANNERS_2021 if low <= number <= high), "Leica GT450")
    site = scanner if edition == "2021" else tumour
    unlabelled = (edition == "2021" and number in UNLABELLED_2021) or (
        edition == "2022" and number >= FIRST_UNLABELLED_2022
    )
    hidden = unlabelled and not base.boxes[number]
    count = sum(kind == 1 for kind, _, _ in base.boxes[number])
    return Case(
        f"{number:03d}",
        path,
        f"{number:03d}",
        {"mitotic_figures": "" if hidden else str(count), "tumour": tumour},
        "test-unlabelled" if hidden else "train",
        site,
        scanner,
        mpp,
        "table",
    )


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables, and each image's boxes as points of GeoJSON."""
    trained = [case for case in found.used("train") if found.facts["boxes"][int(case.slide_id)]]
    write_tables(place, found, train=trained, images=found.used("train", "test-unlabelled"))
    for case in trained:
        points = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [x, y]},
                "properties": {"classification": {"name": KINDS[kind]}},
            }
            for kind, x, y in found.facts["boxes"][int(case.slide_id)]
        ]
        content = {"type": "FeatureCollection", "features": points}
        write_json(place.out / "points" / f"{case.slide_id}.geojson", content)


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Candidates are cut out around their centres; all images are compressed in overlapping tiles."""
    values: dict[str, Any] = {
        "slides": [str(place.table("train"))],
        "annotations": str(place.out / "points"),
        "out": str(place.out / "candidates"),
        "tile_px": TILE_PX,
        "mpp": TILE_MPP,
        "seed": settings.seed,
    }
    if settings.mpp is not None:
        values["slide_mpp"] = settings.mpp
    before, encoder = encoder_step(settings, place)
    made = [*before, Step("candidates", "tiles extract", values)]
    if settings.detections is not None:
        return made
    dense: dict[str, Any] = {
        "slides": [str(place.table("images"))],
        "encoder": encoder,
        "out": str(dense_maps(place)),
        "most_enlargement": LARGEST_ENLARGEMENT,
        "tissue": {"source": "all"},
        "device": settings.device,
    }
    px, mpp = encoder_tiles(before, encoder)
    if (side := tile_um(px, mpp)) is not None:
        dense["tile_um"] = side
    share = STEP_UM / (side or px * mpp)
    if not 1 / MOST_STRIDE <= max(1, round(share * px)) / px <= MOST_STRIDE:
        raise SettingsError(
            f"Detect mitotic figures in steps of {STEP_UM:g} µm by an encoder of tiles of {px} px.",
            f"The step is {share:.3g} sides of a tile of {side or px * mpp:g} µm.",
            f"Take an encoder of smaller tiles: of at most {round(128 * STEP_UM / SEEN_UM) * MOST_STRIDE} px."
            if share < 1
            else f"Take an encoder of larger tiles: of at least {STEP_UM / MOST_STRIDE:.2g} µm.",
        )
    dense["stride_share"] = round(share, 6)
    if settings.mpp is not None:
        dense["mpp"] = settings.mpp
    return [*made, Step("all images, densely", "compress", dense)]


def dense_maps(place: Place) -> Path:
    """Store of the images in overlapping tiles."""
    return place.out / "maps" / "dense"


def tile_um(tile_px: int, mpp: float) -> float | None:
    """Side in microns of what the detector looks at, by the tiles of an encoder; None: the encoder's own.

    Images are not enlarged more than twice, so that tiles of many pixels show more.

    Example:
        >>> tile_um(128, 0.5), tile_um(224, 0.5), tile_um(64, 0.25)
        (17.0, 29.75, None)
    """
    return None if tile_px * mpp <= OWN_UM else SEEN_UM * max(1.0, tile_px / 128)


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Candidates of each domain called by a model of the others; F1 of what is found in whole images."""
    outcome = Outcome()
    scores, notes = candidate_scores(settings, found, place, progress, outcome)
    if settings.detections is not None:
        scores = [detection_score(settings, found), *scores]
    else:
        labelled = _annotated(found)
        unlabelled = [case.slide_id for case in found.used("test-unlabelled")]
        lines, told = detector_scores(
            settings, place, dense_maps(place), labelled, unlabelled, MIDOG_RADIUS_UM, progress, outcome
        )
        scores, notes = [*lines, *scores], [*told, *notes]
    notes.append(
        f"Detections are matched one to one within {MIDOG_RADIUS_UM:g} µm; how the organisers count a "
        "second detection of one figure is not known: here it is false."
    )
    keep_scores(settings, place, scores, notes, outcome)
    return outcome


def candidate_scores(
    settings: RecipeSettings, found: Survey, place: Place, progress: Progress, outcome: Outcome
) -> tuple[list[ScoreLine], list[str]]:
    """Annotated figures told from annotated look-alikes in each domain by a model of the others."""
    folder = place.out / "candidates"
    encoder = encoder_step(settings, place)[1]
    plan = TileSetSettings(
        name="candidates",
        path=folder,
        classes=(KINDS[2], KINDS[1]),
        mpp=TILE_MPP,
        scale="fill",
        duplicates="drop",
    )
    coded = coded_tiles(place, plan, encoder, settings.seed, progress, settings.device)
    sites = {case.slide_id: case.site for case in found.used("train")}
    names = np.array([str(each) for each in coded.tiles.group])
    domain = np.array([sites.get(name, "") for name in names])
    scores: list[ScoreLine] = []
    every: list[Hits] = []
    domains = sorted(set(domain) - {""})
    if len(domains) < 2:
        return [], [f"Candidates are not scored: they are of {len(domains)} known domain(s), wanted are two."]
    calls = place.out / "candidates-called"
    with replacing_folder(calls) as partial:
        for name in domains:
            test: npt.NDArray[np.int64] = np.flatnonzero(domain == name).astype(np.int64)
            result = coded.probe(np.flatnonzero(domain != name).astype(np.int64), test, settings.seed)
            called, truth = result.predictions.called, result.predictions.truth.astype(np.int64)
            hits = Hits(
                int(((called == 1) & (truth == 1)).sum()),
                int(((called == 1) & (truth == 0)).sum()),
                int(((called == 0) & (truth == 1)).sum()),
            )
            every.append(hits)
            path = partial / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}.csv"
            write_tile_predictions(path, coded, test, result, {})
            scores.append(_line(f"candidates of {name}, left out", len(test), hits))
    outcome.files += sorted(calls.iterdir())
    scores.insert(0, _line("candidates, each domain left out", int(sum(domain != "")), pooled(every)))
    notes = [
        "F1 of candidates tells mitotic figures from hard negatives at given places: it is not the "
        "challenge's F1, which is that of detections.",
    ]
    drawn = sum(len(found.facts["boxes"][int(name)]) for name in sites)
    if len(names) < drawn:
        what = f"{drawn - len(names)} of {drawn} candidates were not cut"
        notes.append(f"{what}: they lie too near to the border of their image, or are doubled.")
    return scores, notes


def _line(of: str, n: int, hits: Hits) -> ScoreLine:
    return ScoreLine(of=of, n=n, name="F1", value=f1_score(hits), note=hits_words(hits))


def _annotated(found: Survey) -> list[Annotated]:
    return [Annotated(case.slide_id, case.site, *_centres(found, case)) for case in found.used("train")]


def _centres(found: Survey, case: Case) -> tuple[FloatArray, FloatArray]:
    """Mitotic figures and hard negatives of an image, each ``(n, 2)`` pixels."""
    boxes = found.facts["boxes"][int(case.slide_id)]
    one, other = ([(x, y) for kind, x, y in boxes if kind == wanted] for wanted in KINDS)
    return np.array(one, np.float64).reshape(-1, 2), np.array(other, np.float64).reshape(-1, 2)


def detection_score(settings: RecipeSettings, found: Survey) -> ScoreLine:
    """F1 of points x, y in pixels, a CSV for each image, pooled over all labelled images.

    Raises:
        SettingsError: The folder has no file of the images, or the resolution is unknown.
        TableError: A row is no pair of numbers.
    """
    cases = found.used("train")
    folder, mpp = _require_detections(settings, cases)
    hits = []
    for case in cases:
        points = np.array(read_detections(folder / f"{case.slide_id}.csv"), np.float64).reshape(-1, 2)
        truth, _ = _centres(found, case)
        hits.append(match_points(truth * mpp, points * mpp, MIDOG_RADIUS_UM))
    return f1_line(f"detections, within {MIDOG_RADIUS_UM:g} µm", hits, settings)


def _require_detections(settings: RecipeSettings, cases: Sequence[Case]) -> tuple[Path, float]:
    """The folder of detections of labelled images, and the microns per pixel."""
    folder = settings.detections
    if folder is None or settings.mpp is None:
        raise SettingsError(
            "Score detections.",
            "The microns per pixel are not known, in which the radius is said.",
            "Give --mpp (about 0.23 to 0.25, by scanner).",
        )
    if not any((folder / f"{case.slide_id}.csv").is_file() for case in cases if case.split == "train"):
        raise SettingsError(
            f"Score the detections in {folder}.", "It has no 001.csv and so on.", "Write x,y for each image."
        )
    return folder, settings.mpp
