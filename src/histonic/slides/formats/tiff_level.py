"""One stored image of a TIFF file: where its tiles lie, whether they make sense, how they become RGB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.core.units import WH
from histonic.slides.damage import BROKEN, SMALL_BYTES, can_come_from
from histonic.slides.formats.codestreams import stored_size
from histonic.slides.formats.tiff_colours import Colours, colours_of
from histonic.slides.formats.tiff_pages import damaged
from histonic.slides.formats.tiled import JPEG_REDUCTIONS, TiledLevel, reduced
from histonic.slides.sources.places import Source
from histonic.slides.sources.remote import RemoteFile
from histonic.slides.sources.spans import NearReads, read_at

Block = npt.NDArray[np.uint8]
Read = Callable[[int, int], bytes]
"""Bytes of the file from an offset on, so many."""
UNCOMPRESSED, JPEG = 1, 7
# LZW, deflate, PackBits, LZMA, Zstandard: decoded to bytes, not to a picture.
PLAIN_BYTES = (5, 8, 32946, 32773, 34925, 50000)
PROBES = 3
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Adobe's APP14 marker with colour transform 0: the three components are red, green and blue.
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
HEADER_BYTES = 8
LEAST_BYTES = 16
"""Of a stored tile; a smaller gap between tiles is none."""
BLANK_SHARE = 48
"""A stored tile that takes less than this part of its pixels' bytes may be blank, and stored many times."""
BLANKS_KEPT = 2


