"""The slides of a run: which are shown, and how much of each is tissue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histonic.core.errors import StoreError
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.shares import TissueShare, cohort_words, read_shares, tissue_outliers, unknown_words
from histonic.data.maps.store import map_folder, thumbnail_path
from histonic.runs.run import Run, WholeRun
from histonic.stages.report.document.sections import (
    LeftOutSlide,
    OutlyingSlide,
    Range,
    ShownSlide,
    SiteSlides,
    Slides,
    SlideTissue,
    TissueSection,
)

SLIDES_SHOWN, OUTLIERS_SHOWN = 60, 24


def shown_slides(run: WholeRun) -> Slides:
    """The slides that were used, and which of them the page shows: spread evenly over the list."""
    used = sorted(
        (slide_id, patient.patient_id) for patient in run.cohort.patients for slide_id in patient.slide_ids
    )
    pictured = [pair for pair in used if run.thumbnail(pair[0]).is_file()]
    count = min(SLIDES_SHOWN, len(pictured))
    shown = [pictured[index * len(pictured) // count] for index in range(count)]
    return Slides(
        used=len(used),
        shown=[ShownSlide(slide_id=slide, patient_id=patient) for slide, patient in shown],
        without_picture=[slide for slide, _ in used if not run.thumbnail(slide).is_file()],
    )


def tissue_section(run: WholeRun) -> TissueSection:
    """How much of each slide is tissue, by the maps in the store, and which slides stand out."""
    store = local_folder(run.facts.store)
    patient_of = {slide: patient.patient_id for patient in run.cohort.patients for slide in patient.slide_ids}
    held = [slide for slide in patient_of if map_folder(store, slide).is_dir()]
    shares: list[TissueShare] = []
    problem = unknown_words(len(held), len(patient_of))
    try:
        shares = read_shares(store, held, run.failures)
    except StoreError as error:
        problem = f"The share of tissue is not known: {error.found}"
    outliers = tissue_outliers(shares)
    pictured = [each.slide_id for each in outliers if slide_picture(run, each.slide_id)][:OUTLIERS_SHOWN]
    least_first = sorted(shares, key=lambda each: each.of_cells if each.of_area is None else each.of_area)
    return TissueSection(
        summary=cohort_words(shares),
        problem=problem,
        slides=[
            SlideTissue(
                slide_id=each.slide_id,
                patient_id=patient_of.get(each.slide_id, ""),
                of_area=each.of_area,
                of_cells=each.of_cells,
                cells=each.cells,
                words=each.words(),
            )
            for each in least_first
        ],
        outliers=[
            OutlyingSlide(
                slide_id=each.slide_id,
                patient_id=patient_of.get(each.slide_id, ""),
                kind=each.kind,
                words=each.words,
                pictured=each.slide_id in pictured,
            )
            for each in outliers
        ],
    )


def slide_picture(run: Run, slide_id: str) -> Path | None:
    """The picture of a slide in the run, or in its store, where slides without tissue have one too."""
    places = (run.thumbnail(slide_id), thumbnail_path(local_folder(run.facts.store), slide_id))
    return next((path for path in places if path.is_file()), None)


def left_out_slides(run: WholeRun) -> list[LeftOutSlide]:
    """Slides of the label table or the store that were not used, and slides that failed."""
    reasons = {each.name: each.reason for each in run.cohort.exclusions if each.what == "slide"}
    reasons |= {each.slide_id: f"{each.stage}: {each.reason}" for each in run.failures}
    with_picture = [name for name in reasons if slide_picture(run, name)][:OUTLIERS_SHOWN]
    return [
        LeftOutSlide(slide_id=name, reason=reason, pictured=name in with_picture)
        for name, reason in reasons.items()
    ]


def slides_by_site(run: WholeRun) -> list[SiteSlides]:
    """Tissue, flaws and colour of the slides of each site, and of each external cohort."""
    rows = []
    for external, store, patients in (
        ("", local_folder(run.facts.store), run.cohort.patients),
        *((each.facts.name, local_folder(each.facts.store), each.facts.patients) for each in run.externals),
    ):
        slides: dict[str, list[str]] = {}
        for patient in patients:
            held = [name for name in patient.slide_ids if map_folder(store, name).is_dir()]
            slides.setdefault(patient.site, []).extend(held)
        rows += [row for name in sorted(slides) if (row := _of_site(name, external, store, slides[name]))]
    return rows


def _of_site(name: str, external: str, store: Path, slides: Sequence[str]) -> SiteSlides | None:
    """None where no map of them can be read: the section on tissue says why."""
    try:
        facts = [read_map_facts(map_folder(store, slide)) for slide in slides]
    except StoreError:
        return None
    if not facts:
        return None
    shares = [TissueShare.of_map(each) for each in facts]
    quality = [each.quality for each in shares if each.quality is not None]
    blurred = [each.blurred_of_cells for each in quality if each.blurred_of_cells is not None]
    colours = np.array([each.appearance.rgb for each in facts if each.appearance is not None])
    return SiteSlides(
        name=name,
        external=external,
        slides=len(facts),
        tissue=_range([each.of_cells if each.of_area is None else each.of_area for each in shares]),
        folds=_range([float(each.folds_of_cells) for each in quality]),
        blurred=_range([float(value) for value in blurred]),
        colour=tuple(round(float(value)) for value in colours.mean(axis=0)) if len(colours) else None,
        colour_spread=tuple(map(float, colours.std(axis=0, ddof=1))) if len(colours) > 1 else None,
    )


def _range(values: Sequence[float]) -> Range | None:
    if not values:
        return None
    low, median, high = (float(each) for each in np.quantile(values, (0.25, 0.5, 0.75)))
    return Range(median=median, low=low, high=high)
