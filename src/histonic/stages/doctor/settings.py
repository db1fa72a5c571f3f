"""Settings of 'histonic doctor'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.places.urls import GivenPlace
from histonic.core.settings import DEFAULT_ENCODER, MaskSettings, TissueSettings
from histonic.core.task import MOST_TARGETS
from histonic.core.units import LARGEST_ENLARGEMENT, MOST_ENLARGEMENT
from histonic.data.tables.settings import SlideListSettings, TableSettings


class DoctorSettings(SlideListSettings, TableSettings):
    """Slides and a label table to a list of what is wrong, before any compute."""

    slides: tuple[GivenPlace, ...] = Field(
        (), description="Slide files, URLs, folders, or a CSV with path, mpp, mask."
    )
    labels: Path | None = Field(None, description="Label table to check against the slides.")
    target: tuple[str, ...] = Field(
        (), max_length=MOST_TARGETS, description="Targets to check, as for 'histonic train'."
    )
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    most_enlargement: float = Field(
        MOST_ENLARGEMENT,
        ge=1,
        le=LARGEST_ENLARGEMENT,
        description="Slides coarser than the encoder's tiles are enlarged up to so many times, else refused.",
    )
    encoder: str = Field(DEFAULT_ENCODER, description="Encoder that 'histonic compress' will be given.")
    masks: Path | None = Field(None, description="Folder with tissue masks, as for 'histonic compress'.")
    reader: str | None = Field(None, description="Use this reader only (see 'histonic list').")
    preview: Path | None = Field(
        None,
        description="Picture (.png) of the slide with its tissue and kept cells: of several a sheet, or "
        "one each in a folder.",
    )
    tissue: TissueSettings = TissueSettings()
    mask: MaskSettings = MaskSettings()
