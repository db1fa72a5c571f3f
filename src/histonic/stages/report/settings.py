"""Settings of 'histonic report'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.settings import Settings


class ReportSettings(Settings):
    """A run to report.html and report.json."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    resamples: int = Field(
        2000, ge=100, le=1_000_000, description="Resamples of the patients for the 95 % intervals."
    )
    subgroups: tuple[str, ...] = Field(
        (),
        description="Column of the label table by whose values patients are also scored apart; repeatable.",
    )
    clinical: tuple[str, ...] = Field(
        (), description="Column of the label table for a clinical model to compare with; repeat for several."
    )
    store: Path | None = Field(None, description="Store of the maps, if it has moved since the training.")
    labels: Path | None = Field(None, description="Label table of --subgroups and --clinical, if it moved.")
