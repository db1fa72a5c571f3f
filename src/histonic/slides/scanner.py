"""Which scanner made a slide and how its pixels are stored, as far as the file says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

import tifffile

SCANNER_KEYS = (
    ("aperio.ScanScope ID",),
    ("hamamatsu.Product", "hamamatsu.NDP.S/N"),
    ("leica.device-model",),
    ("ventana.UnitNumber",),
    ("mirax.GENERAL.SCANNER_HARDWARE_ID",),
    ("philips.DICOM_MANUFACTURERS_MODEL_NAME", "philips.DICOM_DEVICE_SERIAL_NUMBER"),
    ("dicom.ManufacturerModelName", "dicom.DeviceSerialNumber"),
    ("tiff.Make", "tiff.Model"),
)
"""Properties, as OpenSlide names them, that tell one scanner from another."""
APERIO_FIELD = re.compile(r"\|\s*([^|=]+?)\s*=\s*([^|]*)")
APERIO_QUALITY = re.compile(r"\bQ\s*=\s*(\d+)")


class Scanner(NamedTuple):
    """What a file says of its making; empty where it says nothing."""

    scanner: str = ""
    """Vendor, model and device."""
    storage: str = ""
    """Format and compression of the pixels."""


def openslide_scanner(properties: Mapping[str, str]) -> Scanner:
    """From OpenSlide's properties.

    Example:
        >>> openslide_scanner({"openslide.vendor": "hamamatsu", "hamamatsu.Product": "NanoZoomer XR"})
        Scanner(scanner='hamamatsu NanoZoomer XR', storage='hamamatsu')
    """
    vendor = properties.get("openslide.vendor", "")
    for keys in SCANNER_KEYS:
        said = [properties[key].strip() for key in keys if properties.get(key, "").strip()]
        if said:
            maker = vendor if vendor and not vendor.startswith("generic") else ""
            return Scanner(_words(maker, *said), vendor)
    return Scanner("" if vendor.startswith("generic") else vendor, vendor)


def tiff_scanner(tiff: tifffile.TiffFile, page: Any) -> Scanner:
    """From the slide's page: Aperio's description, OME-XML, or the tags Make and Model."""
    description = str(page.description or "")
    kind = "svs" if page.is_svs else "ome-tiff" if tiff.is_ome else "tiff"
    quality = APERIO_QUALITY.search(description) if page.is_svs else None
    compression = str(getattr(page.compression, "name", page.compression)).lower()
    storage = _words(kind, compression, f"quality {quality.group(1)}" if quality else "")
    if page.is_svs:
        fields = dict(APERIO_FIELD.findall(description))
        return Scanner(_words("aperio", fields.get("ScanScope ID", "")), storage)
    if tiff.is_ome:
        return Scanner(_ome_microscope(tiff.ome_metadata or ""), storage)
    return Scanner(_words(*(str(page.tags.valueof(tag, default="")) for tag in ("Make", "Model"))), storage)


def _ome_microscope(text: str) -> str:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ""
    found = next((each for each in root.iter() if each.tag.endswith("Microscope")), None)
    if found is None:
        return ""
    return _words(*(found.get(key, "") for key in ("Manufacturer", "Model", "SerialNumber")))


def _words(*parts: str) -> str:
    """The parts that say something, in a row; no part twice."""
    said: list[str] = []
    for part in parts:
        plain = " ".join(part.split())
        if plain and plain.lower() not in " ".join(said).lower():
            said.append(plain)
    return " ".join(said)
