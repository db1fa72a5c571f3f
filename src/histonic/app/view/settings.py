"""Settings of 'histonic view'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.places.urls import GivenPlace
from histonic.core.settings import Settings


class ViewSettings(Settings):
    """A run, a store or a slide to look at in the browser."""

    what: GivenPlace = Field(description="Run folder, store (a folder or its URL), or slide file.")
    beside: Path | None = Field(
        None, description="A second run on the same slides, whose predictions and maps are shown beside."
    )
    slides: Path | None = Field(None, description="Folder of the slide files, if they have moved.")
    store: GivenPlace | None = Field(
        None, description="Store of the maps, if it has moved since the training."
    )
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of a slide file whose header does not say."
    )
    port: int = Field(0, ge=0, le=65535, description="Port on this machine; 0: any that is free.")
    browser: bool = Field(True, description="Open the browser; the address is printed in any case.")
    cache_mb: int = Field(
        256, ge=128, le=65_536, description="Memory for tiles that were read, in MB; the oldest are dropped."
    )
    export: Path | None = Field(
        None, description="Write a folder of static files for any web server instead, and end."
    )
    export_mpp: float | None = Field(
        None, gt=0, description="Finest resolution of exported slides, in microns per pixel; by default all."
    )
