"""Settings of 'histonic bench compress', 'bench encoder' and 'bench train'."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from histonic.core.places.urls import GivenPlace
from histonic.core.settings import DEFAULT_ENCODER, Precision, Settings


class _BenchSettings(Settings):
    """What all of them share."""

    seconds: float = Field(default=5.0, gt=0, le=3600, description="Time for each of the figures, about.")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    json_file: Path | None = Field(default=None, description="Write the figures to this file, too.")


class _EncodingSettings(_BenchSettings):
    """What is said of the encoder's arithmetic."""

    precision: Literal["auto", "32", "bf16"] = Field(
        default="auto", description="Arithmetic, as of 'compress'."
    )
    engine: Literal["auto", "eager", "compiled"] = Field(
        default="auto", description="As of 'compress'; auto is compiled if that is done already."
    )


class BenchCompressSettings(_EncodingSettings):
    """A slide, read, encoded and written as 'histonic compress' would, for some seconds."""

    slide: GivenPlace = Field(description="A slide: a file, a URL, or a folder of one DICOM series.")
    encoder: str = Field(
        default=DEFAULT_ENCODER, description="Encoder: a name from 'histonic list' or a .safetensors file."
    )
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel where the header does not say."
    )
    reader: str | None = Field(default=None, description="Use this reader only (see 'histonic list').")
    batch: int = Field(default=256, ge=1, le=65_536, description="Tiles encoded at a time.")


class BenchEncoderSettings(_EncodingSettings):
    """An encoder alone, on tiles in memory."""

    encoder: str = Field(
        default=DEFAULT_ENCODER, description="Encoder: a name from 'histonic list' or a .safetensors file."
    )
    batch: int = Field(default=256, ge=1, le=65_536, description="Tiles encoded at a time.")


class BenchTrainSettings(_BenchSettings):
    """Maps of a store, learned from as 'histonic train' would, for some seconds."""

    precision: Precision = Field(default="32", description="Arithmetic.")
    store: Path = Field(description="Store made by 'histonic compress'.")
    aggregator: str = Field(default="convnet", description="Slide-level network (see 'histonic list').")
    crop_cells: int = Field(
        default=400, ge=8, le=10_000, description="Side of a training crop, in cells, at most."
    )
    batch: int = Field(default=16, ge=2, le=65_536, description="Maps in a batch.")
    slides: int = Field(
        default=64, ge=4, le=1_000_000, description="Maps of the store that are read, at most."
    )
