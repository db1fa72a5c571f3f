"""Writing a tiled pyramidal TIFF that OpenSlide and QuPath open, band by band."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

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
TILE_PX = 256
MICRONS_PER_CM = 10_000.0


def write_pyramid(
    path: str | Path,
    image: UInt8Image | Iterable[UInt8Image],
    *,
    mpp: float,
    size_wh: tuple[int, int] | None = None,
    quality: int = 80,
) -> None:
    """Write a slide as JPEG tiles with coarser copies at a quarter, a sixteenth ... of the size.

    The same pixels give the same bytes. Memory is that of one row of tiles, whatever the size.

    Args:
        path: The ``.tif`` file.
        image: uint8 ``(H, W, 3)``, or bands of rows ``(h, W, 3)`` from top to bottom.
        mpp: Microns per pixel, written as resolution tags.
        size_wh: Width and height; needed for bands.
        quality: JPEG quality, 1 to 100; above 95 colours keep their full resolution.

    Raises:
        SettingsError: Bands without a size, or bands that do not make up that size.
        OutputError: The file cannot be written.

    Example:
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
    with replacing_file(path) as partial, tempfile.TemporaryDirectory() as scratch:
        _write(partial, bands, size_wh, mpp, quality, Path(scratch))


def _write(
    path: Path,
    bands: Iterable[UInt8Image],
    wh: tuple[int, int],
    mpp: float,
    quality: int,
    scratch: Path,
) -> None:
    with tifffile.TiffWriter(path, bigtiff=wh[0] * wh[1] > BIG_PIXELS) as writer:
        level = 0
        while True:
            coarse_wh = (wh[0] // LEVEL_FACTOR, wh[1] // LEVEL_FACTOR)
            last = min(coarse_wh) < SMALLEST_SIDE_PX // LEVEL_FACTOR or max(wh) <= SMALLEST_SIDE_PX
            # A coarser level is kept on the disk until its turn comes; mapped, it would count as memory.
            stored = scratch / f"{level}.raw"
            with nullcontext() if last else stored.open("wb") as coarse:
                _write_level(
                    writer,
                    _regroup(bands, wh),
                    wh,
                    mpp * LEVEL_FACTOR**level,
                    quality,
                    coarse,
                    level,
                )
            if last:
                return
            wh, level = coarse_wh, level + 1
            bands = _stored_bands(stored, wh, TILE_PX)


def _write_level(
    writer: tifffile.TiffWriter,
    bands: Iterator[UInt8Image],
    wh: tuple[int, int],
    mpp: float,
    quality: int,
    coarse: BinaryIO | None,
    level: int,
) -> None:
    resolution = MICRONS_PER_CM / mpp
    writer.write(
        _tiles(bands, wh, coarse),
        shape=(wh[1], wh[0], 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": quality},
        subsampling=(1, 1) if quality > 95 else (2, 2),
        subfiletype=1 if level else 0,
        resolution=(resolution, resolution),
        resolutionunit="CENTIMETER",
        software=False,
        metadata=None,
        maxworkers=ENCODING_THREADS,
        buffersize=BUFFER_BYTES,
    )


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
