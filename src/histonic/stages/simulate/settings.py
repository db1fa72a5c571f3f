"""Settings of 'histonic simulate needles', 'crops' and 'rectangles'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.places.urls import GivenPlace
from histonic.core.settings import Settings
from histonic.data.tables.settings import SlideListSettings

MOST_IMAGES = 10_000_000


class DigitSettings(Settings):
    """Where digits come from, and how many images are made of them."""

    out: Path = Field(description="Folder for the images and their tables.")
    digits: Path | None = Field(
        None, description="Folder with MNIST's IDX files; by default scikit-learn's 1,797 digits of 8 px."
    )
    train: int = Field(100, ge=0, le=MOST_IMAGES, description="Images of training digits.")
    val: int = Field(20, ge=0, le=MOST_IMAGES, description="Images of validation digits.")
    test: int = Field(40, ge=0, le=MOST_IMAGES, description="Images of test digits.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    processes: int | None = Field(
        None, ge=1, le=256, description="Images made at the same time; by default as many as there are cores."
    )


class NeedleSettings(DigitSettings):
    """Digits among digits: is there a 3 (Pawlowski et al. 2019)?"""

    canvas: int = Field(
        256,
        ge=28,
        le=100_000,
        description="Side of the canvas where digits have 28 px; the paper's are 64, 128 ... 4096, 6144.",
    )
    distractors: int | None = Field(
        None, ge=1, le=1_000_000, description="Digits beside the one that decides; by default the paper's."
    )
    target: int = Field(3, ge=0, le=9, description="Digit that makes an image positive.")
    digit_px: int = Field(
        28, ge=4, le=512, description="Side of a digit; the canvas is made smaller or larger with it."
    )
    duplicates: int = Field(2, ge=1, le=100_000, description="How often a target digit is used, at most.")


class RectangleSettings(DigitSettings):
    """Two rectangles of equal digits; the class is that of the tilted one (Tellez et al. 2019)."""

    side_px: int = Field(3600, ge=40, le=20_000, description="Side of an image, a multiple of the digit's.")
    digit_px: int = Field(9, ge=4, le=512, description="Side of a digit, and step of the grid of digits.")
    density: float = Field(0.162, gt=0, le=1, description="Share of the grid's places that hold a digit.")
    least_side: float = Field(
        0.01, gt=0, le=0.5, description="Least long side of a rectangle, by the side of the image."
    )
    greatest_side: float = Field(
        0.5, gt=0, le=0.5, description="Greatest long side of a rectangle, by the side of the image."
    )
    classes: int = Field(10, ge=2, le=10, description="Digits from 0 on that a rectangle can hold.")
    mpp: float = Field(0.5, gt=0, description="Microns per pixel that the slides are said to have.")


class CropSettings(SlideListSettings):
    """Slides with annotated lesions to crops, by the share of the crop that is lesion (nCAMELYON)."""

    slides: tuple[GivenPlace, ...] = Field(
        (), description="Slide files, URLs, folders, or a CSV with path, mpp, slide_id."
    )
    masks: Path = Field(description="Folder with lesions named like the slides (GeoJSON, XML, PNG, TIFF).")
    lesion: tuple[str, ...] = Field(
        (), description="Class of the annotations that is lesion; by default all."
    )
    out: Path = Field(description="Folder for the crops, and a table (BAND.csv) for each band.")
    bands: tuple[str, ...] = Field(
        ("0.001-0.01", "0.01-0.1", "0.1-0.5", "0.5-1"),
        min_length=1,
        description="Least and greatest share of a crop that is lesion, as LOW-HIGH; repeat for several.",
    )
    crop_px: int = Field(
        128, ge=16, le=8_192, multiple_of=8, description="Side of a crop, in pixels, a multiple of 8."
    )
    mpp: float = Field(2.0, gt=0, description="Microns per pixel of the crops.")
    slide_mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    per_lesion: int = Field(50, ge=1, le=100_000, description="Crops of a lesion in a band, at most.")
    per_negative: int = Field(100, ge=1, le=100_000, description="Crops of a slide without lesion, at most.")
    unannotated: bool = Field(False, description="Slides without annotation file hold no lesion.")
    val_share: float = Field(0.2, ge=0, lt=1, description="Share of the slides for validation.")
    test_share: float = Field(0.2, ge=0, lt=1, description="Share of the slides for the test.")
    seed: int = Field(42, ge=0, description="Seed of everything random.")
