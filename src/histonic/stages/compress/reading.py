"""The reading half of compression: slides in, tissue found, tiles out, each slide's failure handed on."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.core.compressed import ReaderDescription, SlideDescription
from histonic.core.errors import NoTissueError, OutputError, SettingsError, SlideError
from histonic.core.files import replacing_file
from histonic.core.grid import TileGrid
from histonic.core.places.images import HeldSlide
from histonic.core.places.urls import Url
from histonic.core.processes.cores import usable_cores
from histonic.core.processes.prefetch import made_ahead
from histonic.core.processes.threads import mapped_by_threads
from histonic.core.units import WH
from histonic.data.maps.facts import StoredAppearance, StoredTissue
from histonic.data.maps.failures import MOST_ID_BYTES, Failure, names_a_file
from histonic.data.maps.shares import NO_CELL
from histonic.data.maps.store import map_folder, thumbnail_path
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import EncoderSpec
from histonic.slides.base import LevelSlide, Slide, open_slide
from histonic.slides.likeness import appearance_of
from histonic.slides.thumbnail import draw_cells, thumbnail
from histonic.slides.tiles import lay_tiles, walk_tiles
from histonic.slides.tissue.finder import Found
from histonic.slides.tissue.quality import focus_of
from histonic.slides.tissue.rule import TissueMask
from histonic.stages.compress.judging import JudgedCells, judge_cells
from histonic.stages.compress.masks import found_and_hash, hash_of_mask, mask_of
from histonic.stages.compress.settings import MOST_STRIDE, CompressSettings

Stage = Literal["open", "tissue", "stain", "tiles", "encode", "write"]
CORES_FOR_TWO = 4
"""So many cores open and look at two slides ahead."""


@dataclass(frozen=True)
class Opened:
    """A slide whose tiles will follow: its grid, the cells to be filled, facts for its map, its thumbnail.

    Attributes:
        row: The slide.
        grid: Its cells.
        mask: ``(R, K)`` bool, the cells to be filled.
        judged: By its coarse picture.
        slide: Facts for its map.
        reader: What read it.
        note: What its mask needs said; empty for none.
        of_area: Area of the tissue over the area of the slide.
        picture: Its thumbnail, uint8 ``(h, w, 3)``.
        normaliser: What is done to its tiles before they are encoded; None: nothing.
    """

    row: SlideRow
    grid: TileGrid
    mask: npt.NDArray[np.bool_]
    judged: JudgedCells
    slide: SlideDescription
    reader: ReaderDescription
    of_area: float
    picture: npt.NDArray[np.uint8]
    note: str = ""
    normaliser: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] | None = None

    @property
    def appearance(self) -> StoredAppearance:
        """What the slide looks like, of the cells that are filled."""
        return StoredAppearance(**appearance_of(self.picture, self.grid, self.mask).to_dict())

    @property
    def tissue(self) -> StoredTissue:
        """How much of it is tissue, and is filled."""
        return StoredTissue(of_area=self.of_area, of_cells=round(float(self.mask.mean()), 6))

    def draw(self) -> bytes:
        """Its thumbnail with the cells that are filled, as JPEG."""
        return _jpeg(draw_cells(self.picture, self.grid, self.mask))

    def without(self, cells: npt.NDArray[np.bool_]) -> Opened:
        """The same slide, of which some cells are not filled."""
        return replace(self, mask=self.mask & ~cells)


@dataclass(frozen=True)
class Tiles:
    """Cells ``(N, 2)``, their tiles uint8 ``(N, tile_px, tile_px, 3)``, and the tiles' focus ``(N,)``."""

    cells: npt.NDArray[np.int64]
    tiles: npt.NDArray[np.uint8]
    focus: npt.NDArray[np.float32]


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


@dataclass(frozen=True)
class _Prepared:
    """A slide that is open, and what is known of it before its tiles."""

    slide: LevelSlide
    opened: Opened


def read_slides(rows: Iterable[SlideRow], settings: CompressSettings, spec: EncoderSpec) -> Iterator[Event]:
    """Read slides one after the other; of those without tissue the thumbnails are written into the store.

    While tiles of one are read, the next is opened and its tissue found; with four cores or more, the one
    after it, too. So many rows are taken ahead.

    Args:
        rows: The slides.
        settings: Of the compression.
        spec: What the encoder expects.

    Yields:
        Per slide Opened, Tiles as often as needed, Closed; or Failed in place of what could not be had.

    Raises:
        OutputError: The disk is full.
    """
    ahead = 1 if usable_cores() < CORES_FOR_TWO else 2
    prepared = made_ahead(rows, lambda row: _prepare(row, settings, spec), ahead, _close)
    with closing(prepared):  # type: ignore[type-var]
        for each in prepared:
            if isinstance(each, Failed):
                yield each
            else:
                yield from _read_tiles(each, settings)


