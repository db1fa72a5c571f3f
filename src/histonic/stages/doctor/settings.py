"""Settings of 'histonic doctor'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from histonic.core.places.frames import GivenTableOrNone, TableLike
from histonic.core.places.urls import GivenSlides, SlidesLike
from histonic.core.settings import DEFAULT_ENCODER, GivenPath, MaskSettings, StainSettings, TissueSettings
from histonic.core.task import MOST_TARGETS
from histonic.core.units import LARGEST_ENLARGEMENT, MOST_ENLARGEMENT
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings, TableKeywords, TableSettings


class DoctorSettings(SlideListSettings, TableSettings):
    """Slides and a label table to a list of what is wrong, before any compute."""

    slides: GivenSlides = Field(
        default=(), description="Slide files, URLs, folders, or a CSV with path, mpp, mask."
    )
    labels: GivenTableOrNone = Field(default=None, description="Label table to check against the slides.")
    target: tuple[str, ...] = Field(
        default=(), max_length=MOST_TARGETS, description="Targets to check, as for 'histonic train'."
    )
    clinical: tuple[str, ...] = Field(
        default=(),
        description="Column of the label table that 'histonic report --clinical' will be given; repeatable.",
    )
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    most_enlargement: float = Field(
        default=MOST_ENLARGEMENT,
        ge=1,
        le=LARGEST_ENLARGEMENT,
        description="Slides coarser than the encoder's tiles are enlarged up to so many times, else refused.",
    )
    tile_um: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Side of a tile in microns, as for 'histonic compress'.",
    )
    encoder: str = Field(
        default=DEFAULT_ENCODER, description="Encoder that 'histonic compress' will be given."
    )
    masks: Path | None = Field(
        default=None, description="Folder with tissue masks, as for 'histonic compress'."
    )
    reader: str | None = Field(default=None, description="Use this reader only (see 'histonic list').")
    preview: Path | None = Field(
        default=None,
        description="Picture (.png) of the slide with its tissue and kept cells: of several a sheet, or "
        "one each in a folder.",
    )
    tissue: TissueSettings = TissueSettings()
    mask: MaskSettings = MaskSettings()
    stain: StainSettings = StainSettings()


class DoctorKeywords(SlideListKeywords, TableKeywords, total=False):
    """The fields of :class:`DoctorSettings`, as keywords of a Python call."""

    slides: SlidesLike
    labels: TableLike | None
    target: str | Sequence[str]
    clinical: str | Sequence[str]
    mpp: float | None
    most_enlargement: float
    tile_um: float | None
    encoder: str
    masks: GivenPath | None
    reader: str | None
    preview: GivenPath | None
    tissue: TissueSettings | Mapping[str, Any] | str
    mask: MaskSettings | Mapping[str, Any]
    stain: StainSettings | Mapping[str, Any] | str
