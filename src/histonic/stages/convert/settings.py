"""Settings of 'histonic convert'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.places.urls import GivenSlides, SlidesLike
from histonic.core.settings import GivenPath
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings


class ConvertSettings(SlideListSettings):
    """Slides and pictures to pyramidal OME-TIFF."""

    slides: GivenSlides = Field(
        default=(), description="Slide files, URLs, folders, or a CSV with path, mpp, slide_id."
    )
    out: Path = Field(description="Folder for one .ome.tif a slide.")
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    quality: int = Field(
        default=90,
        ge=1,
        le=100,
        description="Of the JPEG tiles; below 90 colours lose half of their resolution.",
    )
    lossless: bool = Field(
        default=False, description="Every pixel as it is (deflate), in about four times the space."
    )
    replace: bool = Field(default=False, description="Replace files of that name that were made otherwise.")
    reader: str | None = Field(default=None, description="Use this reader only (see 'histonic list').")


class ConvertKeywords(SlideListKeywords, total=False):
    """The fields of :class:`ConvertSettings`, as keywords of a Python call."""

    slides: SlidesLike
    out: GivenPath
    mpp: float | None
    quality: int
    lossless: bool
    replace: bool
    reader: str | None
