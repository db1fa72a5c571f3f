"""Settings of 'histonic recipe' and 'histonic simulate challenge'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field, field_validator

from histonic.core.settings import DEFAULT_ENCODER, GivenPath, Settings


class RecipeSettings(Settings):
    """A public challenge, from the organisers' files to a submission or a score."""

    name: str = Field(
        description="tupac16, camelyon16, camelyon17, panda, patchcamelyon, nct-crc, bach, breakhis, midog, "
        "tcga-survival or liver."
    )
    data: Path = Field(description="Folder with the organisers' files, as downloaded and unpacked.")
    out: Path = Field(
        default=Path("study"), description="Folder for tables, settings, maps, run and submission."
    )
    check: bool = Field(default=False, description="Only look at the files; write nothing.")
    run: bool = Field(default=False, description="Run all steps; what is finished is not repeated.")
    target: tuple[str, ...] = Field(
        default=(), description="Target to enter; by default all of the challenge."
    )
    table: Path | None = Field(
        default=None, description="Table that the organisers keep elsewhere, or of your own cohort (liver)."
    )
    columns: dict[str, str] = Field(
        default={}, description="What columns of --table are called, as known=found (patient_id=case)."
    )
    allow_missing: bool = Field(
        default=False, description="Go on without the files that are missing; without it nothing is written."
    )
    keep: tuple[str, ...] = Field(
        default=(), description="Case that the recipe would leave out, by its name; repeat for several."
    )
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of images whose files and organisers do not say."
    )
    encoder: str = Field(
        default=DEFAULT_ENCODER, description="Encoder: a name from 'histonic list' or a .safetensors file."
    )
    encoder_config: Path | None = Field(
        default=None,
        description="YAML file of 'histonic encoder train': its encoder is trained first, and used.",
    )
    orientations: Literal[1, 8] = Field(
        default=8, description="8: slides are also encoded turned and mirrored."
    )
    folds: int = Field(default=4, ge=3, le=1_000, description="Cross-validation folds.")
    initialisations: int = Field(default=2, ge=1, le=1_000, description="Networks per fold.")
    max_epochs: int = Field(
        default=200, ge=1, le=1_000_000, description="Epochs at most; training stops early."
    )
    resamples: int = Field(
        default=2000, ge=100, le=1_000_000, description="Resamples for the 95 % intervals."
    )
    detections: Path | None = Field(
        default=None,
        description="Found points to score: a folder with a CSV for each image (midog: x,y; camelyon16: "
        "confidence,x,y).",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Networks trained side by side (CPU only).")
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    device: str = Field(default="auto", description="auto, cpu or cuda.")

    @field_validator("encoder")
    @classmethod
    def _absolute(cls, value: str) -> str:
        """A file by its whole path: the settings of the steps are used from any folder."""
        is_file = value.endswith(".safetensors") and Path(value).is_file()
        return str(Path(value).resolve()) if is_file else value


class ChallengeSettings(Settings):
    """A miniature of a public challenge: simulated images under the organisers' names."""

    name: str = Field(description="As for 'histonic recipe'.")
    out: Path = Field(default=Path("challenge"), description="Folder to write.")
    seed: int = Field(default=0, ge=0, description="Seed of the images and labels.")


class RecipeKeywords(TypedDict, total=False):
    """The fields of :class:`RecipeSettings`, as keywords of a Python call."""

    name: str
    data: GivenPath
    out: GivenPath
    check: bool
    run: bool
    target: str | Sequence[str]
    table: GivenPath | None
    columns: Mapping[str, str]
    allow_missing: bool
    keep: str | Sequence[str]
    mpp: float | None
    encoder: str
    encoder_config: GivenPath | None
    orientations: Literal[1, 8]
    folds: int
    initialisations: int
    max_epochs: int
    resamples: int
    detections: GivenPath | None
    workers: int
    seed: int
    device: str
