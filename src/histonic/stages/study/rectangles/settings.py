"""Settings of 'histonic study rectangles'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from pydantic import Field

from histonic.core.settings import GivenPath, Settings

Objective = Literal["multitask", "contrastive", "ntxent", "vae", "bigan"]
CodeSize = Annotated[int, Field(ge=1, le=65_536)]
StrideShare = Annotated[float, Field(gt=0, le=1)]


class RectangleStudySettings(Settings):
    """Images of tilted rectangles, compressed by several encoders and classified.

    The defaults are a study for two cores; the paper's figures are said beside them.
    """

    out: Path = Field(description="Folder for images, encoders, stores, runs, tables and figure.")
    digits: Path | None = Field(
        default=None,
        description="Folder with MNIST's IDX files; by default scikit-learn's 1,797 digits of 8 px.",
    )
    side_px: int = Field(default=512, ge=64, le=20_000, description="Side of an image; the paper's: 3600.")
    digit_px: int = Field(
        default=16, ge=16, le=512, description="Side of a digit and of the encoders' tiles; the paper's: 9."
    )
    density: float = Field(
        default=0.7, gt=0, le=1, description="Share of the places that hold a digit; the paper's: 0.162."
    )
    least_side: float = Field(
        default=0.3,
        gt=0,
        le=0.5,
        description="Least long side of a rectangle, by the image; the paper's: 0.01.",
    )
    classes: int = Field(
        default=4, ge=2, le=10, description="Digits that a rectangle can hold; the paper's: 10."
    )
    train: int = Field(
        default=2000, ge=10, le=10_000_000, description="Training images; the paper's: 16,875."
    )
    val: int = Field(default=200, ge=4, le=10_000_000, description="Validation images.")
    test: int = Field(default=400, ge=4, le=10_000_000, description="Test images; the paper's: 25,000.")
    encoder_images: int = Field(
        default=80,
        ge=4,
        le=1_000_000,
        description="Further images that give tiles for the encoders; 30 % validate.",
    )
    tiles: int = Field(default=8000, ge=50, le=10_000_000, description="Tiles for the encoders.")
    objectives: tuple[Objective, ...] = Field(
        default=("multitask", "contrastive", "vae", "bigan"),
        min_length=1,
        description="Encoders, by what they are trained by; multitask is told the digit of a tile.",
    )
    code_sizes: tuple[CodeSize, ...] = Field(
        default=(16, 4),
        min_length=1,
        description="Numbers in a code: all encoders have the first, 'varied' has every one.",
    )
    stride_shares: tuple[StrideShare, ...] = Field(
        default=(1.0, 0.5),
        min_length=1,
        description="Steps between tiles by their side: all encoders have the first, 'varied' has every one.",
    )
    varied: Objective = Field(default="vae", description="Encoder whose code size and stride are varied.")
    augment: str = Field(
        default="morphology",
        description="Augmentation of the contrastive methods; others see tiles as they are.",
    )
    encoder_epochs: int = Field(default=12, ge=1, le=1_000_000, description="Epochs of an encoder, at most.")
    encoder_steps: int = Field(default=50, ge=1, le=1_000_000, description="Steps in an epoch of an encoder.")
    aggregator: str = Field(default="convnet", description="Network on the maps; the paper's: convnet.")
    max_epochs: int = Field(default=40, ge=1, le=1_000_000, description="Epochs on the maps, at most.")
    explained: int = Field(
        default=30, ge=0, le=1_000_000, description="Test images whose Grad-CAM is measured."
    )
    workers: int | None = Field(
        default=None, ge=1, le=256, description="Images made and networks trained at the same time."
    )
    steps_at_most: int | None = Field(
        default=None, ge=1, description="End after so many encoders; the same command goes on with the rest."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")


class RectangleStudyKeywords(TypedDict, total=False):
    """The fields of :class:`RectangleStudySettings`, as keywords of a Python call."""

    out: GivenPath
    digits: GivenPath | None
    side_px: int
    digit_px: int
    density: float
    least_side: float
    classes: int
    train: int
    val: int
    test: int
    encoder_images: int
    tiles: int
    objectives: Sequence[Objective]
    code_sizes: Sequence[CodeSize]
    stride_shares: Sequence[StrideShare]
    varied: Objective
    augment: str
    encoder_epochs: int
    encoder_steps: int
    aggregator: str
    max_epochs: int
    explained: int
    workers: int | None
    steps_at_most: int | None
    seed: int
