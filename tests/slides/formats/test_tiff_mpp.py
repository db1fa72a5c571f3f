"""Microns per pixel from the words and tags of TIFF headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.slides.formats.tiff_mpp import read_header_mpp
from histonic.slides.resolution import HeaderMpp

PIXELS = np.full((300, 320, 3), 200, np.uint8)


def header_of(path: Path, **options: object) -> HeaderMpp:
    tifffile.imwrite(path, PIXELS, tile=(128, 128), photometric="rgb", metadata=None, **options)
    with tifffile.TiffFile(path) as tiff:
        return read_header_mpp(tiff)


@pytest.mark.parametrize(
    ("description", "mpp"),
    [
        ("Aperio Image Library v12|AppMag = 20|MPP = 0.4990", 0.499),
        ("Aperio Image Library v12|MPP=.25|AppMag = 40", 0.25),
        ("Aperio Image Library v12|MPP = 0.2525.", 0.2525),
        ("Aperio Image Library v12|AppMag = 40", None),
        ("scanned at 40x", None),
        ("Aperio Image Library v12|MPP = 0", None),
    ],
)
def test_aperio_descriptions(tmp_path: Path, description: str, mpp: float | None) -> None:
    assert header_of(tmp_path / "a.tif", description=description).mpp == mpp


def ome(sizes: str) -> str:
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="320" '
        f'SizeY="300" SizeC="3" SizeZ="1" SizeT="1" {sizes}><Channel ID="C" SamplesPerPixel="3"/>'
        '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    )


@pytest.mark.parametrize(
    ("sizes", "mpp", "words"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.25"', 0.25, ""),
        (
            'PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.00025" PhysicalSizeYUnit="mm"',
            0.25,
            "",
        ),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1" PhysicalSizeYUnit="pixel"', None, ""),
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.5"', None, "not square"),
        ('PhysicalSizeX="wide" PhysicalSizeY="0.5"', None, ""),
        ("", None, ""),
    ],
)
def test_ome_sizes(tmp_path: Path, sizes: str, mpp: float | None, words: str) -> None:
    header = header_of(tmp_path / "a.tif", description=ome(sizes).encode(), resolution=(72, 72))
    if words or mpp:
        assert header.mpp == (mpp and pytest.approx(mpp)) and words in header.refused
    else:
        assert header.mpp is None
