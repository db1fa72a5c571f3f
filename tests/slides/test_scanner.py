"""What files say of the scanner and of how their pixels are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.slides.base import open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.scanner import openslide_scanner

PIXELS = np.zeros((64, 64, 3), np.uint8)
RESOLUTION = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER", "tile": (32, 32)}


@pytest.mark.parametrize(
    ("properties", "scanner"),
    [
        ({"openslide.vendor": "aperio", "aperio.ScanScope ID": "SS1302"}, "aperio SS1302"),
        (
            {"openslide.vendor": "hamamatsu", "hamamatsu.Product": "C13210", "hamamatsu.NDP.S/N": "7"},
            "hamamatsu C13210 7",
        ),
        ({"openslide.vendor": "leica", "leica.device-model": "Leica SCN400"}, "leica Leica SCN400"),
        ({"openslide.vendor": "generic-tiff", "tiff.Make": "ACME", "tiff.Model": "X"}, "ACME X"),
        ({"openslide.vendor": "mirax"}, "mirax"),
        ({"openslide.vendor": "generic-tiff"}, ""),
        ({}, ""),
    ],
)
def test_openslide_properties(properties, scanner):
    assert openslide_scanner(properties).scanner == scanner


def test_tags_and_ome(tmp_path: Path):
    made = [(271, "s", 0, "ACME", True), (272, "s", 0, "Scan 9", True)]
    tifffile.imwrite(
        tmp_path / "t.tif", PIXELS, photometric="rgb", metadata=None, extratags=made, **RESOLUTION
    )
    with open_slide(tmp_path / "t.tif", reader="tiff") as slide:
        assert (slide.scanner, slide.storage) == ("ACME Scan 9", "tiff none")
    tifffile.imwrite(
        tmp_path / "o.ome.tif",
        PIXELS,
        photometric="rgb",
        ome=True,
        metadata={"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
        tile=(32, 32),
        compression="deflate",
    )
    with open_slide(tmp_path / "o.ome.tif", reader="tiff") as slide:
        assert (slide.scanner, slide.storage) == ("", "ome-tiff deflate")


def test_an_array_has_no_scanner():
    assert ArraySlide(PIXELS, mpp=0.5).scanner == ArraySlide(PIXELS, mpp=0.5).storage == ""


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_aperio_names_its_scanner(data_dir: Path, reader: str):
    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.svs", reader=reader) as slide:
        assert slide.scanner == "aperio CPAPERIOCS"
        assert slide.storage == {"tiff": "svs jpeg quality 30", "openslide": "aperio"}[reader]
