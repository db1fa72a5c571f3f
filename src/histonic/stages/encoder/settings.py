"""Settings of 'histonic encoder train' and 'histonic encoder import'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import Field

from histonic.core.errors import SettingsError
from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import GivenPath, Pooling, Settings, StainSettings
from histonic.core.units import LARGEST_ENLARGEMENT, MOST_ENLARGEMENT
from histonic.data.tilesets.plan import TileSetSettings

COMPONENTS = "components"
"""Objective of a projection that is measured, not trained: principal components of a frozen encoder's
codes."""


class MultitaskSettings(Settings):
    """How tasks share one trunk (Mormont et al. 2020)."""

    balance: bool = Field(default=True, description="Draw the classes of a task equally often.")
    rescale: bool = Field(default=True, description="Multiply the gradients of a task's head by B / B_i.")
    head_rate: float = Field(
        default=1.0, gt=0, description="Learning rate of the heads, times that of the trunk."
    )
    head_hidden: int = Field(
        default=0,
        ge=0,
        le=65_536,
        description="Units of a dense layer between the code and each head; 0: linear heads. The NIC paper "
        "has 256.",
    )
    warmup_epochs: int = Field(
        default=0, ge=0, description="First epochs, with a frozen trunk, heads at 1e-3."
    )
    norm_fix: bool = Field(
        default=False,
        description="Fit the batch normalisation of given weights to the tiles before training.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of the code hidden from the heads.")
    contrast: float = Field(
        default=0.0, ge=0, description="Weight of the self-supervised NT-Xent loss beside the tasks."
    )
    appearance: float = Field(
        default=0.0,
        ge=0,
        description="Weight of a self-supervised task: statistics of colour, stain and texture.",
    )


class TrainEncoderSettings(Settings):
    """Tiles to a trained encoder."""

    objective: Literal["multitask", "vae", "contrastive", "ntxent", "bigan", "components"] = Field(
        default="multitask",
        description="What the encoder is trained by; components: principal components of the codes of "
        "--weights, for which no label is needed.",
    )
    out: Path = Field(description="Run: the folder for encoder, model card, curves and pictures.")
    name: str | None = Field(
        default=None, description="The encoder's own name; by default that of the folder."
    )
    sets: tuple[TileSetSettings, ...] = Field(default=(), description="Tile sets, a list in the YAML file.")
    tiles: tuple[Path, ...] = Field(default=(), description="Tile sets that need no more words than --mpp.")
    mpp_of_tiles: float | None = Field(default=None, gt=0, description="Microns per pixel of --tiles.")
    slides: tuple[GivenPlace, ...] = Field(
        default=(), description="Slides whose tissue gives unlabelled tiles."
    )
    tiles_per_slide: int = Field(
        default=500, ge=1, le=10_000_000, description="Unlabelled tiles taken from a slide, at most."
    )
    trunk: str | None = Field(
        default=None,
        description="nic, nic-appearance, nic-small, tellez2019, lite:SIDE:CHANNELS or timm:MODEL; by "
        "default the objective's own.",
    )
    weights: Path | None = Field(default=None, description="Weights to begin with.")
    freeze_trunk: bool = Field(
        default=False,
        description="Keep the encoder of --weights as it is; train a projection of its codes to --code-size.",
    )
    hidden: int = Field(
        default=0, ge=0, le=65_536, description="With --freeze-trunk: numbers of a layer between; 0: linear."
    )
    views: int = Field(
        default=4, ge=1, le=64, description="With --freeze-trunk: views of each tile, all but one augmented."
    )
    code_size: int = Field(default=128, ge=1, le=65_536, description="D, numbers in a code.")
    tile_px: int = Field(default=128, ge=16, le=8_192, description="Side of the encoder's tiles, in pixels.")
    mpp: float = Field(default=0.5, gt=0, description="Microns per pixel of the encoder's tiles.")
    augment: str = Field(
        default="hed-light",
        description="none, basic, morphology, bc, hsv-light, hsv-strong, hed-light or hed-strong.",
    )
    random_crop: float = Field(
        default=1.0,
        ge=1,
        le=4,
        description="Training tiles are random squares, at true scale, of areas of up to so many times the "
        "tile's side, where source tiles are larger; 1: always their centre.",
    )
    batch: int = Field(default=64, ge=2, le=65_536, description="Tiles in a batch.")
    steps: int = Field(default=100, ge=1, le=1_000_000, description="Steps in an epoch.")
    max_epochs: int = Field(default=40, ge=1, le=1_000_000, description="Epochs at most.")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Epochs without a better validation loss until the rate falls or training ends.",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="First learning rate; by default the paper's."
    )
    decay: Literal["plateau", "cosine", "constant"] | None = Field(
        default=None, description="How the learning rate falls; by default as the objective's paper has it."
    )
    optimizer: Literal["adam", "adamw", "sgd"] | None = Field(
        default=None, description="By default the objective's."
    )
    weight_decay: float | None = Field(default=None, ge=0, description="By default the objective's.")
    multitask: MultitaskSettings = MultitaskSettings()
    stain: StainSettings = StainSettings()
    cache: Path | None = Field(
        default=None, description="Folder for decoded tiles; by default inside the run."
    )
    licence: str = Field(
        default="not stated", description="Licence of the trained weights, for the model card."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    device: str = Field(default="auto", description="auto, cpu or cuda.")
    devices: int = Field(default=1, ge=1, le=256, description="Number of devices (processes on a CPU).")
    precision: Literal["auto", "32", "bf16"] = Field(
        default="auto", description="Arithmetic of training; auto: bf16 where the device computes it fast."
    )

    @property
    def is_behind_frozen(self) -> bool:
        """Whether what is made is a projection behind an encoder that stays as it is."""
        return self.freeze_trunk or self.objective == COMPONENTS

    @property
    def shown_views(self) -> int:
        """Views of each tile that a frozen encoder is shown; components are of tiles as they are."""
        return 1 if self.objective == COMPONENTS else self.views


class SourceSettings(Settings):
    """A published set as it comes, of which tiles with classes are to be cut.

    Attributes:
        kind: ``detection``: points or small shapes drawn on images; a tile around each, and background.
            ``segmentation``: regions or masks; tiles that hold enough of a class, and background. ``fields``:
            images with one label each, cut into tiles that have the label of their image. ``tiles``: a tile
            set that is there already (``set``).
    """

    name: str = Field(description="Name of the task in results.")
    kind: Literal["detection", "segmentation", "fields", "tiles"] = Field(
        description="detection, segmentation, fields (images with a label each), or tiles."
    )
    images: tuple[GivenPlace, ...] = Field(
        default=(), description="Images, folders, or a CSV with path, mpp, mask."
    )
    annotations: Path | None = Field(
        default=None, description="Folder with GeoJSON, ASAP XML or masks named like the images."
    )
    table: Path | None = Field(
        default=None,
        description="Of fields: CSV with the image's file, its label, and its group and split if known.",
    )
    file_column: str = Field(default="file", description="Column of the image's file in the table.")
    label_column: str = Field(default="label", description="Column of the label in the table.")
    labels: dict[str, str] = Field(
        default={}, description="Label of a class, group or mask code, as found: label ('_1': tumour)."
    )
    background_label: str | None = Field(
        default=None, description="Label of tissue that touches nothing drawn."
    )
    mpp: float | None = Field(default=None, gt=0, description="Microns per pixel of images that do not say.")
    min_share: float = Field(
        default=0.1, gt=0, le=1, description="Of a segmentation: share of a tile that its class has to cover."
    )
    stride_px: int | None = Field(
        default=None, ge=1, description="Step from tile to tile; by default tiles touch."
    )
    most_per_image: int | None = Field(
        default=1000, ge=1, description="Tiles of a class from one image, at most; drawn at random."
    )
    group_column: str = Field(default="group", description="Of fields: column of the patient in the table.")
    group_pattern: str | None = Field(
        default=None, description="Regular expression whose first group, in the image's name, is the patient."
    )
    related: str = Field(default="", description="Related sets share this word; they are left out together.")
    licence: str = Field(default="unknown", description="Licence of the images, for the model card.")
    set: TileSetSettings | None = Field(default=None, description="Of kind tiles: the set, as under 'sets:'.")


class PoolSettings(Settings):
    """Detection, segmentation and field sets to one pool of tile classification tasks."""

    out: Path = Field(description="Folder for the tiles, pool.yaml and pool.md.")
    sources: tuple[SourceSettings, ...] = Field(min_length=1, description="Sets, a list in the YAML file.")
    tile_px: int = Field(default=128, ge=16, le=8_192, description="Side of the encoder's tiles, in pixels.")
    mpp: float = Field(default=0.5, gt=0, description="Microns per pixel of the encoder's tiles.")
    room: float = Field(
        default=1.25,
        ge=1,
        le=4,
        description="Tiles are cut so many times larger; training sees random squares of them.",
    )
    largest_class: float = Field(
        default=3.0,
        ge=1,
        description="Tiles of a class are at most so many times those of the smallest of its split.",
    )
    val_share: float = Field(default=0.15, gt=0, lt=1, description="Share of the groups for validation.")
    test_share: float = Field(default=0.15, ge=0, lt=1, description="Share of the groups for the test.")
    most_enlargement: float = Field(
        default=MOST_ENLARGEMENT,
        ge=1,
        le=LARGEST_ENLARGEMENT,
        description="Images coarser than --mpp are enlarged up to so many times, else refused.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of samples and splits.")


class ImportSettings(Settings):
    """Weights from elsewhere to histonic's own file."""

    file: Path = Field(
        description="Hub folder (config.json, weights), state dict, TorchScript, or Keras encoder (.h5)."
    )
    out: Path = Field(description="Where to write it (.safetensors); its card is written beside it (.md).")
    preset: str | None = Field(
        default=None, description="Foundation encoder by name, such as uni2-h or virchow2."
    )
    architecture: str | None = Field(default=None, description="Of a state dict without preset: timm:MODEL.")
    colours: Literal["timm"] | None = Field(
        default=None, description="timm: those of timm's own weights of that architecture."
    )
    mean: str | None = Field(
        default=None, description="Colours that the weights take as zero: R,G,B of 0..1."
    )
    std: str | None = Field(default=None, description="Deviation that the weights were trained with: R,G,B.")
    pooling: Pooling | None = Field(
        default=None, description="What is the code: model, cls, mean or cls+mean."
    )
    tile_px: int | None = Field(default=None, ge=16, le=8_192, description="Side of the tiles, in pixels.")
    mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of the tiles; presets know it."
    )
    licence: str | None = Field(default=None, description="Licence of the weights, for spec and card.")
    name: str | None = Field(default=None, description="The encoder's own name.")

    @property
    def two_colours(self) -> tuple[Triple, Triple] | Literal["timm"] | None:
        """Mean and deviation, as they were given.

        Raises:
            SettingsError: One was given without the other, or not as three numbers.
        """
        if self.mean is None and self.std is None:
            return self.colours
        return _triple("--mean", self.mean, 0.0), _triple("--std", self.std, 1e-6)