@dataclass
class TiffLevel(TiledLevel):
    """A tiled or striped page.

    Attributes:
        page: The page as tifffile describes it.
        path: The file, for messages.
        source: Where its bytes are read if not from the page's own file.
        wh: Size in pixels.
        block_wh: Size of a stored tile or strip.
        colours: How its samples become RGB.
        fast_jpeg: Whether simplejpeg was seen to give the pixels that tifffile gives.
        end_of_data: First byte behind the last stored tile.

    Raises:
        UnreadableSlideError: Its directory contradicts itself.
        UnshownError: Its colours are of a kind that cannot be shown.
    """

    page: Any
    path: str
    source: Source | None = None
    wh: WH = field(init=False)
    block_wh: WH = field(init=False)
    colours: Colours = field(init=False)
    fast_jpeg: bool = field(init=False, default=False)
    end_of_data: int = field(init=False)

    def __post_init__(self) -> None:
        page = self.page
        self.colours = colours_of(page)
        self.wh = WH(int(page.imagewidth), int(page.imagelength))
        if page.is_tiled:
            self.block_wh = WH(int(page.tilewidth), int(page.tilelength))
        else:
            self.block_wh = WH(self.wh.w, min(int(page.rowsperstrip), self.wh.h))
        self._compression = int(page.compression)
        self._samples = int(page.samplesperpixel)
        self._planes = self._samples if int(page.planarconfig) == 2 else 1
        if min(*self.wh, *self.block_wh) < 1:
            raise self._damaged(f"it is said to have {self.wh.w} x {self.wh.h} px")
        places = [int(each) for each in page.dataoffsets]
        counts = [int(each) for each in page.databytecounts]
        if len(places) != self.count * self._planes or len(counts) != len(places):
            raise self._damaged(
                f"its directory lists {len(places)} stored pieces, but {self.wh.w} x {self.wh.h} px in "
                f"pieces of {self.block_wh.w} x {self.block_wh.h} px are {self.count * self._planes}"
            )
        self.end_of_data = max((a + b for a, b in zip(places, counts, strict=True) if b), default=0)
        if self.end_of_data >= 2**63:
            raise self._damaged("its directory lists tiles beyond the end of any file")
        # Where nothing is stored, the place may be anything.
        self._sizes = np.array(counts, np.int64)
        self._offsets = np.array(
            [at if size else 0 for at, size in zip(places, counts, strict=True)], np.int64
        )
        self._require_sound_places()
        self._require_no_lost_tile(np.array([min(place, 2**62) for place in places], np.int64))
        self._head = b""
        self._blanks: dict[tuple[bytes, int], Block] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Look at some tiles: whether they are what the directory says, and which decoder serves.

        Called once the file is known to be long enough.
        """
        self._require_stored_size()
        if self._compression == JPEG and self.page.is_tiled and self._planes == 1:
            self.fast_jpeg = self._simplejpeg_agrees()
            self.reductions = JPEG_REDUCTIONS if self.fast_jpeg else ()

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
        return not self._sizes[index :: self.count].any()

    def stored(self) -> npt.NDArray[np.int64]:
        """Indices of the tiles that have data, ascending."""
        return np.flatnonzero(self._sizes[: self.count])

    def decode(self, index: int) -> Block:
        """A stored tile as RGB, uint8 ``(h, w, 3)``; a tile without data is white.

        Raises:
            UnreadableSlideError: The data are damaged.
        """
        return self._decoded(index, 1, self._bytes)

    def decode_reduced(self, index: int, factor: int) -> Block:
        """A stored tile made smaller by the decoder of JPEG, see :class:`TiledLevel`.

        Raises:
            UnreadableSlideError: The data are damaged.
        """
        return self._decoded(index, factor, self._bytes)

    def decode_many(self, indices: Sequence[int], factor: int = 1) -> Iterator[Block]:
        """Stored tiles one after the other; of those that lie near each other the bytes are read at once."""
        read: Read = self._bytes
        if not isinstance(self.source, RemoteFile) and len(indices) > 1:
            ranges = [place for index in indices for place in self.places(index)]
            read = NearReads(read, ranges, held=self._planes)
        for index in indices:
            yield self._decoded(index, factor, read)

    def _decoded(self, index: int, factor: int, read: Read) -> Block:
        if self.is_missing(index):
            return np.full((self.block_wh.h // factor, self.block_wh.w // factor, 3), 255, np.uint8)
        try:
            data = [self._segment(index + plane * self.count, read) for plane in range(self._planes)]
            if self._planes > 1 or len(data[0]) * BLANK_SHARE > self.block_bytes:
                return self._pixels(data, index, factor)
            return self._maybe_blank(data[0], index, factor)
        except BROKEN as error:
            raise UnreadableSlideError(
                f"Decode stored tile {index} of {self.path}.",
                f"{type(error).__name__}: {' '.join(str(error).split())}.",
                "The file is damaged: copy or scan it again.",
            ) from error

    def _maybe_blank(self, data: bytes, index: int, factor: int) -> Block:
        """Pixels of a tile of few bytes: the same bytes are often stored for all that is empty."""
        with self._lock:
            known = self._blanks.get((data, factor))
        if known is not None:
            return known
        pixels = self._pixels([data], index, factor)
        # At the border other sizes are right.
        if pixels.shape[:2] == (self.block_wh.h // factor, self.block_wh.w // factor):
            pixels.flags.writeable = False
            with self._lock:
                while len(self._blanks) >= BLANKS_KEPT:
                    del self._blanks[next(iter(self._blanks))]
                self._blanks[data, factor] = pixels
        return pixels

    def _pixels(self, data: Sequence[bytes], index: int, factor: int = 1) -> Block:
        if not self.fast_jpeg:
            return reduced(self.colours.to_rgb(self._samples_of(data, index)), factor)
        self._require_size(data[0], index)
        if factor > 1:
            found = stored_size(data[0], self._compression)
            if found is not None and (found.width, found.height) == self.block_wh:
                return self._decode_simplejpeg(data[0], self._head, factor)
        return reduced(self._decode_simplejpeg(data[0], self._head), factor)

    def samples(self, index: int) -> npt.NDArray[Any]:
        """A stored tile as tifffile decodes it, ``(h, w, S)``; the errors are those of the decoders."""
        planes = range(index, self.count * self._planes, self.count)
        return self._samples_of([self._segment(plane, self._bytes) for plane in planes], index)

    def _samples_of(self, data: Sequence[bytes], index: int) -> npt.NDArray[Any]:
        planes = [self._decode_segment(each, index + at * self.count) for at, each in enumerate(data)]
        return planes[0] if self._planes == 1 else np.concatenate(planes, axis=2)

    def _segment(self, index: int, read: Read) -> bytes:
        count = int(self._sizes[index])
        if not count:
            raise ValueError("one of its planes is not stored")
        data = read(self.offset(index), count)
        if len(data) < count:
            raise ValueError("the file ends within this tile")
        return data

    def _bytes(self, offset: int, count: int) -> bytes:
        if isinstance(self.source, RemoteFile):
            return self.source.read_at(offset, count)
        return read_at(self.page.parent.filehandle, offset, count)

    def places(self, index: int) -> list[tuple[int, int]]:
        """Where the bytes of a stored tile lie: offset and count, of each plane."""
        planes = range(index, self.count * self._planes, self.count)
        return [(int(self._offsets[at]), int(self._sizes[at])) for at in planes if self._sizes[at]]

    def _decode_segment(self, data: bytes, index: int) -> npt.NDArray[Any]:
        self._require_size(data, index)
        if self._compression == JPEG:
            _require_sound_jpeg(data, self.page.jpegtables, self._samples // self._planes)
        return self._decode_tifffile(data, index)

    def _decode_tifffile(self, data: bytes, index: int) -> npt.NDArray[Any]:
        segment, _, _ = self.page.decode(
            data, index, jpegtables=self.page.jpegtables, jpegheader=self.page.jpegheader
        )
        if segment is None:
            raise ValueError("the tile is empty")
        pixels = np.asarray(segment[0])
        if (pixels.shape[1], pixels.shape[0]) not in self._sizes_of(index):
            raise ValueError(f"it has {pixels.shape[1]} x {pixels.shape[0]} px")
        if pixels.shape[2] != self._samples // self._planes:
            raise ValueError(f"it has {pixels.shape[2]} channels")
        return pixels

    def _decode_simplejpeg(self, data: bytes, head: bytes, factor: int = 1) -> Block:
        """Pixels of a JPEG stream; of a reduced one exactly so many, else another scale would be meant."""
        whole = head + data[len(JPEG_START) :]
        if factor == 1:
            pixels: Block = simplejpeg.decode_jpeg(whole, colorspace="RGB")
            return pixels
        width, height = (side // factor for side in self.block_wh)
        pixels = simplejpeg.decode_jpeg(
            whole, colorspace="RGB", min_width=width, min_height=height, min_factor=factor
        )
        if pixels.shape != (height, width, 3):
            raise ValueError(f"made smaller it has {pixels.shape[1]} x {pixels.shape[0]} px")
        return pixels

    def _sizes_of(self, index: int) -> set[tuple[int, int]]:
        """Sizes that a stored tile may have: the whole, or at the border what is left."""
        row, column = divmod(index % self.count, self.columns)
        wide = min(self.block_wh.w, self.wh.w - column * self.block_wh.w)
        high = min(self.block_wh.h, self.wh.h - row * self.block_wh.h)
        return {(w, h) for w in (self.block_wh.w, wide) for h in (self.block_wh.h, high)}

    def _require_size(self, data: bytes, index: int) -> None:
        """Refuse compressed pictures of another size before memory is spent on them."""
        found = stored_size(data, self._compression)
        if found is None:
            return
        if (found.width, found.height) not in self._sizes_of(index):
            raise ValueError(
                f"the picture in it has {found.width} x {found.height} px, not {self.block_wh.w} x "
                f"{self.block_wh.h}"
            )
        samples = self._samples // self._planes
        if found.samples not in (0, samples) or found.bits not in (0, self.colours.bits):
            raise ValueError(
                f"the picture in it has {found.samples} channels of {found.bits} bits, not {samples} of "
                f"{self.colours.bits}"
            )

    def _require_sound_places(self) -> None:
        """Refuse tiles that lie in the header or reach into each other; equal ones may share a place."""
        stored = self._sizes > 0
        if not stored.any():
            return
        if self._offsets[stored].min() < HEADER_BYTES:
            raise self._damaged("a stored tile is said to lie in the header")
        places = np.unique(np.stack([self._offsets[stored], self._sizes[stored]], axis=1), axis=0)
        ends = places[:-1].sum(1)
        if self.page.is_tiled and (ends > places[1:, 0]).any():
            raise self._damaged("stored tiles reach into each other")
        largest = int(self._sizes.max())
        if not can_come_from(self.block_bytes, largest):
            raise self._damaged(
                f"tiles of {self.block_wh.w} x {self.block_wh.h} px cannot come from {largest:,} bytes"
            )
        if self._compression == UNCOMPRESSED:
            self._require_uncompressed_bytes()

    def _require_no_lost_tile(self, places: npt.NDArray[np.int64]) -> None:
        """Refuse a tile without bytes whose place lies between stored tiles, where none of them has data.

        A scanner that leaves a tile out gives no place, or the one where it went on to write.
        """
        stored = self._sizes > 0
        if not stored.any():
            return
        starts, order = np.sort(self._offsets[stored]), np.argsort(self._offsets[stored])
        ends = np.maximum.accumulate((self._offsets[stored] + self._sizes[stored])[order])
        before = np.searchsorted(starts, places, side="right") - 1
        inside = (before >= 0) & (places < self.end_of_data)
        lost = inside & ~stored & (places >= ends[before]) & (places + LEAST_BYTES < _next(starts, before))
        if lost.any():
            index = int(np.argmax(lost))
            raise self._damaged(f"stored tile {index} is said to have no bytes where there are some")

    def _require_uncompressed_bytes(self) -> None:
        """Of uncompressed tiles every byte is known; one more may fill up a word."""
        sizes = self._sizes.reshape(-1, self.rows, self.columns)
        wide = np.minimum(self.block_wh.w, self.wh.w - np.arange(self.columns) * self.block_wh.w)
        high = np.minimum(self.block_wh.h, self.wh.h - np.arange(self.rows) * self.block_wh.h)[:, None]
        known = sizes == 0
        for w in (wide, self.block_wh.w):
            for h in (high, self.block_wh.h):
                surplus = sizes - self._row_bytes(w) * h
                known |= (surplus == 0) | (surplus == 1)
        if not known.all():
            index = int(np.argmin(known))
            raise self._damaged(
                f"stored tile {index} has {int(self._sizes[index]):,} bytes, which are not "
                f"{self.block_wh.w} x {self.block_wh.h} px"
            )

    def _row_bytes(self, width: Any) -> Any:
        """Bytes of a row of so many pixels, uncompressed: whole bytes."""
        return -(-width * (self._samples // self._planes) * self.colours.bits // 8)

    def _require_stored_size(self) -> None:
        """Refuse tiles that hold more than the directory says, of which some decoders drop the rest."""
        stored = self.stored()
        if self._compression not in PLAIN_BYTES or not len(stored):
            return
        index = int(stored[0])
        decode = tifffile.TIFF.DECOMPRESSORS[self._compression]
        most = self._row_bytes(self.block_wh.w) * self.block_wh.h
        try:
            data = self._segment(index, self._bytes)
            if int(self.page.fillorder) == 2:
                data = bytes(imagecodecs.bitorder_decode(data))
            # As much more as 16 bits are than one; not much memory, as a tile is small.
            found = len(decode(data, out=most + min(15 * most, SMALL_BYTES)))
        except BROKEN:
            return  # named where the tile is decoded
        if found > most + 1:
            raise self._damaged(f"its tiles hold more than {self.block_wh.w} x {self.block_wh.h} px")

    def _damaged(self, found: str) -> UnreadableSlideError:
        return damaged(self.path, found)

    def _simplejpeg_agrees(self) -> bool:
        """Try both decoders on some tiles: how colours are stored is not told reliably by the header.

        Tables and image are two JPEG streams, joined without the end of the one and the start of the other.
        A stream of RGB says so only in the TIFF directory; for simplejpeg a marker is put in.
        """
        tables = self.page.jpegtables
        joined = tables[len(JPEG_START) : -len(JPEG_END)] if tables else b""
        try:
            probes = [(self._segment(index, self._bytes), index) for index in self._probes()]
            for data, index in probes:
                self._require_size(data, index)
            wanted = [self.colours.to_rgb(self._decode_tifffile(data, index)) for data, index in probes]
        except BROKEN:
            return False
        for head in (JPEG_START + joined, JPEG_START + ADOBE_RGB + joined):
            if probes and self._agrees([data for data, _ in probes], wanted, head):
                self._head = head
                return True
        return False

    def _probes(self) -> list[int]:
        """The stored tiles with most data, where a wrong colour transform shows, and one in the middle."""
        stored = self.stored()
        if not len(stored):
            return []
        largest = stored[np.argsort(-self._sizes[stored], kind="stable")[: PROBES - 1]]
        return sorted({int(stored[len(stored) // 2]), *(int(index) for index in largest)})

    def _agrees(self, data: Sequence[bytes], wanted: Sequence[Block], head: bytes) -> bool:
        try:
            found = [self._decode_simplejpeg(each, head) for each in data]
        except BROKEN:
            return False
        return all(np.array_equal(ours, theirs) for ours, theirs in zip(found, wanted, strict=True))


def _require_sound_jpeg(data: bytes, tables: bytes | None, samples: int) -> None:
    """Refuse a JPEG picture with an error in it, of which the decoder of tifffile makes grey squares."""
    if samples not in (1, 3):
        return
    joined = tables[len(JPEG_START) : -len(JPEG_END)] if tables else b""
    simplejpeg.decode_jpeg(
        JPEG_START + joined + data[len(JPEG_START) :], colorspace="GRAY" if samples == 1 else "RGB"
    )


def _next(starts: npt.NDArray[np.int64], before: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the next stored tile begins, of places behind the tiles ``before``."""
    return starts[np.minimum(before + 1, len(starts) - 1)]
