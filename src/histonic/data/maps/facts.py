"""The facts of a map: all that is known of it beside its arrays, read without opening these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from histonic.core.compressed import (
    EncoderDescription,
    EncodingDescription,
    MapSettings,
    ReaderDescription,
    SlideDescription,
)
from histonic.core.documents import Part, SealedDocument, is_changed, parse_document, read_values
from histonic.core.errors import SettingsError, StoreError
from histonic.core.grid import TileGrid
from histonic.core.settings import Flaw
from histonic.core.units import Number
from histonic.data.maps.codes import AGAIN, damaged
from histonic.data.maps.integrity import FACTS_FILE, members_hash


class StoredAppearance(Part):
    """What a slide looks like, as :meth:`histonic.slides.likeness.Appearance.to_dict` writes it."""

    rgb: tuple[Number, Number, Number]
    cover: str
    texture: str


class StoredTissue(Part):
    """How much of a slide is tissue.

    Attributes:
        of_area: Area of the tissue, as it was found or given, over the area of the slide, 0 to 1.
        of_cells: Kept cells over all cells of the grid, 0 to 1.
    """

    of_area: Number
    of_cells: Number


class StoredQuality(Part):
    """What spoils the tissue of a slide, and how many cells were left out for it.

    Attributes:
        pen_of_area: Area of pen, borders and shadows over the area of the slide, 0 to 1.
        folds_of_cells: Area of folds and dark spots over the area of the cells of tissue, 0 to 1.
        blurred_of_cells: Cells much less sharp than the median one over those judged, 0 to 1, or None.
        left_out: Cells of tissue that were left out for it, by flaw; each counts once.
    """

    pen_of_area: Number
    folds_of_cells: Number
    blurred_of_cells: Number | None
    left_out: Mapping[Flaw, int]


class MapFacts(SealedDocument):
    """The attributes of a map: all but its arrays.

    Attributes:
        slide_id: Name of the slide in store and tables.
        grid: Geometry of the cells.
        slide: What is known of the slide's file.
        reader: What read the slide.
        appearance: Of the slide; None if there was no picture.
        tissue: How much of the slide is tissue; None in maps of earlier versions, and without a slide file.
        quality: What spoils its tissue; None as well.
        encoder: What made the codes.
        encoding: How its arithmetic was done; None in maps of earlier versions, and of other origin.
        settings: What else the map depends on.
        versions: Of the packages.
        cells: Number of cells that hold a code.
        members: Hash by which exchanged and absent files are noticed when the map is opened.
        content: Hash of all bytes beside these facts.
    """

    FORMAT = "histonic-map-2"

    slide_id: str
    grid: TileGrid
    slide: SlideDescription
    reader: ReaderDescription
    appearance: StoredAppearance | None = None
    tissue: StoredTissue | None = None
    quality: StoredQuality | None = None
    encoder: EncoderDescription
    encoding: EncodingDescription | None = None
    settings: MapSettings
    versions: Mapping[str, str]
    cells: int = 0
    members: str = ""
    content: str = ""

    def made_from(self) -> tuple[Any, ...]:
        """What a map has to have in common with another to hold the same: its slide, and how it was made."""
        slide = self.slide
        given = (slide.fingerprint, slide.mask, slide.given_mpp, slide.default_mpp)
        # Of imported features the reader's note holds the hash; the slide's own file says nothing of them.
        imported = (self.reader, self.grid) if self.encoder.spec.tool else ()
        return (*given, self.encoder.fingerprint, self.settings, *imported)


class _Attributes(MapFacts):
    format: Literal["histonic-map-2"]


class _ZarrGroup(BaseModel):
    """``zarr.json`` of a map, parsed in one go: to open a store is to read those of all its maps."""

    attributes: _Attributes


def read_map_facts(folder: Path) -> MapFacts:
    """The facts of a map without opening its arrays.

    Raises:
        StoreError: The folder holds no complete map of this format.
    """
    path = folder / FACTS_FILE
    try:
        return _ZarrGroup.model_validate_json(path.read_bytes(), strict=True).attributes
    except (OSError, ValueError, SettingsError):
        # The long way says what is wrong.
        return parse_document(MapFacts, _attributes(path), path, StoreError, AGAIN)


def _attributes(path: Path) -> Any:
    values = read_values(path, StoreError, AGAIN)
    return values.get("attributes") if isinstance(values, dict) else None


def read_checked_facts(folder: Path) -> MapFacts:
    """The facts of a map, compared with their own hash and with the files beside them; no chunk is read.

    Raises:
        StoreError: A file is absent, belongs to another map, or the facts were changed.
    """
    facts = read_map_facts(folder)
    if not facts.sha256 or is_changed(_attributes(folder / FACTS_FILE)):
        raise damaged(folder, "Its facts are not those that were written (their hash differs).")
    try:
        found = members_hash(folder)
    except OSError as error:
        raise damaged(folder, f"Its files cannot be read: {error}.") from error
    if found != facts.members:
        raise damaged(folder, "Files of it are absent, added, exchanged or cut off.")
    return facts
