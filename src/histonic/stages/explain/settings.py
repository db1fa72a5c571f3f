"""Settings of 'histonic explain'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import CLUSTER, Cluster, GivenPath, Settings


class ExplainSettings(Settings):
    """A run to maps of what speaks for its predictions."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    slide: tuple[str, ...] = Field(
        default=(),
        description="Slide to explain: its name, or a map (.zarr); repeat for several. "
        "By default the slides of the most and least certain patients.",
    )
    all_slides: bool = Field(default=False, description="Explain every slide of the cohort.")
    target: tuple[str, ...] = Field(default=(), description="Target to explain; by default all.")
    method: Literal["integrated-gradients", "grad-cam", "hires-cam", "occlusion", "attention"] = Field(
        default="integrated-gradients", description="How values of cells are found."
    )
    output: str | None = Field(
        default=None,
        description="Class that cells speak for; by default the predicted one, or the positive one of two.",
    )
    patients: int = Field(
        default=2,
        ge=1,
        le=100_000,
        description="Most certain, and as many least certain, patients of each target.",
    )
    store: GivenPlace | None = Field(
        default=None, description="Store of the maps, if it has moved since the training."
    )
    slides_at: Path | None = Field(default=None, description="Folder of the slide files, if they have moved.")
    masks: Path | None = Field(
        default=None,
        description="Folder with annotated lesions named like the slides (GeoJSON, XML, PNG, TIFF).",
    )
    lesion: tuple[str, ...] = Field(
        default=(), description="Class of the annotations that is lesion; by default all."
    )
    checks: bool = Field(default=True, description="Deletion and insertion curves, and randomised weights.")
    tiles: int = Field(
        default=16, ge=1, le=64, description="Cells of highest, and of lowest, value that are shown."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the random orders and the randomised weights.")
    cluster: Cluster = CLUSTER


class ExplainKeywords(TypedDict, total=False):
    """The fields of :class:`ExplainSettings`, as keywords of a Python call."""

    run: GivenPath
    slide: str | Sequence[str]
    all_slides: bool
    target: str | Sequence[str]
    method: Literal["integrated-gradients", "grad-cam", "hires-cam", "occlusion", "attention"]
    output: str | None
    patients: int
    store: PlaceLike | None
    slides_at: GivenPath | None
    masks: GivenPath | None
    lesion: str | Sequence[str]
    checks: bool
    tiles: int
    seed: int
    cluster: str | None
