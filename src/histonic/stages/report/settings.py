"""Settings of 'histonic report'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from histonic.core.places.frames import GivenTableOrNone, TableLike
from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import GivenPath, Settings

Checklist = Literal["tripod-ai", "claim", "stard-ai", "remark"]


class ReportSettings(Settings):
    """A run to report.html and report.json."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    resamples: int = Field(
        default=2000, ge=100, le=1_000_000, description="Resamples of the patients for the 95 % intervals."
    )
    site_intervals: bool = Field(
        default=False,
        description="Beside the intervals by patients also those by resampling whole sites (5 at least).",
    )
    subgroups: tuple[str, ...] = Field(
        default=(),
        description="Column of the label table by whose values patients are also scored apart; repeatable.",
    )
    clinical: tuple[str, ...] = Field(
        default=(),
        description="Column of the label table for a clinical model to compare with; repeat for several.",
    )
    store: GivenPlace | None = Field(
        default=None, description="Store of the maps, if it has moved since the training."
    )
    figures: Path | None = Field(
        default=None, description="Folder for every figure as SVG, and its numbers as CSV, for a paper."
    )
    checklist: tuple[Checklist, ...] = Field(
        default=(),
        description="Reporting checklist to fill in as far as the run knows, beside the report; repeatable.",
    )
    pdf: bool = Field(
        default=False,
        description="Write report.pdf as well, by a Chromium or Chrome that is found by its name.",
    )
    labels: GivenTableOrNone = Field(
        default=None, description="Label table of --subgroups and --clinical, if it moved."
    )


class ReportKeywords(TypedDict, total=False):
    """The fields of :class:`ReportSettings`, as keywords of a Python call."""

    run: GivenPath
    resamples: int
    site_intervals: bool
    subgroups: str | Sequence[str]
    clinical: str | Sequence[str]
    store: PlaceLike | None
    figures: GivenPath | None
    checklist: Checklist | Sequence[Checklist]
    pdf: bool
    labels: TableLike | None
