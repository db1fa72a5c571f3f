"""Writing a tiled pyramidal TIFF or OME-TIFF that OpenSlide and QuPath open, band by band."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import tifffile

from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file
from histonic.slides.resample import average_blocks

UInt8Image = npt.NDArray[np.uint8]
LEVEL_FACTOR = 4
SMALLEST_SIDE_PX = 512
ENCODING_THREADS = 2
# Pixels that wait for the encoder; the default of tifffile, 256 MB, is most of the memory of a run.
BUFFER_BYTES = 2**25
# At the best quality a pixel can take more than a byte, and a plain TIFF ends at 4 GiB.
BIG_PIXELS = 2**31
# Without loss a pixel takes up to three bytes, and coarser copies add a fifteenth.
BIG_OME_PIXELS = 2**30
DEFLATE_LEVEL = 6
TILE_PX = 256
MICRONS_PER_CM = 10_000.0


def write_pyramid(
    path: str | Path,
    image: UInt8Image | Iterable[UInt8Image],
    *,
    mpp: float,
    size_wh: tuple[int, int] | None = None,
    quality: int | None = 80,
    ome_xml: str | None = None,
) -> None:
    """Write a slide as tiles with coarser copies at a quarter, a sixteenth ... of the size.

    The same pixels give the same bytes. Memory is that of one row of tiles, whatever the size.

    With OME-XML it is an OME-TIFF. Its coarser copies are sub-images of the slide, where QuPath looks for
    them, and pages of the file as well, where OpenSlide does; the pixels are stored once.

    Args:
        path: The ``.tif`` file.
        image: uint8 ``(H, W, 3)``, or bands of rows ``(h, W, 3)`` from top to bottom.
        mpp: Microns per pixel, written as resolution tags.
        size_wh: Width and height; needed for bands.
        quality: JPEG quality, 1 to 100; above 95, of OME-TIFF from 90 on, colours keep their full resolution.
            None stores without loss (deflate).
        ome_xml: What OME-XML is to say of it, see :func:`histonic.slides.formats.tiff_ome.write_ome`.

    Raises:
        SettingsError: Bands without a size, or bands that do not make up that size.
        OutputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_pyramid(f"{folder}/a.tif", np.zeros((600, 800, 3), np.uint8), mpp=0.5)
    """
    if isinstance(image, np.ndarray):
        size_wh = (image.shape[1], image.shape[0])
        bands: Iterable[UInt8Image] = _bands_of(image, TILE_PX)
    elif size_wh is None:
        raise SettingsError(f"Write {path} from bands.", "Their size is not given.", "Give size_wh.")
    else:
        bands = image
    with replacing_file(path) as partial:
        # Coarser copies wait beside the slide: where it fits they do, and /tmp may be small.
        scratch = partial.with_suffix(".levels")
        scratch.mkdir()
        try:
            _write(partial, bands, size_wh, mpp, quality, ome_xml, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if ome_xml is not None:
            _list_levels_as_pages(partial)


def _write(
    path: Path,
    bands: Iterable[UInt8Image],
    wh: tuple[int, int],
    mpp: float,
    quality: int | None,
    ome_xml: str | None,
    scratch: Path,
) -> None:
    whs = level_sizes(wh)
    big = wh[0] * wh[1] > (BIG_PIXELS if ome_xml is None else BIG_OME_PIXELS)
    with tifffile.TiffWriter(path, bigtiff=big, ome=False) as writer:
        for level, wh in enumerate(whs):
            last = level == len(whs) - 1
            # A coarser level is kept on the disk until its turn comes; mapped, it would count as memory.
            stored = scratch / f"{level}.raw"
            first: dict[str, Any] = {"description": ome_xml, "subifds": len(whs) - 1}
            with nullcontext() if last else stored.open("wb") as coarse:
                writer.write(
                    _tiles(_regroup(bands, wh), wh, coarse),
                    **_storage(wh, mpp * LEVEL_FACTOR**level, quality, 96 if ome_xml is None else 90),
                    subfiletype=1 if level else 0,
                    **(first if ome_xml is not None and level == 0 else {}),
                )
            if not last:
                bands = _stored_bands(stored, whs[level + 1], TILE_PX)


def level_sizes(wh: tuple[int, int]) -> list[tuple[int, int]]:
    """Width and height of all levels of a pyramid, finest first.

    Example:
        >>> level_sizes((9000, 5000))
        [(9000, 5000), (2250, 1250), (562, 312)]
    """
    found = [wh]
    while max(found[-1]) > SMALLEST_SIDE_PX:
        coarser = (found[-1][0] // LEVEL_FACTOR, found[-1][1] // LEVEL_FACTOR)
        if min(coarser) < SMALLEST_SIDE_PX // LEVEL_FACTOR:
            break
        found.append(coarser)
    return found


def _storage(wh: tuple[int, int], mpp: float, quality: int | None, full_colour: int) -> dict[str, Any]:
    """What the writer is told of a level; ``full_colour`` is the quality that leaves colours whole."""
    resolution = MICRONS_PER_CM / mpp
    lossy: dict[str, Any] = {
        "compression": "jpeg",
        "compressionargs": {"level": quality},
        "subsampling": (1, 1) if quality is not None and quality >= full_colour else (2, 2),
    }
    lossless = {"compression": "deflate", "compressionargs": {"level": DEFLATE_LEVEL}, "predictor": True}
    return {
        "shape": (wh[1], wh[0], 3),
        "dtype": np.uint8,
        "tile": (TILE_PX, TILE_PX),
        "photometric": "rgb",
        **(lossless if quality is None else lossy),
        "resolution": (resolution, resolution),
        "resolutionunit": "CENTIMETER",
        "software": False,
        "metadata": None,
        "maxworkers": ENCODING_THREADS,
        "buffersize": BUFFER_BYTES,
    }


def _list_levels_as_pages(path: Path) -> None:
    """Let each directory point to that of the next coarser level: the same directories, reached both ways."""
    with tifffile.TiffFile(path) as tiff:
        order = tiff.byteorder
        # A directory is the number of its entries, the entries, and the place of the next one.
        count, entry, place = ("Q", 20, "Q") if tiff.is_bigtiff else ("H", 12, "I")
        first: Any = tiff.pages[0]
        offsets = [first.offset, *(first.subifds or ())]
    with path.open("r+b") as file:
        for offset, following in itertools.pairwise(offsets):
            file.seek(offset)
            (entries,) = struct.unpack(order + count, file.read(struct.calcsize(order + count)))
            file.seek(entries * entry, os.SEEK_CUR)
            file.write(struct.pack(order + place, following))


def _bands_of(image: UInt8Image, rows: int) -> Iterator[UInt8Image]:
    for top in range(0, len(image), rows):
        yield image[top : top + rows]


def _stored_bands(path: Path, wh: tuple[int, int], rows: int) -> Iterator[UInt8Image]:
    """Bands of a level that :func:`_reduce_into` wrote."""
    with path.open("rb") as file:
        while data := file.read(rows * wh[0] * 3):
            yield np.frombuffer(data, np.uint8).reshape(-1, wh[0], 3)


def _regroup(bands: Iterable[UInt8Image], wh: tuple[int, int]) -> Iterator[UInt8Image]:
    """Bands of any height to bands of ``TILE_PX`` rows, the last one maybe lower."""
    waiting = np.empty((0, wh[0], 3), np.uint8)
    seen = 0
    for band in bands:
        if band.dtype != np.uint8 or band.ndim != 3 or band.shape[1:] != (wh[0], 3):
            raise _wrong_band(f"a band is {band.dtype} {band.shape}", wh)
        seen += len(band)
        if seen > wh[1]:
            raise _wrong_band(f"the bands have {seen} rows or more", wh)
        waiting = np.concatenate([waiting, band]) if len(waiting) else band
        # The last rows wait for the end of the bands: the writer stops asking once it has all its tiles.
        while len(waiting) > TILE_PX:
            yield waiting[:TILE_PX]
            waiting = waiting[TILE_PX:]
    if seen != wh[1]:
        raise _wrong_band(f"the bands have {seen} rows", wh)
    if len(waiting):
        yield waiting


def _wrong_band(found: str, wh: tuple[int, int]) -> SettingsError:
    return SettingsError(
        f"Write a slide of {wh[0]} x {wh[1]} pixels from bands.", f"{found}.", "Give uint8 bands (h, W, 3)."
    )


def _tiles(bands: Iterator[UInt8Image], wh: tuple[int, int], coarse: BinaryIO | None) -> Iterator[UInt8Image]:
    """Tiles in storage order, filled up with white at the border; the coarser copy is filled on the way."""
    for band in bands:
        if coarse is not None:
            _reduce_into(coarse, band)
        for left in range(0, wh[0], TILE_PX):
            tile = band[:, left : left + TILE_PX]
            if tile.shape[:2] != (TILE_PX, TILE_PX):
                whole = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
                whole[: tile.shape[0], : tile.shape[1]] = tile
                tile = whole
            yield np.ascontiguousarray(tile)


def _reduce_into(coarse: BinaryIO, band: UInt8Image) -> None:
    """Append the averaged rows of a band; what is left over at the right and lower border has no copy."""
    rows, cols = len(band) // LEVEL_FACTOR, band.shape[1] // LEVEL_FACTOR
    if rows > 0:
        part = band[: rows * LEVEL_FACTOR, : cols * LEVEL_FACTOR]
        coarse.write(average_blocks(part, LEVEL_FACTOR).tobytes())