def _close(prepared: _Prepared | Failed) -> None:
    if isinstance(prepared, _Prepared):
        prepared.slide.close()


def _prepare(row: SlideRow, settings: CompressSettings, spec: EncoderSpec) -> _Prepared | Failed:
    """Open a slide and find its tissue.

    Raises:
        OutputError: The disk is full.
    """
    stage: Stage = "open"
    with ExitStack() as open_till_failure:
        try:
            slide = open_till_failure.enter_context(
                open_slide(row.path, mpp=row.mpp, default_mpp=settings.mpp, reader=settings.reader)
            )
            grid = lay_grid(slide, spec, settings)
            stage = "tissue"
            opened = _look_at(slide, row, grid, settings)
            stage = "stain"
            opened = _with_stains(slide, opened, settings)
            slide.rest()
        except Exception as error:
            if isinstance(error, OutputError) and error.is_full:
                raise
            return Failed(row, stage, error)
        open_till_failure.pop_all()
    return _Prepared(slide, opened)


def _look_at(slide: Slide, row: SlideRow, grid: TileGrid, settings: CompressSettings) -> Opened:
    """All that is known of a slide before its tiles.

    Raises:
        NoTissueError: No cell is kept; its thumbnail is in the store.
    """
    found, mask_hash = look_for_tissue_of(slide, row, settings)
    looks: list[Callable[[], Any]] = [lambda: judge_cells(found, grid, settings), lambda: thumbnail(slide)]
    judged, picture = mapped_by_threads(lambda look: look(), looks, usable_cores())
    opened = Opened(
        row,
        grid,
        judged.kept,
        judged,
        _describe(slide, row, grid, mask_hash, settings),
        ReaderDescription(name=slide.reader, version=slide.reader_version, note=slide.note),
        share_of_area(found.tissue),
        picture,
        found.tissue.note,
    )
    if not judged.kept.any():
        # Beside a map that is there already lies the picture of the tissue that it was made of.
        if not map_folder(settings.folder, row.slide_id).is_dir():
            write_thumbnail(settings.folder, row.slide_id, opened.draw())
        raise no_tissue(row, judged)
    return opened


def _with_stains(slide: Slide, opened: Opened, settings: CompressSettings) -> Opened:
    """The same slide with its stains, where they are to be normalised.

    Raises:
        SlideError: They cannot be.
    """
    wanted = settings.stain.normalisation
    if wanted is None:
        return opened
    from histonic.stages.compress.stains import look_at_stains, normaliser_of  # torch, and only here

    name = opened.row.slide_id if settings.private else str(opened.row.path)
    stain = look_at_stains(slide, name, opened.grid, opened.mask, opened.judged.pen, wanted)
    described = opened.slide.model_copy(update={"stain": stain})
    return replace(opened, slide=described, normaliser=normaliser_of(stain, wanted))


def _read_tiles(prepared: _Prepared, settings: CompressSettings) -> Iterator[Event]:
    """Tiles of an open slide, which is closed in the end."""
    slide, opened = prepared.slide, prepared.opened
    try:
        with slide:
            yield opened
            # Only now: tissue and thumbnail are made of exact means.
            slide.exact_averaging = settings.exact_averaging
            for cells, tiles in walk_tiles(slide, opened.grid, opened.mask, settings.batch):
                # Here, beside the encoder, not between its batches.
                yield Tiles(cells, tiles, focus_of(tiles))
        yield Closed()
    except Exception as error:
        if isinstance(error, OutputError) and error.is_full:
            raise
        yield Failed(opened.row, "tiles", error)


def stride_of(settings: CompressSettings, spec: EncoderSpec) -> int | None:
    """Step from tile to tile in pixels of the tiles; None where tiles touch, however that is said.

    Raises:
        SettingsError: It is given twice, or is so small or large that the map is of no use.

    Example:
        >>> spec = EncoderSpec("a", "nic", tile_px=128, mpp=0.5, code_size=8)
        >>> steps = [{"stride_px": 64}, {"stride_share": 0.5}, {"stride_share": 1.0}, {}]
        >>> [stride_of(CompressSettings(out=Path("store"), **each), spec) for each in steps]
        [64, 64, None, None]
    """
    px, share = settings.stride_px, settings.stride_share
    asked = "Lay tiles with a stride of their own."
    if px is not None and share is not None:
        raise SettingsError(asked, "Both stride_px and stride_share are given.", "Give only one of them.")
    step = px if share is None else max(1, round(share * spec.tile_px))
    if step is None or step == spec.tile_px:
        return None
    if not 1 / MOST_STRIDE <= step / spec.tile_px <= MOST_STRIDE:
        raise SettingsError(
            asked,
            f"{step} px are {step / spec.tile_px:.3g} sides of the encoder's tile of {spec.tile_px} px.",
            f"Give one between a {MOST_STRIDE}th of the side and {MOST_STRIDE} sides.",
        )
    return step