Triple = tuple[float, float, float]


def _triple(option: str, text: str | None, least: float) -> Triple:
    try:
        red, green, blue = (float(part) for part in (text or "").split(","))
    except ValueError:
        red = green = blue = float("nan")
    if not all(least <= each <= 1 for each in (red, green, blue)):
        raise SettingsError(
            "Import an encoder with colours that were given.",
            f"{option} is {text!r}." if text else f"{option} is missing.",
            "Give both as three numbers of 0..1: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        )
    return red, green, blue


class TrainEncoderKeywords(TypedDict, total=False):
    """The fields of :class:`TrainEncoderSettings`, as keywords of a Python call."""

    objective: Literal["multitask", "vae", "contrastive", "ntxent", "bigan", "components"]
    out: GivenPath
    name: str | None
    sets: Sequence[TileSetSettings | Mapping[str, Any]]
    tiles: GivenPath | Sequence[GivenPath]
    mpp_of_tiles: float | None
    slides: PlaceLike | Sequence[PlaceLike]
    tiles_per_slide: int
    trunk: str | None
    weights: GivenPath | None
    freeze_trunk: bool
    hidden: int
    views: int
    code_size: int
    tile_px: int
    mpp: float
    augment: str
    random_crop: float
    batch: int
    steps: int
    max_epochs: int
    patience: int | None
    learning_rate: float | None
    decay: Literal["plateau", "cosine", "constant"] | None
    optimizer: Literal["adam", "adamw", "sgd"] | None
    weight_decay: float | None
    multitask: MultitaskSettings | Mapping[str, Any]
    stain: StainSettings | Mapping[str, Any] | str
    cache: GivenPath | None
    licence: str
    seed: int
    device: str
    devices: int
    precision: Literal["auto", "32", "bf16"]


class PoolKeywords(TypedDict, total=False):
    """The fields of :class:`PoolSettings`, as keywords of a Python call."""

    out: GivenPath
    sources: Sequence[SourceSettings | Mapping[str, Any]]
    tile_px: int
    mpp: float
    room: float
    largest_class: float
    val_share: float
    test_share: float
    most_enlargement: float
    seed: int
