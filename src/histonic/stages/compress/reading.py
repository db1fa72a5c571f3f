"""The reading half of compression: slides in, tissue found, tiles out, each slide's failure handed on."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.core.compressed import ReaderDescription, SlideDescription
from histonic.core.errors import MaskError, NoTissueError, OutputError, SlideError
from histonic.core.files import hash_of, replacing_file
from histonic.core.grid import TileGrid
from histonic.core.places.urls import Url
from histonic.core.units import WH
from histonic.data.maps.store import MOST_ID_BYTES, Failure, StoredAppearance, names_a_file, thumbnail_path
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import EncoderSpec
from histonic.slides.base import Slide, best_mpp, open_slide
from histonic.slides.likeness import appearance_of
from histonic.slides.masks import read_tissue_mask
from histonic.slides.thumbnail import draw_cells, thumbnail
from histonic.slides.tiles import walk_tiles
from histonic.slides.tissue import TissueMask, TissueRule, cell_coverage, find_tissue
from histonic.stages.compress.settings import CompressSettings

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".geojson")
MOST_ENLARGEMENT = 1.1
Stage = Literal["open", "tissue", "tiles", "encode", "write"]


@dataclass(frozen=True)
class Opened:
    """A slide whose tiles will follow: its grid, the cells to be filled, and the facts for its map."""

    row: SlideRow
    grid: TileGrid
    mask: npt.NDArray[np.bool_]
    slide: SlideDescription
    reader: ReaderDescription
    appearance: StoredAppearance


@dataclass(frozen=True)
class Tiles:
    """Cells ``(N, 2)`` and their tiles uint8 ``(N, tile_px, tile_px, 3)``."""

    cells: npt.NDArray[np.int64]
    tiles: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Closed:
    """All tiles of the slide were given."""


@dataclass(frozen=True)
class Failed:
    """The slide cannot be used, or not to its end."""

    row: SlideRow
    stage: Stage
    error: Exception


Event = Opened | Tiles | Closed | Failed


def read_slides(rows: Iterable[SlideRow], settings: CompressSettings, spec: EncoderSpec) -> Iterator[Event]:
    """Read slides one after the other, and write their thumbnails into the store.

    Args:
        rows: The slides.
        settings: Of the compression.
        spec: What the encoder expects.

    Yields:
        Per slide Opened, Tiles as often as needed, Closed; or Failed in place of what could not be had.

    Raises:
        OutputError: The disk is full.
    """
    for row in rows:
        stage: Stage = "open"
        try:
            with open_slide(row.path, mpp=row.mpp, default_mpp=settings.mpp, reader=settings.reader) as slide:
                grid = lay_grid(slide, spec)
                stage = "tissue"
                tissue, mask_hash = _tissue(slide, row, settings)
                mask = _kept_cells(tissue, grid, settings)
                picture = thumbnail(slide)
                _write_thumbnail(picture, thumbnail_path(settings.out, row.slide_id), grid, mask)
                _require_tissue(row, mask)
                yield Opened(
                    row,
                    grid,
                    mask,
                    _describe(slide, row, mask_hash, settings),
                    ReaderDescription(name=slide.reader, version=slide.reader_version, note=slide.note),
                    StoredAppearance(**appearance_of(picture, grid, mask).to_dict()),
                )
                stage = "tiles"
                for cells, tiles in walk_tiles(slide, grid, mask, settings.batch):
                    yield Tiles(cells, tiles)
            yield Closed()
        except Exception as error:
            if isinstance(error, OutputError) and error.is_full:
                raise
            yield Failed(row, stage, error)


@dataclass(frozen=True)
class Checked:
    """A slide that can be compressed, as far as can be seen without reading its tiles.

    Attributes:
        facts: Size, resolution and where it comes from, reader; what is to be known of how it was read.
        tissue: Share of the slide that is tissue.
    """

    facts: str
    tissue: float


def check_slide(row: SlideRow, settings: CompressSettings, spec: EncoderSpec) -> Checked:
    """Do all that :func:`read_slides` does with a slide before its tiles; nothing is written.

    Args:
        row: The slide.
        settings: Of the compression; its ``out`` is not used.
        spec: What the encoder expects.

    Raises:
        SlideError: The compression would list the slide as failed, for the same reason.
    """
    require_usable_id(row)
    with open_slide(row.path, mpp=row.mpp, default_mpp=settings.mpp, reader=settings.reader) as slide:
        grid = lay_grid(slide, spec)
        tissue, _ = _tissue(slide, row, settings)
        thumbnail(slide)
        _require_tissue(row, _kept_cells(tissue, grid, settings))
        size = f"{slide.size_wh.w}x{slide.size_wh.h} px"
        facts = f"{size}, {slide.mpp:.4g} µm/px ({slide.mpp_source}), reader {slide.reader}"
        return Checked(f"{facts} ({slide.note})" if slide.note else facts, float(tissue.mask.mean()))


def lay_grid(slide: Slide, spec: EncoderSpec) -> TileGrid:
    """The grid on which an encoder sees a slide.

    Tiles are read at the resolution nearest to the encoder's that needs no fractional resampling, if
    it lies within 2 %.

    Raises:
        MissingMppError: The slide has no mpp.
        SlideError: The slide is coarser than the encoder needs by more than a tenth.
    """
    if slide.mpp > spec.mpp * MOST_ENLARGEMENT:
        raise SlideError(
            f"Read {slide.name} at {spec.mpp} µm/px for the encoder {spec.name!r}.",
            f"The slide has only {slide.mpp:.4g} µm/px ({slide.mpp_source}).",
            "Correct its mpp if that is wrong, scan it finer, or use an encoder for coarser tiles.",
        )
    return TileGrid.over(
        slide.size_wh, slide_mpp=slide.mpp, tile_px=spec.tile_px, mpp=best_mpp(slide, spec.mpp)
    )


def mask_hash_of(row: SlideRow, settings: CompressSettings) -> str | None:
    """Hash of the mask file that a slide would be read with, None if tissue would be looked for.

    Raises:
        MaskError: There should be a mask file, but it cannot be read.
    """
    path = _mask_path(row, settings)
    if path is None:
        return None
    try:
        return hash_of(path)
    except OSError as error:
        raise MaskError(
            f"Read the mask {path} of {row.path}.", f"{error.strerror}.", "Check the mask column or --masks."
        ) from error


def _mask_path(row: SlideRow, settings: CompressSettings) -> Path | None:
    if row.mask is not None or settings.masks is None:
        return row.mask
    paths = [settings.masks / f"{row.slide_id}{suffix}" for suffix in MASK_SUFFIXES]
    return next((path for path in paths if path.is_file()), None)


def require_usable_id(row: SlideRow) -> None:
    """Refuse an identifier by which no file of the store could be named.

    Raises:
        SlideError: It is too long, or holds a slash.
    """
    if not names_a_file(row.slide_id):
        raise SlideError(
            f"Compress {row.path}.",
            f"Its slide_id, {len(row.slide_id)} characters, cannot name a file: {row.slide_id[:60]!r}.",
            f"Use an identifier of at most {MOST_ID_BYTES} bytes without slashes, that does not begin with a "
            "point.",
        )


def _tissue(slide: Slide, row: SlideRow, settings: CompressSettings) -> tuple[TissueMask, str | None]:
    path = _mask_path(row, settings)
    if path is not None:
        mask_hash = mask_hash_of(row, settings)
        return read_tissue_mask(path, slide), mask_hash
    return find_tissue(slide, TissueRule.of(settings.tissue)), None


def _kept_cells(tissue: TissueMask, grid: TileGrid, settings: CompressSettings) -> npt.NDArray[np.bool_]:
    return cell_coverage(tissue, grid) >= settings.tissue.min_cell_share


def _require_tissue(row: SlideRow, mask: npt.NDArray[np.bool_]) -> None:
    if not mask.any():
        raise NoTissueError(
            f"Find tissue on {row.path}.",
            "No cell holds enough tissue.",
            "Look at its thumbnail in the store; if there is tissue, give a mask.",
        )


def _write_thumbnail(
    picture: npt.NDArray[np.uint8], path: Path, grid: TileGrid, mask: npt.NDArray[np.bool_]
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(draw_cells(picture, grid, mask)).save(buffer, "JPEG", quality=80)
    with replacing_file(path) as partial:
        partial.write_bytes(buffer.getvalue())


def without_path(failure: Failure, row: SlideRow) -> Failure:
    """A failure in whose words the slide's identifier stands for its file."""
    reason = failure.reason
    if isinstance(row.path, Url):
        reason = reason.replace(str(row.path), row.slide_id).replace(row.path.name, row.slide_id)
        return Failure(
            failure.slide_id, failure.slide_id, failure.stage, reason.replace(row.path.host, "(private)")
        )
    for path in (row.path, row.path.resolve(), row.mask):
        if path is not None:
            reason = reason.replace(str(path), row.slide_id).replace(path.name, row.slide_id)
    for folder in (row.path.parent, row.path.resolve().parent):
        if len(folder.parts) > 1:
            reason = reason.replace(str(folder), "(private)")
    return Failure(failure.slide_id, failure.slide_id, failure.stage, reason)


def _describe(
    slide: Slide, row: SlideRow, mask_hash: str | None, settings: CompressSettings
) -> SlideDescription:
    default_mpp = settings.mpp
    return SlideDescription(
        file="" if settings.private else row.path.name,
        path="" if settings.private else str(row.path),
        fingerprint=slide.fingerprint,
        size_wh=WH(*slide.size_wh),
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        given_mpp=row.mpp,
        default_mpp=default_mpp if slide.mpp_source == "given" and row.mpp is None else None,
        mask=mask_hash,
        scanner=slide.scanner,
        storage=slide.storage,
    )