def lay_grid(slide: Slide, spec: EncoderSpec, settings: CompressSettings) -> TileGrid:
    """The grid on which an encoder sees a slide, see :func:`histonic.slides.tiles.lay_tiles`.

    Raises:
        SettingsError: The stride cannot be used.
        MissingMppError: The slide has no mpp.
        SlideError: The slide is coarser than the encoder's tiles by more than the factor allowed.
    """
    if settings.tile_um is None:
        better = "scan it finer, use an encoder for coarser tiles"
    else:
        least = math.ceil(slide.mpp / settings.most_enlargement * spec.tile_px * 100) / 100
        better = f"give a larger --tile-um, of {least:g} or more"
    return lay_tiles(
        slide,
        tile_px=spec.tile_px,
        mpp=spec.mpp,
        stride_px=stride_of(settings, spec),
        most_enlargement=settings.most_enlargement,
        asked=f"Read {slide.name} at {spec.mpp} µm/px for the encoder {spec.name!r}.",
        otherwise=f"Correct its mpp if that is wrong, {better}",
    )


def mask_hash_of(row: SlideRow, settings: CompressSettings) -> str | None:
    """Hash of the mask file that a slide would be read with, None if tissue would be looked for.

    Raises:
        MaskError: There should be a mask file, but it cannot be read; or there should be none.
    """
    path = mask_of(row, settings, settings.masks)
    return None if path is None else hash_of_mask(path, row)


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


def look_for_tissue_of(slide: Slide, row: SlideRow, settings: CompressSettings) -> tuple[Found, str | None]:
    """The tissue of a slide as a compression takes it, and the hash of the mask file that says so, if any.

    Raises:
        MaskError: The mask cannot be used, is absent where every slide needs one, or may not be there.
        UnreadableSlideError: The pixels are damaged.
    """
    return found_and_hash(slide, row, settings, settings.masks)


def share_of_area(tissue: TissueMask) -> float:
    """Area of the tissue over the area of the slide, 0 to 1."""
    return round(float(tissue.mask.mean()), 6)


def no_tissue(row: SlideRow, judged: JudgedCells) -> NoTissueError:
    """The error of a slide on which no cell is kept."""
    if judged.tissue.any():
        flaws = ", ".join(f"{count} for {flaw}" for flaw, count in judged.left_out.items() if count)
        return NoTissueError(
            f"Find tissue on {row.path}.",
            f"{NO_CELL} {int(judged.tissue.sum())} did, and were left out: {flaws}.",
            "Look at it with 'histonic doctor SLIDE --preview', or compress without --leave-out.",
        )
    return NoTissueError(
        f"Find tissue on {row.path}.",
        NO_CELL,
        "Look at it: histonic doctor SLIDE --preview FILE.png. If there is tissue, see that its microns per "
        "pixel are right (small tissue counts as dirt), give a mask, or take all cells: --tissue all.",
    )


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def write_thumbnail(store: Path, slide_id: str, drawn: bytes) -> None:
    """Write the picture of a slide with its kept cells into a store.

    Raises:
        OutputError: It cannot be written.
    """
    with replacing_file(thumbnail_path(store, slide_id)) as partial:
        partial.write_bytes(drawn)


def without_path(failure: Failure, row: SlideRow, masks: Path | None = None) -> Failure:
    """A failure in whose words the slide's identifier stands for its file, and no folder is named."""
    reason = failure.reason
    if isinstance(row.path, Url):
        reason = reason.replace(str(row.path), row.slide_id).replace(row.path.name, row.slide_id)
        return Failure(
            failure.slide_id, failure.slide_id, failure.stage, reason.replace(row.path.host, "(private)")
        )
    if isinstance(row.path, HeldSlide):
        return replace(failure, path=failure.slide_id)
    for path in (row.path, row.path.resolve(), row.mask):
        if path is not None:
            reason = reason.replace(str(path), row.slide_id).replace(path.name, row.slide_id)
    for folder in (masks, row.path.parent, row.path.resolve().parent):
        if folder is not None and len(folder.parts) > 1:
            reason = reason.replace(str(folder), "(private)")
    return Failure(failure.slide_id, failure.slide_id, failure.stage, reason)


def _describe(
    slide: Slide, row: SlideRow, grid: TileGrid, mask_hash: str | None, settings: CompressSettings
) -> SlideDescription:
    default_mpp = settings.mpp
    return SlideDescription(
        file="" if settings.private else row.path.name,
        path="" if settings.private or isinstance(row.path, HeldSlide) else str(row.path),
        fingerprint=slide.fingerprint,
        size_wh=WH(*slide.size_wh),
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        given_mpp=row.mpp,
        default_mpp=default_mpp if slide.mpp_source == "given" and row.mpp is None else None,
        mask=mask_hash,
        names=settings.names,
        scanner=slide.scanner,
        storage=slide.storage,
        enlarged=round(grid.enlarged, 4),
    )
