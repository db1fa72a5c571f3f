"""All that the report says: report.json and the page are made from this one model."""

from __future__ import annotations

from typing import Any

from histonic.core.cohort import Exclusion
from histonic.core.documents import Document, Part
from histonic.data.maps.failures import Failure
from histonic.runs.documents import CohortCounts, RunDocument
from histonic.stages.report.cases.document import CaseList
from histonic.stages.report.document.sections import (
    AuditSection,
    ChosenSettings,
    ExplanationsSection,
    LeftOutSlide,
    NetworkHistory,
    PatientGroup,
    SiteSlides,
    Slides,
    TissueSection,
)
from histonic.stages.report.document.target import ExternalCohort, Target


class Making(Part):
    """How the report was made."""

    histonic: str
    resamples: int
    seed: int


class Report(Document):
    """``report.json``; run, settings, counts, exclusions and failures are as the run tells them."""

    FORMAT = "histonic-report-1"

    report: Making
    summary: str
    run: RunDocument
    settings: dict[str, Any]
    counts: CohortCounts
    exclusions: tuple[Exclusion, ...]
    targets: tuple[Target, ...]
    audit: AuditSection
    external: tuple[ExternalCohort, ...]
    tested: int
    without_part: int = 0
    search: tuple[ChosenSettings, ...]
    folds: tuple[PatientGroup, ...]
    sites: tuple[PatientGroup, ...]
    slides: Slides
    tissue: TissueSection
    site_slides: tuple[SiteSlides, ...] = ()
    left_out: tuple[LeftOutSlide, ...] = ()
    failures: tuple[Failure, ...]
    history: tuple[NetworkHistory, ...]
    explanations: ExplanationsSection
    cases: CaseList = CaseList()
    commands: tuple[str, ...]
