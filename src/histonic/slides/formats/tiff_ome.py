"""OME-XML of an image in a TIFF file, read and written: its size, its planes, its microns per pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import tifffile

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
FACTS = "histonic.conversion"
"""Namespace of what a conversion keeps beside the image."""


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


def write_ome(name: str, size_wh: tuple[int, int], mpp: float, facts: Mapping[str, str]) -> str:
    """OME-XML of one RGB image, as ASCII.

    Args:
        name: Of the image.
        size_wh: Width and height in pixels.
        mpp: Microns per pixel.
        facts: What else is to be kept, by name; :func:`ome_facts` reads it.
    """
    wide, high = size_wh
    pairs = "".join(f"<M K={quoteattr(key)}>{escape(value)}</M>" for key, value in facts.items())
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{SCHEMA}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{SCHEMA} {SCHEMA}/ome.xsd">'
        f'<Image ID="Image:0" Name={quoteattr(name)}>'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SignificantBits="8" Interleaved="true" '
        f'BigEndian="false" SizeX="{wide}" SizeY="{high}" SizeC="3" SizeZ="1" SizeT="1" '
        f'PhysicalSizeX="{mpp:.9g}" PhysicalSizeY="{mpp:.9g}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image>"
        f'<StructuredAnnotations><MapAnnotation ID="Annotation:0" Namespace="{FACTS}"><Value>{pairs}</Value>'
        "</MapAnnotation></StructuredAnnotations></OME>"
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()


def ome_facts(tiff: tifffile.TiffFile) -> dict[str, str]:
    """The facts that :func:`write_ome` kept in a file; empty if it kept none.

    Raises:
        ValueError: The OME-XML is damaged.
    """
    root = ome_root(tiff)
    maps = [] if root is None else root.iterfind(f".//{{*}}MapAnnotation[@Namespace='{FACTS}']")
    return {pair.get("K", ""): pair.text or "" for each in maps for pair in each.iterfind(".//{*}M")}


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
