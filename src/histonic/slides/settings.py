"""How tissue is found: the same settings for every verb that looks for it."""

from __future__ import annotations

from pydantic import Field

from histonic.core.settings import Settings


class TissueSettings(Settings):
    """What counts as tissue."""

    mpp: float = Field(8.0, gt=0, description="Microns per pixel at which tissue is looked for.")
    min_speck_um2: float = Field(20_000, ge=0, description="Pieces of tissue smaller than this are dropped.")
    max_hole_um2: float = Field(40_000, ge=0, description="Holes smaller than this are filled.")
    min_cell_share: float = Field(0.25, gt=0, le=1, description="Cells with less tissue than this are empty.")
