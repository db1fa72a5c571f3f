"""The slides of a run: which are shown, and how much of each is tissue."""

from __future__ import annotations

from pathlib import Path

from histonic.core.errors import StoreError
from histonic.data.maps.shares import TissueShare, cohort_words, read_shares, tissue_outliers, unknown_words
from histonic.data.maps.store import map_folder, thumbnail_path
from histonic.runs.run import Run, WholeRun
from histonic.stages.report.document.sections import (
    OutlyingSlide,
    ShownSlide,
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
    store = run.facts.store
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
    places = (run.thumbnail(slide_id), thumbnail_path(run.facts.store, slide_id))
    return next((path for path in places if path.is_file()), None)
