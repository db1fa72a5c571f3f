"""Settings of 'histonic simulate needles', 'crops' and 'rectangles'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import GivenPath, Settings
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings

MOST_IMAGES = 10_000_000


class DigitSettings(Settings):
    """Where digits come from, and how many images are made of them."""

    out: Path = Field(description="Folder for the images and their tables.")
    digits: Path | None = Field(
        default=None,
        description="Folder with MNIST's IDX files; by default scikit-learn's 1,797 digits of 8 px.",
    )
    train: int = Field(default=100, ge=0, le=MOST_IMAGES, description="Images of training digits.")
    val: int = Field(default=20, ge=0, le=MOST_IMAGES, description="Images of validation digits.")
    test: int = Field(default=40, ge=0, le=MOST_IMAGES, description="Images of test digits.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    processes: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Images made at the same time; by default as many as there are cores.",
    )


class NeedleSettings(DigitSettings):
    """Digits among digits: is there a 3 (Pawlowski et al. 2019)?"""

    canvas: int = Field(
        default=256,
        ge=28,
        le=100_000,
        description="Side of the canvas where digits have 28 px; the paper's are 64, 128 ... 4096, 6144.",
    )
    distractors: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Digits beside the one that decides; by default the paper's.",
    )
    target: int = Field(default=3, ge=0, le=9, description="Digit that makes an image positive.")
    digit_px: int = Field(
        default=28, ge=4, le=512, description="Side of a digit; the canvas is made smaller or larger with it."
    )
    duplicates: int = Field(
        default=2, ge=1, le=100_000, description="How often a target digit is used, at most."
    )


class RectangleSettings(DigitSettings):
    """Two rectangles of equal digits; the class is that of the tilted one (Tellez et al. 2019)."""

    side_px: int = Field(
        default=3600, ge=40, le=20_000, description="Side of an image, a multiple of the digit's."
    )
    digit_px: int = Field(
        default=9, ge=4, le=512, description="Side of a digit, and step of the grid of digits."
    )
    density: float = Field(
        default=0.162, gt=0, le=1, description="Share of the grid's places that hold a digit."
    )
    least_side: float = Field(
        default=0.01, gt=0, le=0.5, description="Least long side of a rectangle, by the side of the image."
    )
    greatest_side: float = Field(
        default=0.5, gt=0, le=0.5, description="Greatest long side of a rectangle, by the side of the image."
    )
    classes: int = Field(default=10, ge=2, le=10, description="Digits from 0 on that a rectangle can hold.")
    mpp: float = Field(default=0.5, gt=0, description="Microns per pixel that the slides are said to have.")


class TwoStainSettings(Settings):
    """Patients with a slide in H&E and one in Ki-67, of which one tells the label."""

    out: Path = Field(description="Folder for slides/he, slides/ki67 and labels.csv.")
    patients: int = Field(48, ge=1, le=100_000, description="Patients.")
    signal: Literal["he", "ki67"] = Field("ki67", description="The stain whose slide tells the label.")
    missing: float = Field(
        0.0, ge=0, lt=1, description="Share of patients who lack a slide of one of the two stains."
    )
    side_px: int = Field(640, ge=256, le=100_000, description="Side of the square slides, in pixels.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")


class CropSettings(SlideListSettings):
    """Slides with annotated lesions to crops, by the share of the crop that is lesion (nCAMELYON)."""

    slides: tuple[GivenPlace, ...] = Field(
        default=(), description="Slide files, URLs, folders, or a CSV with path, mpp, slide_id."
    )
    masks: Path = Field(description="Folder with lesions named like the slides (GeoJSON, XML, PNG, TIFF).")
    lesion: tuple[str, ...] = Field(
        default=(), description="Class of the annotations that is lesion; by default all."
    )
    out: Path = Field(description="Folder for the crops, and a table (BAND.csv) for each band.")
    bands: tuple[str, ...] = Field(
        default=("0.001-0.01", "0.01-0.1", "0.1-0.5", "0.5-1"),
        min_length=1,
        description="Least and greatest share of a crop that is lesion, as LOW-HIGH; repeat for several.",
    )
    crop_px: int = Field(
        default=128, ge=16, le=8_192, multiple_of=8, description="Side of a crop, in pixels, a multiple of 8."
    )
    mpp: float = Field(default=2.0, gt=0, description="Microns per pixel of the crops.")
    slide_mpp: float | None = Field(
        default=None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    per_lesion: int = Field(default=50, ge=1, le=100_000, description="Crops of a lesion in a band, at most.")
    per_negative: int = Field(
        default=100, ge=1, le=100_000, description="Crops of a slide without lesion, at most."
    )
    unannotated: bool = Field(default=False, description="Slides without annotation file hold no lesion.")
    val_share: float = Field(default=0.2, ge=0, lt=1, description="Share of the slides for validation.")
    test_share: float = Field(default=0.2, ge=0, lt=1, description="Share of the slides for the test.")
    seed: int = Field(default=42, ge=0, description="Seed of everything random.")


class DigitKeywords(TypedDict, total=False):
    """The fields of :class:`DigitSettings`, as keywords of a Python call."""

    out: GivenPath
    digits: GivenPath | None
    train: int
    val: int
    test: int
    seed: int
    processes: int | None


class NeedleKeywords(DigitKeywords, total=False):
    """The fields of :class:`NeedleSettings`, as keywords of a Python call."""

    canvas: int
    distractors: int | None
    target: int
    digit_px: int
    duplicates: int


class RectangleKeywords(DigitKeywords, total=False):
    """The fields of :class:`RectangleSettings`, as keywords of a Python call."""

    side_px: int
    digit_px: int
    density: float
    least_side: float
    greatest_side: float
    classes: int
    mpp: float


class CropKeywords(SlideListKeywords, total=False):
    """The fields of :class:`CropSettings`, as keywords of a Python call."""

    slides: PlaceLike | Sequence[PlaceLike]
    masks: GivenPath
    lesion: str | Sequence[str]
    out: GivenPath
    bands: str | Sequence[str]
    crop_px: int
    mpp: float
    slide_mpp: float | None
    per_lesion: int
    per_negative: int
    unannotated: bool
    val_share: float
    test_share: float
    seed: int
