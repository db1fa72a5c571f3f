"""One stored image of a TIFF file: where its tiles lie and how they are decoded to RGB."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.core.units import WH
from histonic.slides.base import NotMine

Block = npt.NDArray[np.uint8]
JPEG = 7
JPEG2000_YCBCR = 33003
PROBES = 3
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Adobe's APP14 marker with colour transform 0: the three components are red, green and blue.
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


@dataclass
class TiffLevel:
    """A tiled or striped page with uint8 samples.

    Attributes:
        page: The page as tifffile describes it.
        path: The file, for messages.
        wh: Size in pixels.
        block_wh: Size of a stored tile or strip.
        fast_jpeg: Whether simplejpeg was seen to give the pixels that tifffile gives.
        end_of_data: First byte behind the last stored tile.
    """

    page: Any
    path: str
    wh: WH = field(init=False)
    block_wh: WH = field(init=False)
    fast_jpeg: bool = field(init=False, default=False)
    end_of_data: int = field(init=False)

    def __post_init__(self) -> None:
        page = self.page
        self.wh = WH(int(page.imagewidth), int(page.imagelength))
        if page.is_tiled:
            self.block_wh = WH(int(page.tilewidth), int(page.tilelength))
        else:
            self.block_wh = WH(self.wh.w, min(int(page.rowsperstrip), self.wh.h))
        self._planes = int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
        self._offsets = np.array(page.dataoffsets, np.int64)
        self._sizes = np.array(page.databytecounts, np.int64)
        if min(len(self._offsets), len(self._sizes)) < self.count * self._planes:
            raise NotMine(f"its directory lists fewer stored tiles than {self.wh.w} x {self.wh.h} px need")
        self.end_of_data = int((self._offsets + self._sizes)[self._sizes > 0].max(initial=0))
        self._head = b""
        if int(page.compression) == JPEG and page.is_tiled and self._planes == 1:
            self.fast_jpeg = self._simplejpeg_agrees()

    @property
    def columns(self) -> int:
        """Stored tiles in a row."""
        return math.ceil(self.wh.w / self.block_wh.w)

    @property
    def rows(self) -> int:
        """Rows of stored tiles."""
        return math.ceil(self.wh.h / self.block_wh.h)

    @property
    def count(self) -> int:
        """Number of stored tiles of one plane."""
        return self.columns * self.rows

    def offset(self, index: int) -> int:
        """Where a stored tile begins in the file."""
        return int(self._offsets[index])

    @property
    def block_bytes(self) -> int:
        """Bytes of a decoded stored tile."""
        return self.block_wh.w * self.block_wh.h * 3

    def is_missing(self, index: int) -> bool:
        """Whether nothing is stored for a tile; scanners leave out tiles of empty glass."""
        return not self._sizes[index]

    def first_stored(self) -> int | None:
        """The first stored tile with data, None if there is none."""
        stored = np.flatnonzero(self._sizes[: self.count])
        return int(stored[0]) if len(stored) else None

    def decode(self, index: int) -> Block:
        """A stored tile as RGB, uint8 ``(h, w, 3)``; a tile without data is white.

        Raises:
            UnreadableSlideError: The data are damaged.
        """
        try:
            planes = [self._decode_segment(index + plane * self.count) for plane in range(self._planes)]
        except (ValueError, RuntimeError, OSError, TypeError, IndexError, tifffile.TiffFileError) as error:
            raise UnreadableSlideError(
                f"Decode stored tile {index} of {self.path}.",
                f"{type(error).__name__}: {' '.join(str(error).split())}.",
                "The file is damaged: copy or scan it again.",
            ) from error
        samples = planes[0] if self._planes == 1 else np.concatenate(planes, axis=2)
        if int(self.page.compression) == JPEG2000_YCBCR and not self.is_missing(index):
            samples = _ycbcr_to_rgb(samples)
        return _to_rgb(samples, int(self.page.photometric), self.page.extrasamples)

    def _segment(self, index: int) -> bytes:
        count = int(self._sizes[index])
        data = read_at(self.page.parent.filehandle, self.offset(index), count)
        if len(data) < count:
            raise ValueError("the file ends within this tile")
        return data

    def _decode_segment(self, index: int) -> Block:
        if self.is_missing(index):
            samples = int(self.page.samplesperpixel) // self._planes
            white = 0 if int(self.page.photometric) == 0 else 255
            return np.full((self.block_wh.h, self.block_wh.w, samples), white, np.uint8)
        data = self._segment(index)
        if self.fast_jpeg:
            return self._decode_simplejpeg(data, self._head)
        return self._decode_tifffile(data, index)

    def _decode_tifffile(self, data: bytes, index: int) -> Block:
        segment, _, _ = self.page.decode(
            data, index, jpegtables=self.page.jpegtables, jpegheader=self.page.jpegheader
        )
        if segment is None:
            raise ValueError("the tile is empty")
        return np.asarray(segment[0])

    def _decode_simplejpeg(self, data: bytes, head: bytes) -> Block:
        pixels: Block = simplejpeg.decode_jpeg(head + data[len(JPEG_START) :], colorspace="RGB")
        return pixels

    def _simplejpeg_agrees(self) -> bool:
        """Try both decoders on some tiles: how colours are stored is not told reliably by the header.

        Tables and image are two JPEG streams, joined without the end of the one and the start of the other.
        A stream of RGB says so only in the TIFF directory; for simplejpeg a marker is put in.
        """
        tables = self.page.jpegtables
        joined = tables[len(JPEG_START) : -len(JPEG_END)] if tables else b""
        try:
            probes = [(self._segment(index), index) for index in self._probes()]
            wanted = [self._decode_tifffile(data, index) for data, index in probes]
        except (ValueError, RuntimeError, OSError, TypeError):
            return False
        for head in (JPEG_START + joined, JPEG_START + ADOBE_RGB + joined):
            if probes and self._agrees([data for data, _ in probes], wanted, head):
                self._head = head
                return True
        return False

    def _probes(self) -> list[int]:
        """The stored tiles with most data, where a wrong colour transform shows, and one in the middle."""
        stored = np.flatnonzero(self._sizes)
        if not len(stored):
            return []
        largest = stored[np.argsort(-self._sizes[stored], kind="stable")[: PROBES - 1]]
        return sorted({int(stored[len(stored) // 2]), *(int(index) for index in largest)})

    def _agrees(self, data: list[bytes], wanted: list[Block], head: bytes) -> bool:
        try:
            found = [self._decode_simplejpeg(each, head) for each in data]
        except (ValueError, RuntimeError, TypeError):
            return False
        return all(np.array_equal(ours, theirs) for ours, theirs in zip(found, wanted, strict=True))


def read_at(handle: Any, offset: int, count: int) -> bytes:
    """Bytes of an open file from ``offset`` on; threads may read at the same time."""
    if hasattr(os, "pread"):
        return os.pread(handle.fileno(), count, offset)
    with handle.lock:
        handle.seek(offset)
        return bytes(handle.read(count))


def _share(factor: float, unit: int = 1) -> npt.NDArray[np.int64]:
    """``factor`` times each of the 256 chroma values in 1/``unit``, halves rounded away from zero."""
    values = factor * unit * (np.arange(256) - 128)
    away: npt.NDArray[np.int64] = np.copysign(np.floor(np.abs(values) + 0.5), values).astype(np.int64)
    return away


# Green gets two shares, which are rounded together.
FINE = 65_536
RED_OF_CR = _share(1.402).astype(np.int16)
BLUE_OF_CB = _share(1.772).astype(np.int16)
GREEN_OF_CB = _share(-0.34414, FINE) + FINE // 2
GREEN_OF_CR = _share(-0.71414, FINE)


def _ycbcr_to_rgb(samples: Block) -> Block:
    """Luma and chroma to RGB as in JFIF; Aperio's JPEG 2000 streams do not carry the transform."""
    luma, blue, red = samples[..., 0].astype(np.int16), samples[..., 1], samples[..., 2]
    green = (GREEN_OF_CB[blue] + GREEN_OF_CR[red]) // FINE
    rgb = np.stack([luma + RED_OF_CR[red], luma + green.astype(np.int16), luma + BLUE_OF_CB[blue]], axis=-1)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _to_rgb(samples: Block, photometric: int, extrasamples: tuple[int, ...]) -> Block:
    """Grey to three channels, alpha onto white."""
    if samples.ndim == 2:
        samples = samples[..., None]
    if photometric == 0:
        samples = 255 - samples
    if samples.shape[2] == 1:
        return np.repeat(samples, 3, axis=2)
    if samples.shape[2] >= 4 and extrasamples and int(extrasamples[0]) in (1, 2):
        alpha = samples[..., 3:4].astype(np.uint16)
        return ((samples[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return samples[..., :3]
