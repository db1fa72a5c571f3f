"""Microns per pixel in TIFF headers: Aperio's description, OME-XML, resolution tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import tifffile

from histonic.slides.formats.tiff_ome import ome_pixels
from histonic.slides.resolution import HeaderMpp, assess_mpp, parse_number

MICRONS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
MICRONS_PER_UNIT = {2.0: 25_400.0, 3.0: 10_000.0}
TAGS = "TIFF resolution"
RATIONAL = (5, 10)
APERIO_MPP = re.compile(r"\bMPP\s*=\s*([^|\r\n;]*)")


def read_header_mpp(tiff: tifffile.TiffFile, page: Any) -> HeaderMpp:
    """Microns per pixel of the slide; the first field that says anything decides.

    The magnification (``AppMag = 20``) is not asked: scanners sold as 20x have 0.46 to 0.55 µm/px.

    Args:
        tiff: The file.
        page: The page that is the slide.
    """
    said: tuple[Callable[[tifffile.TiffFile, Any], HeaderMpp], ...] = (_aperio, _ome, _tags)
    for read in said:
        header = read(tiff, page)
        if header != HeaderMpp():
            return header
    return HeaderMpp()


def _aperio(tiff: tifffile.TiffFile, page: Any) -> HeaderMpp:
    found = APERIO_MPP.search(str(page.description or ""))
    if found is None:
        return HeaderMpp()
    text = found.group(1).strip().rstrip(".,")
    value = parse_number(text)
    if value is None:
        return HeaderMpp(refused=f"Its header says {text[:40]!r} (Aperio MPP), which is no number.")
    return assess_mpp(value, value, "Aperio MPP")


def _ome(tiff: tifffile.TiffFile, page: Any) -> HeaderMpp:
    pixels = ome_pixels(tiff, page)
    if pixels is None:
        return HeaderMpp()
    across, down = _ome_size(pixels, "X"), _ome_size(pixels, "Y")
    return assess_mpp(across, down, "OME PhysicalSizeX") if across and down else HeaderMpp()


def _ome_size(pixels: ElementTree.Element, axis: str) -> float:
    size = parse_number(pixels.get(f"PhysicalSize{axis}", "")) or 0.0
    return size * MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0.0)


def _tags(tiff: tifffile.TiffFile, page: Any) -> HeaderMpp:
    # Without the tag the unit is the inch (TIFF 6.0, page 38); 1 means that there is none.
    unit = MICRONS_PER_UNIT.get(_tag_number(page, "ResolutionUnit", 2.0), 0.0)
    pixels_per_unit = [_tag_number(page, name, 0.0) for name in ("XResolution", "YResolution")]
    if not unit or not all(pixels_per_unit):
        return HeaderMpp()
    across, down = (unit / each for each in pixels_per_unit)
    return assess_mpp(across, down, TAGS)


def check_units(header: HeaderMpp, pages: Sequence[Any]) -> HeaderMpp:
    """Disbelieve resolution tags whose unit is the inch on one level and the centimetre on another.

    Args:
        header: What the slide's page says.
        pages: The levels, finest first.
    """
    units = {_tag_number(page, "ResolutionUnit", 2.0) for page in pages if "XResolution" in page.tags}
    if header.field != TAGS or not {2.0, 3.0} <= units:
        return header
    return HeaderMpp(
        refused=f"Its header says {header.mpp:.4g} µm/px ({TAGS}), but its levels have other units."
    )


def _tag_number(page: Any, name: str, default: float) -> float:
    """A tag as a number, of whatever type; 0 where it is none, as with a denominator of zero."""
    tag = page.tags.get(name)
    value: Any = default if tag is None else tag.value
    if isinstance(value, tuple) and len(value) == 1:
        (value,) = value
    if isinstance(value, tuple) and len(value) == 2 and int(tag.dtype) in RATIONAL:
        return float(value[0]) / float(value[1]) if value[1] else 0.0
    if isinstance(value, str):
        return parse_number(value) or 0.0
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if number == number else 0.0
