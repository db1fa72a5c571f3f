"""Settings of 'histonic import', 'histonic export' and 'histonic export-onnx'."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from histonic.core.settings import GivenPath, Settings
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings


class ImportFeaturesSettings(SlideListSettings):
    """Features of another tool to a store."""

    folder: Path = Field(description="Folder that the other tool wrote.")
    out: Path = Field(description="Store to write.")
    form: Literal[
        "auto", "trident", "clam", "stamp", "slide2vec", "atlaspatch", "spatialdata", "anndata", "parquet",
        "arrays",
    ] = Field(default="auto", description="Whose files they are; found out by default.")  # fmt: skip
    features: str = Field(
        default="",
        description="Name of the encoder: which one, where the files hold several; needed where they name "
        "none (CLAM, arrays).",
    )
    slides: Path | None = Field(
        default=None,
        description="Table with slide_id or path, and mpp: microns per pixel of level 0. Slide files that it "
        "names are opened for resolution, size and picture.",
    )
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of level 0 of slides of which nobody else says."
    )
    mpp_from_magnification: bool = Field(
        default=False,
        description="Where nobody says microns per pixel, guess 10 / magnification; tools round "
        "magnifications, so that the guess may be wrong by half.",
    )
    coords: Path | None = Field(
        default=None,
        description="Folder of the positions, where they lie elsewhere (CLAM's patches, hs2p's tiles).",
    )
    tile_px: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Side of the tiles that the encoder saw, where the files do not say.",
    )
    lattice: Literal["auto", "one", "nearest"] = Field(
        default="auto",
        description="one: refuse slides whose tiles lie on no one lattice; nearest: move each tile to its "
        "nearest cell; auto: nearest for tools that begin a lattice at every piece of tissue.",
    )
    replace: bool = Field(
        default=False, description="Replace maps of the same slides that were made of other files."
    )


class ExportSettings(Settings):
    """A store to features of another tool."""

    store: Path = Field(description="Store of maps.")
    to: Literal["trident", "stamp", "clam", "anndata", "spatialdata", "parquet"] = Field(
        description="Form of the files."
    )
    out: Path = Field(description="Folder to write.")


class OnnxSettings(Settings):
    """A network to ONNX."""

    model: Path = Field(description="Encoder (.safetensors), bundle or run.")
    out: Path = Field(description="File (.onnx) of an encoder, folder for the networks of a bundle or run.")


class ImportFeaturesKeywords(SlideListKeywords, total=False):
    """The fields of :class:`ImportFeaturesSettings`, as keywords of a Python call."""

    folder: GivenPath
    out: GivenPath
    form: Literal[
        "auto",
        "trident",
        "clam",
        "stamp",
        "slide2vec",
        "atlaspatch",
        "spatialdata",
        "anndata",
        "parquet",
        "arrays",
    ]
    features: str
    slides: GivenPath | None
    mpp: float | None
    mpp_from_magnification: bool
    coords: GivenPath | None
    tile_px: int | None
    lattice: Literal["auto", "one", "nearest"]
    replace: bool


class ExportKeywords(TypedDict, total=False):
    """The fields of :class:`ExportSettings`, as keywords of a Python call."""

    store: GivenPath
    to: Literal["trident", "stamp", "clam", "anndata", "spatialdata", "parquet"]
    out: GivenPath


class OnnxKeywords(TypedDict, total=False):
    """The fields of :class:`OnnxSettings`, as keywords of a Python call."""

    model: GivenPath
    out: GivenPath
