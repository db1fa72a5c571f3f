"""Settings of 'histonic predict' and 'histonic external'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from histonic.core.places.frames import GivenTable, GivenTableOrNone, TableLike
from histonic.core.places.urls import GivenPlace, GivenSlides, PlaceLike, SlidesLike
from histonic.core.settings import CLUSTER, Cluster, GivenPath
from histonic.core.task import MOST_TARGETS, EventCodes
from histonic.core.units import LARGEST_ENLARGEMENT
from histonic.data.tables.settings import (
    LabelKeywords,
    LabelSettings,
    SlideListKeywords,
    SlideListSettings,
    listed,
)


class ExternalSettings(LabelSettings):
    """A finished run tested on another cohort."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    store: GivenPlace = Field(description="Store of the other cohort, compressed by the same encoder.")
    labels: GivenTable = Field(description="Its label table: CSV, TSV, Excel or Parquet.")
    name: str = Field(
        default="external", pattern=r"^[\w][\w .-]*$", description="What the report calls the cohort."
    )
    target: tuple[str, ...] = Field(
        default=(),
        max_length=MOST_TARGETS,
        description="NAME[:KIND[:COLUMNS]] where its columns differ from those of the run's own table.",
    )
    event_coding: EventCodes | None = Field(
        default=None, description="What 1 means in the event column: as in the run; anything else is refused."
    )
    event_of_interest: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(),
        max_length=MOST_TARGETS,
        description="Code of the event: as in the run; another one is refused.",
    )
    times_differ: bool = Field(
        default=False,
        description="Its survival times are meant to be more than ten times those of the run, or a tenth.",
    )
    device: str = Field(default="auto", description="auto, cpu or cuda.")
    cluster: Cluster = CLUSTER


class PredictSettings(SlideListSettings):
    """A bundle and slides to predictions."""

    bundle: Path = Field(description="Bundle, or the run that holds it.")
    slides: GivenSlides = Field(default=(), description="Slide files, folders, a CSV, or maps (.zarr).")
    out: Path = Field(
        default=Path("predictions.csv"), description="Predictions as CSV, one row a slide or patient."
    )
    patients: GivenTableOrNone = Field(
        default=None,
        description="Table with patient_id and slide_id: one row a patient, from all of his slides.",
    )
    columns: dict[str, str] = Field(
        default={},
        description="Column names of the table of patients, as canonical=column (patient_id=case).",
    )
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    masks: Path | None = Field(
        default=None,
        description="Folder with tissue masks, as for 'histonic compress'; what in them is tissue is as for "
        "the training.",
    )
    most_enlargement: float | None = Field(
        default=None,
        ge=1,
        le=LARGEST_ENLARGEMENT,
        description="Slides coarser than the encoder's tiles are enlarged up to so many times, else refused; "
        "by default as for the training.",
    )
    device: str = Field(default="auto", description="auto, cpu or cuda.")


class PredictKeywords(SlideListKeywords, total=False):
    """The fields of :class:`PredictSettings`, as keywords of a Python call."""

    bundle: GivenPath
    slides: SlidesLike
    out: GivenPath
    patients: TableLike | None
    columns: Mapping[str, str]
    mpp: float | None
    masks: GivenPath | None
    most_enlargement: float | None
    device: str


class ExternalKeywords(LabelKeywords, total=False):
    """The fields of :class:`ExternalSettings`, as keywords of a Python call."""

    run: GivenPath
    store: PlaceLike
    labels: TableLike
    name: str
    target: str | Sequence[str]
    event_coding: EventCodes | None
    event_of_interest: str | Sequence[str]
    times_differ: bool
    device: str
    cluster: str | None
