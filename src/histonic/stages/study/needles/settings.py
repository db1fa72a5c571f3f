"""Settings of 'histonic study needles'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from pydantic import Field

from histonic.core.settings import CLUSTER, Cluster, GivenPath, Settings

Canvas = Annotated[int, Field(ge=28, le=100_000)]
Size = Annotated[int, Field(ge=4, le=10_000_000)]
Blocks = Annotated[int, Field(ge=0, le=4)]
Width = Annotated[int, Field(ge=2, le=1024)]
Pooling = Literal["mean", "max", "lse", "attention"]


class NeedleStudySettings(Settings):
    """Accuracy by object-to-image ratio, training size, receptive field, pooling and width.

    The defaults are a study for two cores and less than an hour; the paper's figures are said beside them.
    """

    out: Path = Field(description="Folder for the cells of the study, its tables, figure and claims.")
    digits: Path | None = Field(
        default=None,
        description="Folder with MNIST's IDX files; by default scikit-learn's 1,797 digits of 8 px.",
    )
    digit_px: int = Field(
        default=8, ge=4, le=512, description="Side of a digit; the canvas is made smaller or larger with it."
    )
    target: int = Field(
        default=0, ge=0, le=9, description="Digit that makes an image positive; the paper's is 3."
    )
    canvases: tuple[Canvas, ...] = Field(
        default=(56, 80, 112, 160),
        min_length=2,
        description="Sides of the canvas where digits have 28 px, the largest object first: 64 to 6144.",
    )
    sizes: tuple[Size, ...] = Field(
        default=(500, 4000), min_length=2, description="Training images, fewest first."
    )
    poolings: tuple[Pooling, ...] = Field(
        default=("max", "mean"), min_length=2, description="Poolings of the last map, the usual one first."
    )
    receptive: tuple[Blocks, ...] = Field(
        default=(3, 2),
        description="Stages with 3x3 convolutions, the usual number first: 1 to 4 see 5, 9, 17, 33 px with "
        "one block a stage.",
    )
    widths: tuple[Width, ...] = Field(
        default=(8, 4), description="Filters of the first stage, the usual first; the paper's: 64."
    )
    blocks: tuple[Annotated[int, Field(ge=0, le=64)], ...] = Field(
        default=(1, 1, 1, 0),
        min_length=4,
        max_length=4,
        description="Blocks of the four stages; the paper's: 3 4 6 3.",
    )
    norm: Literal["instance", "batch"] = Field(
        default="batch", description="Normalisation, affine; the paper's: instance."
    )
    seeds: int = Field(default=3, ge=2, le=1_000, description="Trainings of each combination.")
    val: int = Field(default=200, ge=4, le=1_000_000, description="Validation images.")
    test: int = Field(default=400, ge=4, le=1_000_000, description="Test images.")
    updates: int = Field(
        default=400,
        ge=1,
        le=100_000_000,
        description="Steps of a training, the same for every training size.",
    )
    batch: int = Field(default=32, ge=2, le=65_536, description="Images in a batch.")
    optimizer: Literal["adam", "rmsprop", "sgd"] = Field(
        default="adam", description="How weights move; the paper's: rmsprop at 5e-5."
    )
    learning_rate: float = Field(
        default=3e-3, gt=0, description="Divided by ten after 40, 60 and 80 % of the updates."
    )
    checks: int = Field(default=4, ge=1, le=1_000, description="Validations; the best weights are kept.")
    processes: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Trainings at the same time; by default as many as there are cores.",
    )
    device: str = Field(default="cpu", description="cpu or cuda.")
    cells_at_most: int | None = Field(
        default=None, ge=1, description="End after so many trainings; the same command goes on with the rest."
    )
    seed: int = Field(default=0, ge=0, description="Seed of images and trainings.")
    cluster: Cluster = CLUSTER


class NeedleStudyKeywords(TypedDict, total=False):
    """The fields of :class:`NeedleStudySettings`, as keywords of a Python call."""

    out: GivenPath
    digits: GivenPath | None
    digit_px: int
    target: int
    canvases: Sequence[Canvas]
    sizes: Sequence[Size]
    poolings: Sequence[Pooling]
    receptive: Sequence[Blocks]
    widths: Sequence[Width]
    blocks: Sequence[Annotated[int, Field(ge=0, le=64)]]
    norm: Literal["instance", "batch"]
    seeds: int
    val: int
    test: int
    updates: int
    batch: int
    optimizer: Literal["adam", "rmsprop", "sgd"]
    learning_rate: float
    checks: int
    processes: int | None
    device: str
    cells_at_most: int | None
    seed: int
    cluster: str | None
