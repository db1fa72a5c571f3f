"""Settings of 'histonic compress'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from histonic.core.claims import STALE_S
from histonic.core.places.urls import GivenPlace, GivenSlides, PlaceLike, SlidesLike, Url
from histonic.core.settings import (
    CLUSTER,
    DEFAULT_ENCODER,
    Cluster,
    Flaw,
    GivenPath,
    MaskSettings,
    StainSettings,
    TissueSettings,
)
from histonic.core.units import LARGEST_ENLARGEMENT, MOST_ENLARGEMENT
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings

MOST_STRIDE = 16
"""Sides of a tile from one to the next, at most; and at least the inverse of it."""


class CompressSettings(SlideListSettings):
    """Slides to compressed maps."""

    slides: GivenSlides = Field(
        default=(), description="Slide files, URLs, folders, or a CSV with path, mpp, mask, slide_id."
    )
    encoder: str = Field(
        default=DEFAULT_ENCODER, description="Encoder: a name from 'histonic list' or a .safetensors file."
    )
    out: GivenPlace = Field(
        description="Store that will hold one map per slide: a folder, or a URL such as s3://bucket/store."
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
        description="Side of a tile in microns, where not the encoder's own: smaller ones show single cells "
        "larger than it was trained to see them.",
    )
    stride_px: int | None = Field(
        default=None,
        ge=1,
        description="Step from tile to tile, in pixels of the tiles; by default tiles touch.",
    )
    stride_share: float | None = Field(
        default=None,
        gt=0,
        le=MOST_STRIDE,
        description="The same as a share of the tile's side: 0.5: tiles overlap by half; 2: every other one.",
    )
    masks: Path | None = Field(
        default=None, description="Folder with tissue masks named like the slides (.png, .tif, .geojson)."
    )
    leave_out: tuple[Flaw, ...] = Field(
        default=(), description="Leave out cells of tissue that are spoilt by it, such as pen,folds,blur."
    )
    reader: str | None = Field(default=None, description="Use this reader only (see 'histonic list').")
    exact_averaging: bool = Field(
        default=False,
        description="Average pixels exactly where the JPEG decoder would make tiles smaller by itself.",
    )
    orientations: Literal[1, 8] = Field(default=1, description="8: also encode turned and mirrored tiles.")
    batch: int = Field(
        default=256, ge=1, le=65_536, description="Tiles read, and encoded on a GPU, at a time."
    )
    precision: Literal["auto", "32", "bf16"] = Field(
        default="auto",
        description="Arithmetic of the encoder; auto is bf16 where it is fast and known to keep the codes.",
    )
    engine: Literal["auto", "eager", "compiled"] = Field(
        default="auto",
        description="Run the encoder as it is, or compiled for this machine; auto where that pays.",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    replace: bool = Field(
        default=False, description="Replace maps of other files that have a slide's identifier."
    )
    private: bool = Field(
        default=False,
        description="Keep paths and file names out of the store; slides are named by a table's slide_id.",
    )
    stale_after: float = Field(
        default=STALE_S,
        ge=1,
        description="Seconds after which a silent run on the same store loses its slide.",
    )
    shard: str = Field(
        default="1/1", pattern=r"^\d+/\d+$", description="i/n: the i-th of n parts of the slide list."
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Only the first so many slides (of the shard), for trying.",
    )
    dry_run: bool = Field(
        default=False,
        description="Say what would be done, how long it takes and how large it gets; write nothing.",
    )
    cluster: Cluster = CLUSTER
    tissue: TissueSettings = TissueSettings()
    mask: MaskSettings = MaskSettings()
    stain: StainSettings = StainSettings()

    @property
    def folder(self) -> Path:
        """Where this run writes: ``out``, in whose place a run into an object store has put a folder."""
        if isinstance(self.out, Url):
            raise TypeError("a URL has no folder")
        return self.out

    @field_validator("leave_out", mode="before")
    @classmethod
    def _in_one_order(cls, value: Any) -> Any:
        """Flaws with commas between them are several, and their order says nothing."""
        given = (value,) if isinstance(value, str) else value
        if not isinstance(given, tuple | list) or not all(isinstance(each, str) for each in given):
            return value
        flaws = {part.strip() for each in given for part in each.split(",")} - {""}
        known = [flaw for flaw in get_args(Flaw) if flaw in flaws]
        return (*known, *sorted(flaws - set(known)))


class CompressKeywords(SlideListKeywords, total=False):
    """The fields of :class:`CompressSettings`, as keywords of a Python call."""

    slides: SlidesLike
    encoder: str
    out: PlaceLike
    mpp: float | None
    most_enlargement: float
    tile_um: float | None
    stride_px: int | None
    stride_share: float | None
    masks: GivenPath | None
    leave_out: str | Sequence[Flaw]
    reader: str | None
    exact_averaging: bool
    orientations: Literal[1, 8]
    batch: int
    precision: Literal["auto", "32", "bf16"]
    engine: Literal["auto", "eager", "compiled"]
    device: str
    replace: bool
    private: bool
    stale_after: float
    shard: str
    limit: int | None
    dry_run: bool
    cluster: str | None
    tissue: TissueSettings | Mapping[str, Any] | str
    mask: MaskSettings | Mapping[str, Any]
    stain: StainSettings | Mapping[str, Any] | str
