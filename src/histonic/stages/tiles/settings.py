"""Settings of 'histonic tiles extract' and 'histonic simulate mosaic'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import Field, field_validator

from histonic.core.places.urls import GivenSlides, SlidesLike
from histonic.core.settings import GivenPath, MaskSettings, Settings, TissueSettings
from histonic.core.units import LARGEST_ENLARGEMENT, MOST_ENLARGEMENT
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings
from histonic.data.tilesets.plan import TileSetSettings


class ExtractSettings(SlideListSettings):
    """Slides and annotations to a set of tiles."""

    slides: GivenSlides = Field(
        default=(), description="Slide files, URLs, folders, or a CSV with path, mpp, mask, slide_id."
    )
    annotations: Path | None = Field(
        default=None,
        description="Folder with GeoJSON, ASAP XML, masks or CSVs of points named like the slides, a file "
        "for one slide, or the JSON of a detection set; without it tissue gives tiles without labels.",
    )
    image_labels: Path | None = Field(
        default=None,
        description="Table with a label for each whole image, in place of annotations: its columns path "
        "(file, image) and label (class).",
    )
    image_columns: dict[str, str] = Field(
        default={},
        description="Columns of --image-labels, as file=name and label=grade; numbers for a table without "
        "header (file=1, label=2).",
    )
    label_pattern: str | None = Field(
        default=None,
        description="Regular expression whose first group, in an image's path below the folder given, is the "
        "label of the whole image: '^([^/]+)/' is its first folder.",
    )
    only: str | None = Field(
        default=None, description="Regular expression: only slides whose path below the folder given it fits."
    )
    out: Path = Field(description="Set: the folder for tiles, tiles.csv and set.yaml.")
    labels: dict[str, str] = Field(
        default={}, description="Label of a class, group or mask code, as found=label (_0=tumour, 1=stroma)."
    )
    labels_by: str | None = Field(
        default=None,
        description="Column of the slide table by which codes differ (data_provider); then --labels, "
        "--exclude and --skip name codes as its value and code (radboud:2=benign).",
    )
    points_order: Literal["row,column", "x,y"] | None = Field(
        default=None, description="What the columns are of CSVs of points without a header."
    )
    boxes: Literal["corners", "xywh"] | None = Field(
        default=None,
        description="What the numbers of a box in a detection set are: two corners (MIDOG), or x, y, width "
        "and height (COCO); needed where it can be both.",
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description="Class whose area is taken out of all labels and of the background; repeat for several.",
    )
    skip: tuple[str, ...] = Field(
        default=(), description="Class treated as if it had not been drawn; repeat for several."
    )
    tile_px: int = Field(default=128, ge=8, le=8_192, description="Side of a tile, in pixels.")
    mpp: float = Field(default=0.5, gt=0, description="Microns per pixel of the tiles.")
    slide_mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    most_enlargement: float = Field(
        default=MOST_ENLARGEMENT,
        ge=1,
        le=LARGEST_ENLARGEMENT,
        description="Slides coarser than --mpp are enlarged up to so many times, else refused.",
    )
    stride_px: int | None = Field(
        default=None,
        ge=1,
        description="Step from tile to tile, in pixels of the tiles; by default tiles touch.",
    )
    min_share: float = Field(
        default=0.75, gt=0, le=1, description="Tiles are cut where one label covers at least this share."
    )
    on_tissue: bool = Field(
        default=False, description="Labelled tiles, too, must hold tissue; --tissue-... says how much."
    )
    background_label: str | None = Field(
        default=None,
        description="Label of tiles on tissue that touch nothing drawn; by default none are cut.",
    )
    unannotated: Literal["refuse", "background"] = Field(
        default="refuse",
        description="Slides without annotation file: list as failed, or all tissue is background.",
    )
    point_distance_um: float = Field(
        default=30.0,
        ge=0,
        description="Background tiles are at least this far from any point, from border to point.",
    )
    max_per_class_per_slide: int | None = Field(
        default=None,
        ge=1,
        description="Tiles of a label from one slide, at most; drawn at random by the seed.",
    )
    group_column: str | None = Field(
        default=None,
        description="Column of the slide table that names the patient; by default each slide is a group.",
    )
    group_pattern: str | None = Field(
        default=None,
        description="Regular expression whose group (the first, or the one called group) in the slide's "
        "name, or else in its path below the folder given, is the patient.",
    )
    val_share: float = Field(default=0.0, ge=0, lt=1, description="Share of the groups for validation.")
    test_share: float = Field(default=0.0, ge=0, lt=1, description="Share of the groups for the test.")
    licence: str = Field(default="unknown", description="Licence of the slides and so of the tiles.")
    reader: str | None = Field(default=None, description="Use this reader only (see 'histonic list').")
    seed: int = Field(default=0, ge=0, description="Seed of the sample and the split.")
    tissue: TissueSettings = TissueSettings()
    mask: MaskSettings = MaskSettings()

    @field_validator("labels", "image_columns", mode="before")
    @classmethod
    def _numbers_as_words(cls, value: Any) -> Any:
        """Codes and numbers of columns may stand in a file as numbers."""
        if not isinstance(value, dict):
            return value
        return {
            str(key) if type(key) is int else key: str(each) if type(each) is int else each
            for key, each in value.items()
        }

    @property
    def labels_images(self) -> bool:
        """Whether each image as a whole has a label."""
        return self.image_labels is not None or self.label_pattern is not None

    @property
    def is_labelled(self) -> bool:
        """Whether tiles get labels."""
        return self.annotations is not None or self.labels_images


class MosaicSettings(Settings):
    """Labelled tiles to slides of real tissue whose right answer is known."""

    tiles: Path | None = Field(default=None, description="Tile set: folder per class, tiles.csv, CSV, .h5.")
    mpp_of_tiles: float | None = Field(default=None, gt=0, description="Microns per pixel of --tiles.")
    scale_of_tiles: Literal["mpp", "fill", "compose"] = Field(
        default="mpp",
        description="fill: each tile fills a cell whatever its mpp; compose: crops of small objects at their "
        "true scale, on crops of the background's class.",
    )
    set: TileSetSettings | None = Field(
        default=None, description="The same with all that can be said, in YAML."
    )
    out: Path = Field(description="Folder for slides/, masks/ (GeoJSON), labels.csv and truth.csv.")
    kind: Literal["needle", "fraction", "arrangement", "survival"] = Field(
        description="needle: is a lesion there; fraction: its share; arrangement: in the core or at the rim; "
        "survival: hazard from share and arrangement."
    )
    lesion: tuple[str, ...] = Field(
        default=(), description="Classes shown as lesion; by default the last one."
    )
    background: tuple[str, ...] = Field(
        default=(), description="Classes shown elsewhere; by default all others."
    )
    patients: int = Field(
        default=60, ge=2, le=100_000, description="Patients made of training and validation tiles."
    )
    test_patients: int = Field(default=40, ge=0, le=100_000, description="Patients made of test tiles.")
    lesion_share: float = Field(
        default=0.05, gt=0, lt=1, description="Share of the tissue of a lesion (needle)."
    )
    most_slides: int = Field(
        default=1, ge=1, le=1_000, description="Slides a patient at most; 1 to so many are drawn."
    )
    cells: int = Field(
        default=20, ge=6, le=2_000, description="Tiles along the side of a slide, glass included."
    )
    tile_px: int = Field(default=128, ge=16, le=8_192, description="Side of a tile on the slide, in pixels.")
    mpp: float = Field(default=0.5, gt=0, description="Microns per pixel of the slides.")
    sites: int = Field(default=3, ge=1, le=1_000, description="Sites, each with its shade of stain.")
    site_effect: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Chance that the site follows from the outcome; 0 plants no confounding.",
    )
    stain_variation: float = Field(
        default=1.0, ge=0, description="Spread of the stain; 0 leaves the tiles' colours."
    )
    seam_px: int = Field(
        default=8, ge=0, description="Pixels on either side of a seam in which tiles are blended."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    cache: Path | None = Field(default=None, description="Folder for decoded tiles; by default inside --out.")


class ExtractKeywords(SlideListKeywords, total=False):
    """The fields of :class:`ExtractSettings`, as keywords of a Python call."""

    slides: SlidesLike
    annotations: GivenPath | None
    image_labels: GivenPath | None
    image_columns: Mapping[str, str]
    label_pattern: str | None
    only: str | None
    out: GivenPath
    labels: Mapping[str, str]
    labels_by: str | None
    points_order: Literal["row,column", "x,y"] | None
    boxes: Literal["corners", "xywh"] | None
    exclude: str | Sequence[str]
    skip: str | Sequence[str]
    tile_px: int
    mpp: float
    slide_mpp: float | None
    most_enlargement: float
    stride_px: int | None
    min_share: float
    on_tissue: bool
    background_label: str | None
    unannotated: Literal["refuse", "background"]
    point_distance_um: float
    max_per_class_per_slide: int | None
    group_column: str | None
    group_pattern: str | None
    val_share: float
    test_share: float
    licence: str
    reader: str | None
    seed: int
    tissue: TissueSettings | Mapping[str, Any] | str
    mask: MaskSettings | Mapping[str, Any]


class MosaicKeywords(TypedDict, total=False):
    """The fields of :class:`MosaicSettings`, as keywords of a Python call."""

    tiles: GivenPath | None
    mpp_of_tiles: float | None
    scale_of_tiles: Literal["mpp", "fill", "compose"]
    set: TileSetSettings | Mapping[str, Any] | None
    out: GivenPath
    kind: Literal["needle", "fraction", "arrangement", "survival"]
    lesion: str | Sequence[str]
    background: str | Sequence[str]
    patients: int
    test_patients: int
    lesion_share: float
    most_slides: int
    cells: int
    tile_px: int
    mpp: float
    sites: int
    site_effect: float
    stain_variation: float
    seam_px: int
    seed: int
    cache: GivenPath | None
