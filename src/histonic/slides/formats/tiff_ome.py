"""What OME-XML says of an image in a TIFF file: its size, its planes, its microns per pixel."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import tifffile


def ome_root(tiff: tifffile.TiffFile) -> ElementTree.Element | None:
    """The parsed OME-XML of a file, None if it has none.

    Raises:
        ValueError: It is no XML.
    """
    if not tiff.is_ome:
        return None
    try:
        return ElementTree.fromstring(tiff.ome_metadata or "")
    except ElementTree.ParseError as error:
        raise ValueError(f"its OME-XML cannot be read: {error}") from error


def ome_pixels(tiff: tifffile.TiffFile, page: Any) -> ElementTree.Element | None:
    """The element that describes a page: of several images the one of its size; None if there is none.

    Raises:
        ValueError: The OME-XML is damaged, or the only image in it has another width or another height.
    """
    root = ome_root(tiff)
    if root is None:
        return None
    images = [element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]
    width, height = int(page.imagewidth), int(page.imagelength)
    said = [(_count(each, "SizeX"), _count(each, "SizeY")) for each in images]
    for element, wh in zip(images, said, strict=True):
        if wh == (width, height):
            return element
    if len(images) == 1 and (said[0][0] == width) != (said[0][1] == height):
        raise ValueError(
            f"its directory says {width} x {height} px, its OME-XML {said[0][0]} x {said[0][1]} px"
        )
    return None


def require_one_plane(pixels: ElementTree.Element, samples: int) -> None:
    """Refuse an image of several planes: focal planes, times, or channels stored apart.

    Args:
        pixels: The element Pixels.
        samples: Channels that a page of the file holds.

    Raises:
        ValueError: There are several.
    """
    channels, depths, times = (_count(pixels, f"Size{axis}") or 1 for axis in "CZT")
    if depths > 1 or times > 1:
        raise ValueError(f"OME-TIFF of {depths} focal plane(s) and {times} time(s); one can be read")
    if channels > samples:
        raise ValueError(
            f"OME-TIFF whose {channels} channels are stored apart, each as an image of its own; read is RGB "
            "in one image"
        )


def _count(pixels: ElementTree.Element, name: str) -> int:
    text = pixels.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
