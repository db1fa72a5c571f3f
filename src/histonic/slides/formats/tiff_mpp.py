"""Microns per pixel in TIFF headers: Aperio's description, OME-XML, resolution tags."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import tifffile

from histonic.slides.resolution import HeaderMpp, assess_mpp

MICRONS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
MICRONS_PER_UNIT = {2: 25_400.0, 3: 10_000.0}
APERIO_MPP = re.compile(r"\bMPP\s*=\s*(\d*\.?\d+(?:[eE][-+]?\d+)?)")


def read_header_mpp(tiff: tifffile.TiffFile) -> HeaderMpp:
    """Microns per pixel of level 0; the first field that says anything decides.

    The magnification (``AppMag = 20``) is not asked: scanners sold as 20x have 0.46 to 0.55 µm/px.
    """
    said: tuple[Callable[[tifffile.TiffFile], HeaderMpp], ...] = (_aperio, _ome, _tags)
    for read in said:
        header = read(tiff)
        if header != HeaderMpp():
            return header
    return HeaderMpp()


def _aperio(tiff: tifffile.TiffFile) -> HeaderMpp:
    found = APERIO_MPP.search(str(tiff.pages[0].description or ""))
    return assess_mpp(float(found.group(1)), float(found.group(1)), "Aperio MPP") if found else HeaderMpp()


def _ome(tiff: tifffile.TiffFile) -> HeaderMpp:
    if not tiff.is_ome:
        return HeaderMpp()
    try:
        root = ElementTree.fromstring(tiff.ome_metadata or "")
    except ElementTree.ParseError:
        return HeaderMpp()
    pixels = next((element for element in root.iter() if element.tag.endswith("Pixels")), None)
    if pixels is None:
        return HeaderMpp()
    across, down = _ome_size(pixels, "X"), _ome_size(pixels, "Y")
    return assess_mpp(across, down, "OME PhysicalSizeX") if across and down else HeaderMpp()


def _ome_size(pixels: ElementTree.Element, axis: str) -> float:
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", "0"))
    except ValueError:
        return 0.0
    return size * MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0.0)


def _tags(tiff: tifffile.TiffFile) -> HeaderMpp:
    page: Any = tiff.pages[0]
    # Without the tag the unit is the inch (TIFF 6.0, page 38); 1 means that there is none.
    unit = MICRONS_PER_UNIT.get(int(page.tags.valueof("ResolutionUnit", default=2)), 0.0)
    sizes = []
    for name in ("XResolution", "YResolution"):
        numerator, denominator = page.tags.valueof(name, default=(0, 1))
        sizes.append(unit * denominator / numerator if numerator else 0.0)
    return assess_mpp(sizes[0], sizes[1], "TIFF resolution") if all(sizes) else HeaderMpp()
