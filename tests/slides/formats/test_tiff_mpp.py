"""Microns per pixel from the words and tags of TIFF headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import MissingMppError
from histonic.slides.base import open_slide
from histonic.slides.formats.tiff_mpp import read_header_mpp
from histonic.slides.resolution import HeaderMpp

PIXELS = np.full((300, 320, 3), 200, np.uint8)
PRIVATE = 60_000


def header_of(path: Path, **options: object) -> HeaderMpp:
    tifffile.imwrite(path, PIXELS, tile=(128, 128), photometric="rgb", metadata=None, **options)
    with tifffile.TiffFile(path) as tiff:
        return read_header_mpp(tiff, tiff.pages[0])


@pytest.mark.parametrize(
    ("description", "mpp"),
    [
        ("Aperio Image Library v12|AppMag = 20|MPP = 0.4990", 0.499),
        ("Aperio Image Library v12|MPP=.25|AppMag = 40", 0.25),
        ("Aperio Image Library v12|MPP = 0.2525.", 0.2525),
        ("Aperio Image Library v12|AppMag = 40", None),
        ("scanned at 40x", None),
        ("Aperio Image Library v12|MPP = 0", None),
        ("Aperio Image Library v12|MPP = 0,500000|AppMag = 20", 0.5),
        ("Aperio Image Library v12|MPP = 1,010", 1.01),
        ("Aperio Image Library v12|MPP = 2.5e-1", 0.25),
        ("Aperio Image Library v12|MPP = -0.25", None),
        ("Aperio Image Library v12|MPP = 0.2.5", None),
        ("Aperio Image Library v12|MPP = 1,234,567", None),
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


def tag_slide(path: Path, x: tuple[object, ...], y: tuple[object, ...], unit: int | None) -> HeaderMpp:
    """Resolution tags as ``(type, count, value)``, a unit or none."""
    # tifffile writes these tags in its own way only: they get their numbers afterwards.
    tags = [(PRIVATE + 282, *x, True), (PRIVATE + 283, *y, True)]
    tags += [(PRIVATE + 296, "H", 1, unit, True)] if unit is not None else []
    options = {"tile": (128, 128), "photometric": "rgb", "metadata": None, "software": False}
    tifffile.imwrite(path, PIXELS, resolution=None, extratags=tags, **options)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for tag in tiff.pages[0].tags.values():
            code = tag.code - PRIVATE if tag.code > PRIVATE else tag.code
            if tag.code in (282, 283, 296):
                code = 65_000
            data[tag.offset : tag.offset + 2] = code.to_bytes(2, "little")
    path.write_bytes(bytes(data))
    with tifffile.TiffFile(path) as tiff:
        return read_header_mpp(tiff, tiff.pages[0])


@pytest.mark.parametrize(
    ("kind", "count", "value", "unit", "mpp"),
    [
        ("2I", 1, (20_000, 1), 3, 0.5),
        ("2I", 1, (50_800, 1), 2, 0.5),
        ("2I", 1, (50_800, 1), None, 0.5),  # the standard's unit is the inch
        ("2I", 1, (20_000, 0), 3, None),
        ("2I", 1, (0, 1), 3, None),
        ("2i", 1, (-20_000, 1), 3, None),
        ("f", 1, 20_000.0, 3, 0.5),
        ("d", 1, 20_000.0, 3, 0.5),
        ("d", 1, float("nan"), 3, None),
        ("d", 1, float("inf"), 3, None),
        ("H", 1, 20_000, 3, 0.5),
        ("I", 1, 20_000, 3, 0.5),
        ("s", 0, "20000", 3, 0.5),
        ("s", 0, "wide", 3, None),
        ("2I", 1, (20_000, 1), 1, None),
        ("2I", 1, (20_000, 1), 77, None),
        ("H", 3, (1, 2, 3), 3, None),
        ("H", 2, (20_000, 1), 3, None),
    ],
)
def test_resolution_tags_of_every_type(
    tmp_path: Path, kind: str, count: int, value: object, unit: int | None, mpp: float | None
) -> None:
    tag = (kind, count, value)
    found = tag_slide(tmp_path / "a.tif", tag, tag, unit)
    assert found.mpp == (mpp and pytest.approx(mpp))


def test_levels_with_two_units_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (128, 128), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, resolution=(20_000, 20_000), resolutionunit="INCH", **options)
        small = PIXELS[::2, ::2].copy()
        writer.write(
            small, resolution=(10_000, 10_000), resolutionunit="CENTIMETER", subfiletype=1, **options
        )
    with open_slide(path) as slide, pytest.raises(MissingMppError, match="levels have other units"):
        _ = slide.mpp
    with open_slide(path, mpp=0.5) as slide:
        assert slide.mpp == 0.5
