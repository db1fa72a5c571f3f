"""What is known of the slides behind features: from a table, and from the slide files that it names."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.core.compressed import SlideDescription
from histonic.core.errors import HistonicError, SlideError, TableError
from histonic.core.grid import TileGrid
from histonic.core.units import MPP_TOLERANCE, WH
from histonic.data.exchange.tile_features import TileFeatures
from histonic.data.maps.facts import StoredAppearance
from histonic.data.names import path_name, slide_name
from histonic.data.tables.files import TextTable, read_table
from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.numbers import column_numbers
from histonic.data.tables.styles import name_columns
from histonic.data.tables.values import is_missing
from histonic.slides.base import open_slide
from histonic.slides.likeness import appearance_of
from histonic.slides.thumbnail import draw_cells, thumbnail
from histonic.stages.exchange.settings import ImportFeaturesSettings


@dataclass(frozen=True)
class SlideEntry:
    """What a slide table says of one slide: microns per pixel of level 0, and its file."""

    mpp: float | None = None
    path: Path | None = None


@dataclass(frozen=True)
class KnownSlide:
    """What is known of the slide behind the features.

    Attributes:
        mpp: Microns per pixel of level 0; None if nobody says.
        slide_wh: Size of level 0; None if nobody says.
        description: For the map; its fingerprint is empty if no slide file was opened.
        picture: uint8 ``(h, w, 3)`` of the whole slide, if its file was opened.
        note: What is to be said of it.
    """

    mpp: float | None
    slide_wh: WH | None
    description: SlideDescription
    picture: npt.NDArray[np.uint8] | None = None
    note: str = ""

    def appearance(self, grid: TileGrid, mask: npt.NDArray[np.bool_]) -> StoredAppearance | None:
        """What the slide looks like where tiles are; None without a picture."""
        if self.picture is None:
            return None
        return StoredAppearance(**appearance_of(self.picture, grid, mask).to_dict())

    def drawn(self, grid: TileGrid, mask: npt.NDArray[np.bool_]) -> bytes | None:
        """Its picture with the cells that hold tiles, as JPEG; None without a picture."""
        if self.picture is None:
            return None
        buffer = io.BytesIO()
        Image.fromarray(draw_cells(self.picture, grid, mask)).save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def read_entries(settings: ImportFeaturesSettings) -> dict[str, SlideEntry]:
    """The rows of the slide table by the slide's name; none without a table.

    Raises:
        TableError: It names no slides, a slide twice, or a cell is no resolution.
    """
    if settings.slides is None:
        return {}
    table = read_table(settings.slides, sheet=settings.slide_sheet)
    named = name_columns(table.columns, "auto", file=table.path)
    if not {"slide_id", "path"} & set(named):
        raise TableError(
            f"Read the slides of the table {table.path}.",
            f"It has neither a column slide_id nor path; its columns are {', '.join(table.columns)}.",
            "Name the column with the slides slide_id.",
        )
    numbers = _resolutions(table, named.get("mpp"))
    called = slide_name if settings.names == "file" else path_name
    found: dict[str, SlideEntry] = {}
    for row, cells in table.frame.iterrows():
        name = cells[named["slide_id"]] if "slide_id" in named else ""
        path = cells[named["path"]] if "path" in named else ""
        slide_id = slide_name(name) if not is_missing(name) else called(path)
        if slide_id in found:
            raise TableError(
                f"Read the slides of the table {table.path}.",
                f"Row {row} names the slide {slide_id!r} a second time.",
                "Leave one of them out.",
            )
        place = None if is_missing(path) else table.path.parent / path
        found[slide_id] = SlideEntry(numbers.get(row_of(row)), place)
    return found


def _resolutions(table: TextTable, column: str | None) -> Mapping[int, float]:
    if column is None:
        return {}
    given = {row_of(row): cell for row, cell in table.frame[column].items() if not is_missing(cell)}
    numbers = column_numbers(table, given).values
    for row, text in given.items():
        if not numbers.get(row, 0.0) > 0:
            raise TableError(
                f"Read the resolutions of the table {table.path}.",
                f"Row {row}, column {column!r} is {text!r}.",
                "Give microns per pixel of the full resolution, such as 0.25, or leave the cell empty.",
            )
    return numbers


def know_slide(
    features: TileFeatures, entry: SlideEntry | None, settings: ImportFeaturesSettings
) -> KnownSlide:
    """Put together what is known of a slide.

    Microns per pixel come from the table, else from the slide's own file, the features, ``--mpp``, or (only
    if it was asked for) from the magnification.

    Raises:
        SlideError: The slide's file is another one than that of the features: its size differs.
    """
    given = None if entry is None else entry.mpp
    if entry is not None and entry.path is not None and not entry.path.is_file():
        raise SlideError(
            f"Import the slide {features.slide_id!r}.",
            f"The slide table names {entry.path}, where no file is.",
            "Correct the path, or leave the cell empty.",
        )
    if entry is not None and entry.path is not None and entry.path.is_file():
        return _opened(features, entry.path, given, settings)
    mpp, source, note, guessed = given, "given", "", None
    if given is not None and _differ(given, features.slide_mpp):
        note = f"the table's {given:g} µm/px is used, its features say {features.slide_mpp:g}"
    if mpp is None and features.slide_mpp is not None:
        mpp, source = features.slide_mpp, "features"
    if mpp is None and settings.mpp is not None:
        mpp, guessed = settings.mpp, settings.mpp
    if mpp is None and settings.mpp_from_magnification and features.magnification is not None:
        mpp, source = 10 / features.magnification, "guessed from the magnification"
        note = f"{mpp:g} µm/px is a guess from its magnification {features.magnification:g}"
    description = SlideDescription(
        size_wh=features.slide_wh,
        mpp=mpp,
        mpp_source=source if mpp is not None else "",
        given_mpp=given,
        default_mpp=guessed,
        names=settings.names,
    )
    return KnownSlide(mpp, features.slide_wh, description, None, note)


def level0_mpp(
    features: TileFeatures, entry: SlideEntry | None, settings: ImportFeaturesSettings
) -> float | None:
    """Microns per pixel of level 0 as :func:`know_slide` finds them; None where it finds none."""
    if entry is not None and entry.path is not None and entry.path.is_file():
        default = features.slide_mpp or settings.mpp
        try:
            with open_slide(entry.path, mpp=entry.mpp, default_mpp=default) as slide:
                return float(slide.mpp)
        except HistonicError:
            return None  # told when the slide's turn comes
    guess = None
    if settings.mpp_from_magnification and features.magnification is not None:
        guess = 10 / features.magnification
    return (entry.mpp if entry else None) or features.slide_mpp or settings.mpp or guess


def _opened(
    features: TileFeatures, path: Path, given: float | None, settings: ImportFeaturesSettings
) -> KnownSlide:
    note = ""
    try:
        with open_slide(path, mpp=given, default_mpp=features.slide_mpp or settings.mpp) as slide:
            size, mpp = WH(*slide.size_wh), float(slide.mpp)
            description = SlideDescription(
                file=path.name,
                path=str(path),
                fingerprint=slide.fingerprint,
                size_wh=size,
                mpp=slide.mpp,
                mpp_source=slide.mpp_source,
                given_mpp=given,
                default_mpp=settings.mpp if slide.mpp_source == "given" and given is None else None,
                names=settings.names,
                scanner=slide.scanner,
                storage=slide.storage,
            )
            picture = thumbnail(slide)
    except HistonicError as error:
        raise SlideError(
            f"Open the slide of {features.slide_id!r}: {path}.",
            error.found,
            f"{error.todo} Or take its path out of the table: features can be imported without slides.",
        ) from error
    own = features.slide_wh
    # Sizes that a tool computed from a coarser level may be off by a few pixels.
    if own is not None and any(abs(a - b) > max(64, 0.005 * a) for a, b in zip(own, size, strict=True)):
        raise SlideError(
            f"Import the slide {features.slide_id!r} from {features.path}.",
            f"Its features are of a slide of {own.w} x {own.h} px, {path} has {size.w} x {size.h} px.",
            "Name the slide of the features, or extract them again.",
        )
    if _differ(mpp, features.slide_mpp):
        note = f"{path.name} says {mpp:g} µm/px, its features {features.slide_mpp:g}; the former is used"
    return KnownSlide(mpp, size, description, picture, note)


def _differ(mpp: float, other: float | None) -> bool:
    return other is not None and abs(mpp / other - 1) > MPP_TOLERANCE
